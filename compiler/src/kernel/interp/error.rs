//! What can go wrong in a run.

use crate::kernel::{Path, VerifyError};
use graven_ir::DType;

/// Why a kernel didn't run, or not to the end.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// The kernel violates invariants.
    #[error("the kernel is invalid: {}", first(_0))]
    Invalid(Vec<VerifyError>),
    /// Wrong number of buffers.
    #[error("the kernel has {expected} arguments, not {found}")]
    BufferCount {
        /// The kernel's.
        expected: usize,
        /// The caller's.
        found: usize,
    },
    /// A buffer of a wrong size.
    #[error("`{name}` has {bytes} bytes instead of those of {elements} elements of {dtype}")]
    BufferSize {
        /// The buffer.
        name: String,
        /// Its size.
        bytes: usize,
        /// The elements that it must have.
        elements: usize,
        /// Their dtype.
        dtype: DType,
    },
    /// Wrong number of extents.
    #[error("the kernel has {expected} run-time extents, not {found}")]
    ExtentCount {
        /// The kernel's.
        expected: usize,
        /// The caller's.
        found: usize,
    },
    /// An extent outside of its bounds.
    #[error("the extent `{name}` is {value}, outside of {lower}..={upper}")]
    Extent {
        /// Its name.
        name: String,
        /// The caller's value.
        value: i64,
        /// Smallest value.
        lower: i64,
        /// Largest value.
        upper: i64,
    },
    /// A statement that can't be executed.
    #[error(transparent)]
    Fault(Box<FaultReport>),
}

/// What a statement did wrong, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: `{statement}`: {fault}")]
pub struct FaultReport {
    /// Its place.
    pub path: Path,
    /// Its text.
    pub statement: String,
    /// What is wrong.
    pub fault: Fault,
}

fn first(errors: &[VerifyError]) -> String {
    errors.first().map(VerifyError::to_string).unwrap_or_default()
}

/// What a statement did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An access outside of its buffer.
    #[error("element {element} of `{buffer}`, which has {elements}")]
    OutOfBounds {
        /// The buffer.
        buffer: String,
        /// The element, which may be negative.
        element: i128,
        /// Its size.
        elements: usize,
    },
    /// A read of scratch memory that the task has not written.
    #[error("element {element} of `{buffer}` is read before it is written")]
    Uninitialised {
        /// The buffer.
        buffer: String,
        /// The element.
        element: usize,
    },
    /// Two tasks use one element, and one of them writes it.
    #[error("element {element} of `{buffer}` is written by task {writer}, and {verb} by task {task}")]
    Race {
        /// The buffer.
        buffer: String,
        /// The element.
        element: usize,
        /// The task that wrote it.
        writer: u32,
        /// `read` or `written`.
        verb: &'static str,
        /// The other task.
        task: u32,
    },
    /// An operation outside of its domain.
    #[error("{0}")]
    Domain(&'static str),
    /// The limit of statements is reached.
    #[error("the run takes too many statements")]
    Limit,
}
