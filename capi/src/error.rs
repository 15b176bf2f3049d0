//! Statuses, and the message of the last failure.

use graven::error::{Error, Place};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `graven_jit_status`: the exit codes of the command line.
pub type Status = i32;

const OK: Status = 0;
const UNSUPPORTED: Status = 3;

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

fn remember(message: &str) {
    // A zero would end it early.
    let message = CString::new(message.replace('\0', "?")).unwrap_or_default();
    MESSAGE.with(|last| last.replace(message));
}

/// Runs the body of a function of the interface.
pub fn guard(body: impl FnOnce() -> Result<(), Error>) -> Status {
    // What the body had borrowed is not used again after a panic but to be freed.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => OK,
        Ok(Err(error)) => {
            remember(&error.to_string());
            error.exit_code().into()
        }
        Err(_) => {
            remember("internal error: the compiler panicked; please report it");
            UNSUPPORTED
        }
    }
}

/// The error of an argument.
pub fn wrong(argument: &str, reason: &str) -> Error {
    Error::bad_input(Place::named("argument", argument), reason)
}

/// What a pointer leads to.
///
/// # Errors
/// Bad input for null.
///
/// # Safety
/// A pointer that is not null leads to a `T` that nobody changes for `'a`.
pub unsafe fn borrow<'a, T>(argument: &str, pointer: *const T) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| wrong(argument, "is null"))
}

/// What a pointer leads to, to be changed.
///
/// # Errors
/// Bad input for null.
///
/// # Safety
/// A pointer that is not null leads to a `T` that nobody else uses for `'a`.
pub unsafe fn borrow_mut<'a, T>(argument: &str, pointer: *mut T) -> Result<&'a mut T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| wrong(argument, "is null"))
}

/// An array; null is one without elements.
///
/// # Errors
/// Bad input for null with a length.
///
/// # Safety
/// A pointer that is not null leads to `length` elements that nobody changes for `'a`.
pub unsafe fn slice<'a, T>(argument: &str, pointer: *const T, length: usize) -> Result<&'a [T], Error> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(wrong(argument, "is null")),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer, length) }),
    }
}

/// A string.
///
/// # Errors
/// Bad input for null and for what is not UTF-8.
///
/// # Safety
/// A pointer that is not null leads to bytes that end with a zero and that nobody changes for `'a`.
pub unsafe fn string<'a>(argument: &str, pointer: *const c_char) -> Result<&'a str, Error> {
    if pointer.is_null() {
        return Err(wrong(argument, "is null"));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| wrong(argument, "is not UTF-8"))
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn graven_jit_error() -> *const c_char {
    // The string stays where it is until the next failure in this thread.
    MESSAGE.with(|last| last.borrow().as_ptr())
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn graven_jit_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
