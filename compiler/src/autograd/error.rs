//! Why there is no gradient.

use crate::passes::PassError;
use graven_ir::infer::InferError;

/// Why a graph has no gradient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// The result depends on a parameter through an op that has no gradient: unsupported.
    #[error("{place} has no gradient: {reason}")]
    NotDifferentiable {
        /// The op and the model's node that it comes from.
        place: String,
        /// Why, and what to do about it.
        reason: &'static str,
    },
    /// The request names no float value of the graph: bad usage.
    #[error("{0}")]
    Usage(String),
    /// A gradient rule built an ill-typed node: our bug.
    #[error("{0}; this is a bug in the gradient rules")]
    Rule(#[from] InferError),
    /// Preparing the graph failed: our bug.
    #[error(transparent)]
    Pass(#[from] PassError),
}
