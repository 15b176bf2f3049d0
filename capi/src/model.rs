//! Loading.

use crate::error::{Status, borrow, borrow_mut, guard, slice, string, wrong};
use crate::options::JitOptions;
use crate::port::{JitPort, OwnedPort, ports};
use graven::api::{CompiledModel, Compiler, LoadedModel, Options};
use graven::error::Error;
use std::ffi::c_char;

/// `graven_jit_model`.
pub struct JitModel {
    pub compiled: CompiledModel,
    inputs: Vec<OwnedPort>,
    outputs: Vec<OwnedPort>,
}

impl JitModel {
    /// Names of the inputs, in order.
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(OwnedPort::name).collect()
    }
}

/// Loads and compiles a model.
///
/// # Safety
/// Pointers are null or lead to what the header says.
unsafe fn load(
    options: *const JitOptions,
    model: *mut *mut JitModel,
    load: impl FnOnce(&Compiler) -> Result<LoadedModel, Error>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let model = unsafe { borrow_mut("model", model) }?;
    *model = std::ptr::null_mut();
    // SAFETY: as above.
    let options = unsafe { options.as_ref() }.map_or_else(Options::default, |options| options.0.clone());
    let loaded = load(&Compiler::new(options))?;
    let compiled = loaded.jit()?;
    let (inputs, outputs) = ports(compiled.signature(), &loaded)?;
    *model = Box::into_raw(Box::new(JitModel { compiled, inputs, outputs }));
    Ok(())
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_load_file(
    path: *const c_char,
    options: *const JitOptions,
    model: *mut *mut JitModel,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { string("path", path) }?;
        // SAFETY: as above.
        unsafe { load(options, model, |compiler| compiler.load(path)) }
    })
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_load_memory(
    data: *const u8,
    size: usize,
    options: *const JitOptions,
    model: *mut *mut JitModel,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let bytes = unsafe { slice("data", data, size) }?.to_vec();
        // SAFETY: as above.
        unsafe { load(options, model, |compiler| Ok(compiler.load_bytes(bytes))) }
    })
}

/// See the header.
///
/// # Safety
/// Null, or a model that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_model_free(model: *mut JitModel) {
    if !model.is_null() {
        // SAFETY: made by `load`, and the caller's promise. Sessions hold what they need.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// See the header.
///
/// # Safety
/// Null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_model_input_count(model: *const JitModel) -> usize {
    // SAFETY: the caller's promise.
    unsafe { model.as_ref() }.map_or(0, |model| model.inputs.len())
}

/// See the header.
///
/// # Safety
/// Null or a model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_model_output_count(model: *const JitModel) -> usize {
    // SAFETY: the caller's promise.
    unsafe { model.as_ref() }.map_or(0, |model| model.outputs.len())
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_model_input(
    model: *const JitModel,
    index: usize,
    port: *mut JitPort,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { view(&borrow("model", model)?.inputs, index, port) }
    })
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_model_output(
    model: *const JitModel,
    index: usize,
    port: *mut JitPort,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { view(&borrow("model", model)?.outputs, index, port) }
    })
}

/// Gives out one of the ports.
///
/// # Safety
/// `port` is null or writable.
pub unsafe fn view(ports: &[OwnedPort], index: usize, port: *mut JitPort) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let port = unsafe { borrow_mut("port", port) }?;
    let found = ports.get(index);
    *port = found.ok_or_else(|| wrong("index", &format!("{index} is not below {}", ports.len())))?.view();
    Ok(())
}
