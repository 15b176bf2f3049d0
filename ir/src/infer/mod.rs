//! Result types from operand types.

use crate::{Constants, Graph, Op, TensorType};
use smallvec::SmallVec;

/// Types of a node's results.
pub type ResultTypes = SmallVec<[TensorType; 1]>;

/// Why an op does not fit its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{op}`: {reason}")]
pub struct InferError {
    /// The op's name.
    pub op: &'static str,
    /// One sentence: what does not fit.
    pub reason: String,
}

/// The types of the results of `op`, or why it can't be applied to these operands.
pub fn infer(
    constants: &Constants,
    op: &Op,
    operands: &[&TensorType],
    regions: &[Graph],
) -> Result<ResultTypes, InferError> {
    let _ = (constants, operands, regions);
    Err(InferError { op: op.name(), reason: "has no inference rule".into() })
}
