//! Running.

use crate::error::{Status, borrow, borrow_mut, guard, slice, wrong};
use crate::model::{JitModel, view};
use crate::port::{JitPort, OwnedPort};
use graven::api::{Session, TensorView, TensorViewMut};
use graven::emit::dtypes::from_code;
use graven::error::{Error, Place};
use graven_ir::DType;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ffi::c_void;

/// `graven_jit_session`.
pub struct JitSession {
    session: Session,
    /// Names of the inputs in the model's order.
    names: Vec<String>,
    /// Shapes of the inputs that the session is prepared for.
    shapes: Vec<Vec<usize>>,
    prepared: bool,
    outputs: Vec<OwnedPort>,
}

/// `graven_jit_tensor`.
#[repr(C)]
pub struct JitTensor {
    dtype: u32,
    rank: u32,
    extents: *const usize,
    data: *mut c_void,
}

/// Models with more inputs or outputs than this allocate a table in each run.
type Few<T> = SmallVec<[T; 32]>;

impl JitTensor {
    /// # Safety
    /// `extents` is null or leads to `rank` numbers.
    unsafe fn shape(&self) -> Result<&[usize], Error> {
        // SAFETY: the caller's promise.
        unsafe { slice("extents", self.extents, self.rank as usize) }
    }

    /// Element type, shape, and number of bytes.
    ///
    /// # Safety
    /// As for [`JitTensor::shape`].
    unsafe fn layout(&self) -> Result<(DType, &[usize], usize), Error> {
        let dtype = from_code(self.dtype)
            .ok_or_else(|| wrong("dtype", &format!("{} is no element type", self.dtype)))?;
        // SAFETY: the caller's promise.
        let shape = unsafe { self.shape() }?;
        let bytes = shape.iter().try_fold(dtype.bytes(), |bytes, extent| bytes.checked_mul(*extent));
        let bytes = bytes.filter(|bytes| isize::try_from(*bytes).is_ok());
        Ok((dtype, shape, bytes.ok_or_else(|| wrong("extents", "are too large"))?))
    }

    fn start(&self, bytes: usize) -> Result<*mut u8, Error> {
        match (bytes, self.data.is_null()) {
            (0, _) => Ok(std::ptr::dangling_mut()),
            (_, true) => Err(wrong("data", "is null")),
            _ => Ok(self.data.cast()),
        }
    }

    /// # Safety
    /// Extents and data are as the header says, and nobody changes them as long as the result is used.
    unsafe fn view(&self) -> Result<TensorView<'_>, Error> {
        // SAFETY: the caller's promise.
        let (dtype, shape, bytes) = unsafe { self.layout() }?;
        // SAFETY: the caller's promise; without bytes, the pointer leads nowhere and needn't.
        let data = unsafe { std::slice::from_raw_parts(self.start(bytes)?, bytes) };
        TensorView::new(dtype, shape, data).map_err(tensor_error)
    }

    /// # Safety
    /// Extents and data are as the header says, and nobody else uses the data as long as the result is used.
    unsafe fn view_mut(&mut self) -> Result<TensorViewMut<'_>, Error> {
        // SAFETY: the caller's promise.
        let (dtype, shape, bytes) = unsafe { self.layout() }?;
        // SAFETY: the caller's promise; without bytes, the pointer leads nowhere and needn't.
        let data = unsafe { std::slice::from_raw_parts_mut(self.start(bytes)?, bytes) };
        TensorViewMut::new(dtype, shape, data).map_err(tensor_error)
    }
}

fn tensor_error(error: impl ToString) -> Error {
    Error::bad_input(Place::new("the tensors"), error.to_string())
}

impl JitSession {
    /// Makes everything ready for inputs of these shapes.
    ///
    /// # Safety
    /// The tensors' extents are as the header says.
    unsafe fn prepare(&mut self, inputs: &[JitTensor]) -> Result<(), Error> {
        if inputs.len() != self.names.len() {
            let reason = format!("{} inputs are given, the model has {}", inputs.len(), self.names.len());
            return Err(wrong("inputs", &reason));
        }
        let mut shapes: Few<&[usize]> = SmallVec::new();
        for input in inputs {
            // SAFETY: the caller's promise.
            shapes.push(unsafe { input.shape() }?);
        }
        if self.prepared && self.shapes.iter().zip(&shapes).all(|(known, given)| known == given) {
            return Ok(());
        }
        self.prepared = false;
        let named: BTreeMap<String, Vec<usize>> =
            self.names.iter().cloned().zip(shapes.iter().map(|shape| shape.to_vec())).collect();
        self.session.prepare(&named)?;
        let signature = self.session.signature().cloned().unwrap_or_default();
        let outputs = signature.outputs.iter().zip(self.session.output_shapes());
        self.outputs = outputs.map(|(port, shape)| OwnedPort::with_shape(port, shape)).collect();
        self.shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
        self.prepared = true;
        Ok(())
    }
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_session_new(
    model: *const JitModel,
    session: *mut *mut JitSession,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, result) = unsafe { (borrow("model", model)?, borrow_mut("session", session)?) };
        *result = std::ptr::null_mut();
        let session = JitSession {
            session: model.compiled.session()?,
            names: model.input_names(),
            shapes: Vec::new(),
            prepared: false,
            outputs: Vec::new(),
        };
        *result = Box::into_raw(Box::new(session));
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// Null, or a session that is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_session_free(session: *mut JitSession) {
    if !session.is_null() {
        // SAFETY: made by `graven_jit_session_new`, and the caller's promise.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_prepare(
    session: *mut JitSession,
    inputs: *const JitTensor,
    count: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, inputs) = unsafe { (borrow_mut("session", session)?, slice("inputs", inputs, count)?) };
        // SAFETY: as above.
        unsafe { session.prepare(inputs) }
    })
}

/// See the header.
///
/// # Safety
/// Null or a session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_output_count(session: *const JitSession) -> usize {
    // SAFETY: the caller's promise.
    unsafe { session.as_ref() }.map_or(0, |session| session.outputs.len())
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_output(
    session: *const JitSession,
    index: usize,
    port: *mut JitPort,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { borrow("session", session) }?;
        if !session.prepared {
            return Err(wrong("session", "is not prepared for any shapes"));
        }
        // SAFETY: as above.
        unsafe { view(&session.outputs, index, port) }
    })
}

/// See the header.
///
/// # Safety
/// Pointers are null or lead to what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_jit_run(
    session: *mut JitSession,
    inputs: *const JitTensor,
    input_count: usize,
    outputs: *mut JitTensor,
    output_count: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let session = unsafe { borrow_mut("session", session) }?;
        // SAFETY: as above.
        let inputs = unsafe { slice("inputs", inputs, input_count) }?;
        let outputs = match (outputs.is_null(), output_count) {
            (_, 0) => &mut [],
            (true, _) => return Err(wrong("outputs", "is null")),
            // SAFETY: as above.
            _ => unsafe { std::slice::from_raw_parts_mut(outputs, output_count) },
        };
        // SAFETY: as above.
        unsafe { session.prepare(inputs) }?;
        let mut given: Few<TensorView<'_>> = SmallVec::new();
        for input in inputs {
            // SAFETY: as above.
            given.push(unsafe { input.view() }?);
        }
        let mut results: Few<TensorViewMut<'_>> = SmallVec::new();
        for output in outputs {
            // SAFETY: as above; outputs overlap neither inputs nor each other.
            results.push(unsafe { output.view_mut() }?);
        }
        session.session.run(&given, &mut results)
    })
}
