//! What the application decides.

use crate::error::{Status, borrow_mut, guard, string, wrong};
use graven::api::{Accuracy, Backend, Options};
use graven::import::DimBinding;
use std::ffi::c_char;

/// `graven_jit_options`.
#[derive(Clone, Default)]
pub struct JitOptions(pub Options);

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn graven_jit_options_new() -> *mut JitOptions {
    Box::into_raw(Box::default())
}

/// See the header.
///
/// # Safety
/// Null, or options that are not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_options_free(options: *mut JitOptions) {
    if !options.is_null() {
        // SAFETY: made by `graven_jit_options_new`, and the caller's promise.
        drop(unsafe { Box::from_raw(options) });
    }
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_options_set(
    options: *mut JitOptions,
    name: *const c_char,
    value: *const c_char,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let JitOptions(options) = unsafe { borrow_mut("options", options) }?;
        // SAFETY: as above.
        let (name, value) = unsafe { (string("name", name)?, string("value", value)?) };
        let wrong_value = || wrong(name, &format!("can't be `{value}`"));
        match name {
            "threads" => {
                let threads = Some(value.parse().map_err(|_| wrong_value())?);
                let changed = Options { threads, ..options.clone() };
                changed.threads()?;
                *options = changed;
            }
            "backend" => {
                let backends = [Backend::Auto, Backend::Wide, Backend::Cranelift, Backend::Interp];
                let backend = backends.into_iter().find(|backend| backend.name() == value);
                options.backend = backend.ok_or_else(wrong_value)?;
            }
            "accuracy" => {
                options.accuracy = match value {
                    "strict" => Accuracy::Strict,
                    "default" => Accuracy::Default,
                    "fast" => Accuracy::Fast,
                    _ => return Err(wrong_value()),
                };
            }
            "max-memory" => options.max_memory = Some(value.parse().map_err(|_| wrong_value())?),
            _ => return Err(wrong("name", &format!("there is no option `{name}`"))),
        }
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_options_set_dim(
    options: *mut JitOptions,
    name: *const c_char,
    low: i64,
    high: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (options, name) = unsafe { (borrow_mut("options", options)?, string("name", name)?) };
        if low < 0 || high < low {
            return Err(wrong(name, &format!("can't be {low}..={high}")));
        }
        let binding = if low == high { DimBinding::Fixed(low) } else { DimBinding::Range(low, high) };
        options.0.dims.insert(name.to_string(), binding);
        Ok(())
    })
}
