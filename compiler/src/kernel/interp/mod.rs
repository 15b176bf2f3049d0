//! Runs kernels, plainly and with checked memory: the oracle of the code generators, and the debugger of schedules.
//!
//! * Every access is checked: an element outside of its buffer, or one of scratch memory that the task has not written, is an error with the statement, the buffer
//!   and the element.
//! * Every trip of the parallel loop counts as a task of its own: scratch memory is undefined at its start, and an element that one task writes must
//!   not be read or written by another.
//! * Operations outside of their domain (x ÷ 0, shifts by too many bits) are errors.
//! * f32 is computed in f32, `fma` rounds once, lanes combine in the documented order: the bits are those that compiled code gives, but for the signs and
//!   payloads of NaN.
//!
//! Values of a lane are 64-bit words: floats by their bits, integers sign- or zero-extended, masks 0 or 1.

mod error;
mod machine;
mod memory;
mod number;
mod operation;

pub use error::{Fault, FaultReport, KernelError};

use super::{Access, BufferId, Kernel, VerifyLimits, verify};
use machine::Machine;
use memory::Memory;
use std::ops::Range;

/// How much a run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Statements executed; a loop counts as one per trip.
    pub statements: u64,
}

impl Default for RunLimits {
    /// No limit.
    fn default() -> RunLimits {
        RunLimits { statements: u64::MAX }
    }
}

/// What a run did, beside the contents of its buffers.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The code of the first check that failed, 0 if none did.
    pub status: i32,
    /// Number of trips of the parallel loop, executed or not; 1 without one.
    pub tasks: i64,
    /// For each argument, one entry per element: the task that wrote it, counted from 1; 0 if none did.
    writers: Vec<Vec<u32>>,
    arguments: Vec<BufferId>,
}

impl Outcome {
    /// The first element of an argument that no task wrote.
    pub fn first_unwritten(&self, buffer: BufferId) -> Option<usize> {
        self.writers(buffer).iter().position(|task| *task == 0)
    }

    /// Per element of an argument, the task that wrote it, counted from 1; 0 if none did. Without a parallel loop there is one task.
    pub fn writers(&self, buffer: BufferId) -> &[u32] {
        let place = self.arguments.iter().position(|argument| *argument == buffer);
        place.and_then(|place| self.writers.get(place)).map_or(&[], |writers| writers)
    }
}

/// Runs all tasks of a kernel. `buffers` holds one buffer per argument, in order: little-endian elements; `extents` the values of the run-time extents.
pub fn run(kernel: &Kernel, buffers: &mut [Vec<u8>], extents: &[i64]) -> Result<Outcome, KernelError> {
    run_tasks(kernel, buffers, extents, 0..i64::MAX, RunLimits::default())
}

/// Runs some of the tasks of a kernel: those trips of the parallel loop whose number, counted from 0, is in `tasks`. Without a parallel loop there is task 0
/// only.
pub fn run_tasks(
    kernel: &Kernel,
    buffers: &mut [Vec<u8>],
    extents: &[i64],
    tasks: Range<i64>,
    limits: RunLimits,
) -> Result<Outcome, KernelError> {
    let mut machine = machine(kernel, buffers, extents, limits)?;
    let tasks = machine.run(tasks)?;
    let (status, writers) = machine.finish();
    let arguments = kernel.arguments().map(|(buffer, _)| buffer).collect();
    Ok(Outcome { status, tasks, writers, arguments })
}

/// A machine over memory that has the right form.
fn machine<'k, 'm>(
    kernel: &'k Kernel,
    buffers: &'m mut [Vec<u8>],
    extents: &[i64],
    limits: RunLimits,
) -> Result<Machine<'k, 'm>, KernelError> {
    verify(kernel, &VerifyLimits::NONE).map_err(KernelError::Invalid)?;
    if extents.len() != kernel.extents.len() {
        return Err(KernelError::ExtentCount { expected: kernel.extents.len(), found: extents.len() });
    }
    for ((symbol, _), value) in kernel.extents.iter().zip(extents) {
        if !(symbol.lower()..=symbol.upper()).contains(value) {
            let (name, value) = (symbol.name().to_owned(), *value);
            return Err(KernelError::Extent { name, value, lower: symbol.lower(), upper: symbol.upper() });
        }
    }
    let expected = kernel.arguments().count();
    if buffers.len() != expected {
        return Err(KernelError::BufferCount { expected, found: buffers.len() });
    }
    let mut arguments = buffers.iter_mut();
    let mut memories = Vec::with_capacity(kernel.buffers.len());
    for buffer in kernel.buffers.values() {
        let elements = elements(kernel, &buffer.elements, extents);
        memories.push(match arguments.next_if_argument(buffer.access) {
            Some(bytes) => {
                let wanted = elements.unwrap_or(bytes.len() / buffer.dtype.bytes());
                let size = wanted.checked_mul(buffer.dtype.bytes());
                if size != Some(bytes.len()) {
                    let (name, bytes) = (buffer.name.clone(), bytes.len());
                    return Err(KernelError::BufferSize {
                        name,
                        bytes,
                        elements: wanted,
                        dtype: buffer.dtype,
                    });
                }
                Memory::argument(buffer.dtype, buffer.access, bytes)
            }
            None => {
                let most = usize::try_from(buffer.elements.upper()).unwrap_or(0);
                Memory::scratch(buffer.dtype, elements.unwrap_or(most))
            }
        });
    }
    Ok(Machine::new(kernel, memories, extents, limits))
}

trait NextArgument<'m> {
    fn next_if_argument(&mut self, access: Access) -> Option<&'m mut Vec<u8>>;
}

impl<'m, I: Iterator<Item = &'m mut Vec<u8>>> NextArgument<'m> for I {
    fn next_if_argument(&mut self, access: Access) -> Option<&'m mut Vec<u8>> {
        if access == Access::Scratch { None } else { self.next() }
    }
}

/// The number of elements of a buffer; its upper bound for scratch memory whose size has symbols that are no extents, `None` for arguments.
fn elements(kernel: &Kernel, dim: &graven_ir::Dim, extents: &[i64]) -> Option<usize> {
    let value = |symbol: &graven_ir::Symbol| {
        let place = kernel.extents.iter().position(|(extent, _)| extent == symbol)?;
        extents.get(place).copied()
    };
    dim.evaluate(&value).and_then(|elements| usize::try_from(elements).ok())
}

#[cfg(test)]
mod tests;
