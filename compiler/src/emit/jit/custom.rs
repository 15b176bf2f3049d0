//! Code of the application that compiled models call.

use super::session::SessionError;
use super::view::{TensorView, TensorViewMut};
use crate::program::CustomSignature;
use graven_ir::DType;
use graven_runtime::abi;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;

/// A custom call: fills the results from the operands; an error ends the run. The shapes are those of the call.
pub type CustomFunction =
    dyn Fn(&[TensorView<'_>], &mut [TensorViewMut<'_>]) -> Result<(), String> + Send + Sync;

/// The custom calls of a session, in the order of the program's signatures.
pub(super) struct CustomCalls {
    table: Vec<abi::CustomCall>,
    /// What the contexts in the table lead to.
    bound: Vec<Option<Box<Bound>>>,
}

struct Bound {
    function: Arc<CustomFunction>,
    signature: CustomSignature,
}

impl CustomCalls {
    /// No function yet for each of the signatures.
    pub fn new(signatures: &[CustomSignature]) -> CustomCalls {
        let missing = || abi::CustomCall { call: None, context: std::ptr::null_mut() };
        CustomCalls {
            table: signatures.iter().map(|_| missing()).collect(),
            bound: signatures.iter().map(|_| None).collect(),
        }
    }

    /// What the run function takes.
    pub fn table(&self) -> &[abi::CustomCall] {
        &self.table
    }

    /// Lets `function` be called for a name; whether the model calls it.
    pub fn register(
        &mut self,
        signatures: &[CustomSignature],
        name: &str,
        function: &Arc<CustomFunction>,
    ) -> bool {
        let mut found = false;
        for (n, signature) in signatures.iter().enumerate().filter(|(_, signature)| signature.name == name) {
            let bound = Box::new(Bound { function: function.clone(), signature: signature.clone() });
            let context = std::ptr::from_ref(&*bound).cast_mut().cast::<c_void>();
            self.table[n] = abi::CustomCall { call: Some(trampoline), context };
            self.bound[n] = Some(bound);
            found = true;
        }
        found
    }
}

/// # Safety
/// The context is that of a [`Bound`], the pointers lead to what its signature says, the extents are those of operands and results.
unsafe extern "C" fn trampoline(
    context: *mut c_void,
    operands: *const *const c_void,
    results: *const *mut c_void,
    extents: *const i64,
) -> i32 {
    // SAFETY: the caller's promise; the session that owns the bound function is borrowed by the run.
    let bound = unsafe { &*context.cast::<Bound>() };
    // SAFETY: the caller's promise.
    let call = || unsafe { call(bound, operands, results, extents) };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 1,
    }
}

/// # Safety
/// As [`trampoline`].
unsafe fn call(
    bound: &Bound,
    operands: *const *const c_void,
    results: *const *mut c_void,
    extents: *const i64,
) -> Result<(), String> {
    let CustomSignature { operands: given, results: wanted, .. } = &bound.signature;
    let mut place = 0;
    let mut shapes = Vec::with_capacity(given.len() + wanted.len());
    for (_, rank) in given.iter().chain(wanted) {
        // SAFETY: the caller's promise.
        let shape = (0..*rank).map(|axis| unsafe { *extents.add(place + axis) }.max(0) as usize);
        shapes.push(shape.collect::<Vec<usize>>());
        place += rank;
    }
    let bytes = |dtype: DType, shape: &[usize]| shape.iter().product::<usize>() * dtype.bytes();
    let (inputs, outputs) = shapes.split_at(given.len());
    let mut views = Vec::with_capacity(given.len());
    for (n, ((dtype, _), shape)) in given.iter().zip(inputs).enumerate() {
        // SAFETY: the caller's promise; a tensor's memory has the bytes of its shape.
        let data = unsafe { memory(*operands.add(n), bytes(*dtype, shape)) };
        views.push(TensorView::new(*dtype, shape, data).map_err(text)?);
    }
    let mut targets = Vec::with_capacity(wanted.len());
    for (n, ((dtype, _), shape)) in wanted.iter().zip(outputs).enumerate() {
        // SAFETY: as above; results overlap nothing else.
        let data = unsafe { memory_mut(*results.add(n), bytes(*dtype, shape)) };
        targets.push(TensorViewMut::new(*dtype, shape, data).map_err(text)?);
    }
    (bound.function)(&views, &mut targets)
}

/// # Safety
/// So many bytes can be read there, unless there are none.
unsafe fn memory<'m>(start: *const c_void, bytes: usize) -> &'m [u8] {
    match bytes {
        0 => &[],
        // SAFETY: the caller's promise.
        _ => unsafe { slice::from_raw_parts(start.cast(), bytes) },
    }
}

/// # Safety
/// So many bytes can be written there, and by nobody else, unless there are none.
unsafe fn memory_mut<'m>(start: *mut c_void, bytes: usize) -> &'m mut [u8] {
    match bytes {
        0 => &mut [],
        // SAFETY: the caller's promise.
        _ => unsafe { slice::from_raw_parts_mut(start.cast(), bytes) },
    }
}

fn text(error: SessionError) -> String {
    error.to_string()
}
