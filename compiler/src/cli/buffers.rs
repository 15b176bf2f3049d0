//! Inputs and outputs in memory that runs can use again and again.

use super::arrays::Arrays;
use super::failure::Failure;
use crate::api::{Session, Signature, TensorView, TensorViewMut};
use crate::emit::dtypes::native_order;
use crate::error::{Error, Place};
use graven_ir::{DType, Tensor};
use graven_runtime::arena::Arena;
use std::collections::BTreeMap;

/// Inputs and outputs of a session.
pub(super) struct Buffers {
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
}

struct Buffer {
    dtype: DType,
    shape: Vec<usize>,
    memory: Arena,
}

impl Buffer {
    fn new(dtype: DType, shape: Vec<usize>) -> Result<Buffer, Error> {
        let place = || Place::new("memory");
        let bytes = shape.iter().try_fold(dtype.bytes(), |product, extent| product.checked_mul(*extent));
        let bytes = bytes.ok_or_else(|| Error::bad_input(place(), "a tensor is too large"))?;
        let memory = Arena::new(bytes).map_err(|error| Error::bad_input(place(), error.message()))?;
        Ok(Buffer { dtype, shape, memory })
    }
}

impl Buffers {
    /// Buffers for a prepared session, with the given inputs; numbers in place of those that are not given.
    pub(super) fn new(
        session: &Session,
        shapes: &BTreeMap<String, Vec<usize>>,
        given: &Arrays,
    ) -> Result<Buffers, Failure> {
        let Some(signature) = session.signature() else {
            return Err(Failure::Compiler(Error::internal(Place::new("the session"), "it is not prepared")));
        };
        let mut inputs = Vec::new();
        for port in &signature.inputs {
            let shape = shapes.get(&*port.name).cloned().unwrap_or_default();
            let mut buffer = Buffer::new(port.ty.dtype, shape)?;
            match given.get(&*port.name) {
                Some(tensor) if tensor.dtype() != port.ty.dtype => {
                    let reason = format!("must be {}, not {}", port.ty.dtype, tensor.dtype());
                    return Err(Failure::Compiler(Error::bad_input(
                        Place::named("input", &port.name),
                        reason,
                    )));
                }
                Some(tensor) => {
                    fill(&mut buffer.memory, &native_order(tensor.dtype(), tensor.data().to_vec()))
                }
                None => fill(&mut buffer.memory, &numbers(port.ty.dtype, &buffer.shape)),
            }
            inputs.push(buffer);
        }
        let outputs = signature.outputs.iter().zip(session.output_shapes());
        let outputs = outputs.map(|(port, shape)| Buffer::new(port.ty.dtype, shape.clone()));
        Ok(Buffers { inputs, outputs: outputs.collect::<Result<_, _>>()? })
    }

    /// Runs the session once.
    pub(super) fn run(&mut self, session: &mut Session) -> Result<(), Failure> {
        self.with(|inputs, outputs| session.run(inputs, outputs))
    }

    /// Gives views of the buffers to `action`.
    pub(super) fn with<R>(
        &mut self,
        action: impl FnOnce(&[TensorView<'_>], &mut [TensorViewMut<'_>]) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        let inputs =
            self.inputs.iter().map(|buffer| TensorView::new(buffer.dtype, &buffer.shape, &buffer.memory));
        let inputs: Vec<TensorView<'_>> = inputs.collect::<Result<_, _>>().map_err(bug)?;
        let outputs = self.outputs.iter_mut();
        let outputs =
            outputs.map(|buffer| TensorViewMut::new(buffer.dtype, &buffer.shape, &mut buffer.memory));
        let mut outputs: Vec<TensorViewMut<'_>> = outputs.collect::<Result<_, _>>().map_err(bug)?;
        Ok(action(&inputs, &mut outputs)?)
    }
}

/// The buffers were made for these types.
fn bug(error: impl std::fmt::Display) -> Error {
    Error::internal(Place::new("a buffer"), error.to_string())
}

fn fill(memory: &mut Arena, bytes: &[u8]) {
    let length = memory.len().min(bytes.len());
    memory[..length].copy_from_slice(&bytes[..length]);
}

/// Numbers in (-1, 1) for floats, zeros for integers, which may be indices; the same on every run.
fn numbers(dtype: DType, shape: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut data = Vec::with_capacity(count * dtype.bytes());
    let mut state = 1u32;
    for _ in 0..count {
        // Knuth, "The Art of Computer Programming" volume 2, 3.3.4, line 16 of table 1.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = if dtype.is_float() { f64::from(state as i32) / f64::from(1u32 << 31) } else { 0.0 };
        data.extend_from_slice(Tensor::scalar(dtype, value).data());
    }
    native_order(dtype, data)
}

/// The greatest shapes of the inputs.
pub(super) fn greatest_shapes(signature: &Signature) -> Result<BTreeMap<String, Vec<usize>>, Failure> {
    let mut shapes = BTreeMap::new();
    for port in &signature.inputs {
        let shape: Option<Vec<usize>> =
            port.ty.shape.iter().map(|dim| usize::try_from(dim.upper()).ok()).collect();
        let unbounded = || Error::bad_input(Place::named("input", &port.name), "has no greatest shape");
        shapes.insert(port.name.to_string(), shape.ok_or_else(unbounded)?);
    }
    Ok(shapes)
}
