//! Why an evaluation stopped.

use crate::{DType, infer::InferError};
use std::sync::Arc;

/// Why an evaluation stopped, and at which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError {
    /// What happened.
    pub kind: EvalErrorKind,
    /// The node, outermost first where regions are nested: the model's name for it or the op's name. Empty for errors of the inputs.
    pub nodes: Vec<Arc<str>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalErrorKind {
    /// Bad input: the module has no such function.
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    /// Bad input: too few or too many tensors.
    #[error("{expected} inputs are needed, {given} are given")]
    InputCount {
        /// Parameters of the graph.
        expected: usize,
        /// Tensors given.
        given: usize,
    },
    /// Bad input: another type than the parameter's.
    #[error("input `{input}` must be {expected}, not {given}")]
    InputType {
        /// Its name or number.
        input: String,
        /// The parameter's type.
        expected: String,
        /// The tensor's type.
        given: String,
    },
    /// Bad input: a symbolic extent outside its bounds.
    #[error("the extent `{symbol}` is {value}, outside {lower}..={upper}")]
    SymbolBounds {
        /// Its name.
        symbol: String,
        /// Its value.
        value: i64,
        /// Smallest value that it may have.
        lower: i64,
        /// Largest value that it may have.
        upper: i64,
    },
    /// Bad input: a symbolic extent with two values.
    #[error("the extent `{symbol}` is {first} in one place and {second} in another")]
    SymbolConflict {
        /// Its name.
        symbol: String,
        /// One value.
        first: i64,
        /// The other.
        second: i64,
    },
    /// Run-time data error: an index points outside the dimension that it indexes.
    #[error("the index {index} is outside 0..{extent}")]
    IndexOutOfRange {
        /// The index.
        index: i128,
        /// Extent of the indexed dimension.
        extent: usize,
    },
    /// Run-time data error: a loop went on for longer than its budget.
    #[error("the loop takes more than {limit} trips")]
    TripLimit {
        /// The budget.
        limit: i64,
    },
    /// The evaluation needs more than [`super::Limits`] allow.
    #[error("the evaluation exceeds its limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Unsupported: no custom call is registered under this name.
    #[error("no custom call is registered as `{0}`")]
    UnknownCustomCall(String),
    /// The registered custom call failed, or its results have other types than the op promises.
    #[error("the custom call `{target}` failed: {reason}")]
    CustomCall {
        /// Its name.
        target: String,
        /// One sentence.
        reason: String,
    },
    /// Unsupported: a symbolic extent that no input shape determines.
    #[error("no input determines the extent `{0}`")]
    UnboundExtent(String),
    /// The op does not fit its operands, so the graph was never verified.
    #[error(transparent)]
    IllTyped(#[from] InferError),
    /// Our bug: the result has another type than inference says.
    #[error("internal error: {0}")]
    Internal(String),
}

impl EvalErrorKind {
    /// Our bug: a result with another number of elements than its shape says.
    pub(super) fn wrong_size(dtype: DType, shape: &[usize], bytes: usize) -> EvalErrorKind {
        EvalErrorKind::Internal(format!("{bytes} bytes for {dtype}{shape:?}"))
    }
}

impl From<EvalErrorKind> for EvalError {
    fn from(kind: EvalErrorKind) -> EvalError {
        EvalError { kind, nodes: Vec::new() }
    }
}

impl EvalError {
    /// The error as seen from a node around it.
    pub(super) fn within(mut self, node: &str) -> EvalError {
        self.nodes.insert(0, node.into());
        self
    }
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for node in &self.nodes {
            write!(f, "{node}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for EvalError {}
