//! The operating system: errors, time, waiting, threads' CPUs, memory and files.

mod cgroup;
pub mod cpus;
pub mod file;
pub mod float_env;
pub mod memory;
pub(crate) mod wait;

use alloc::string::String;
use core::ffi::{CStr, c_char};

use crate::error::Error;
use crate::text::text;

/// An `Kind::System` that says what failed and the reason that the last system call gave.
pub(crate) fn last_error(what: &str) -> Error {
    Error::system(text!("%: %", what, describe(errno())))
}

#[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "hurd"))]
fn errno() -> i32 {
    // SAFETY: the location is this thread's and always valid.
    unsafe { *libc::__errno_location() }
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
fn errno() -> i32 {
    // SAFETY: the location is this thread's and always valid.
    unsafe { *libc::__error() }
}

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
fn errno() -> i32 {
    // SAFETY: the location is this thread's and always valid.
    unsafe { *libc::__errno() }
}

/// The system's words for an error number.
fn describe(number: i32) -> String {
    let mut buffer: [c_char; 128] = [0; 128];
    // SAFETY: the buffer is as long as stated; the function ends what it writes with a zero.
    let status = unsafe { libc::strerror_r(number, buffer.as_mut_ptr(), buffer.len()) };
    if status != 0 {
        return text!("error %", i64::from(number));
    }
    // SAFETY: on success the buffer holds a string that ends with a zero.
    let message = unsafe { CStr::from_ptr(buffer.as_ptr()) };
    text!("%", message.to_str().unwrap_or("unknown error"))
}

/// Nanoseconds since an arbitrary moment, never going backwards.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The monotonic clock exists on every supported system.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_advances() {
        let before = now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(now() - before >= 2_000_000);
    }

    #[test]
    fn errors_have_words() {
        assert_eq!(describe(libc::ENOENT), "No such file or directory");
        assert!(!describe(123_456).is_empty());
    }
}
