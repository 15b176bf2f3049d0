//! Passes over the graph IR, one per file or folder, in the order of the pipeline.
//!
//! * [`pipeline`]: the order
//! * [`canonicalise`]: simplifies single nodes
//! * [`fold`]: evaluates constants
//! * [`sink`]: transposes and reshapes towards the results
//! * [`factor`]: constant factors behind matrix products
//! * [`affine`]: factors per channel into weights
//! * [`cse`]: common subexpressions
//! * [`control`]: branches and loops that are known when compiling
//! * [`widen`]: arithmetic on halves in f32
//! * [`raise`]: functions with a row of their own
//! * [`decompose`]: composites to primitives
//! * [`regions`]: bodies of control flow
//! * [`fuse`]: fusion groups
//! * [`rematerialise`]: values computed again to save memory
//! * [`layout`]: layouts of values
//! * [`rewrite`]: what they are written with

pub mod affine;
pub mod canonicalise;
pub mod control;
pub mod cse;
pub mod decompose;
pub mod factor;
pub mod fold;
pub mod fuse;
pub mod layout;
pub mod pipeline;
pub mod raise;
pub mod regions;
pub mod rematerialise;
pub mod rewrite;
pub mod sink;
pub mod widen;

use crate::accuracy::Accuracy;
use crate::remarks::Remarks;
use graven_ir::infer::InferError;
use graven_ir::{Constants, Symbol};

/// What passes get besides the graph.
pub struct Context<'c> {
    /// The module's constants, to which passes add theirs.
    pub constants: &'c mut Constants,
    /// The module's symbols.
    pub symbols: &'c [Symbol],
    /// Which rewrites of arithmetic are allowed.
    pub accuracy: Accuracy,
    /// Where passes say what they did.
    pub remarks: &'c mut Remarks,
}

/// A pass met a graph that it can't handle: our bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error in a pass: {0}")]
pub struct PassError(pub String);

impl PassError {
    /// Our bug.
    pub fn internal(reason: impl Into<String>) -> PassError {
        PassError(reason.into())
    }
}

impl From<InferError> for PassError {
    fn from(error: InferError) -> PassError {
        PassError(error.to_string())
    }
}
