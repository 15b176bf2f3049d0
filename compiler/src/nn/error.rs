//! Why a model can't be built.

use crate::autograd::GradError;
use crate::error::{Error, Place};
use crate::train::initializer::DrawError;
use graven_ir::infer::InferError;

/// Why a model can't be built.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A layer does not fit what it is given: bad usage. It names the layer's path.
    #[error("{path}: {reason}")]
    Layer {
        /// The path of the layer, such as `encoder.0.linear1`.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// An op does not take these operands: bad usage of the graph builder.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// First values can't be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// There is no gradient.
    #[error(transparent)]
    Grad(#[from] GradError),
    /// Weights don't fit the model: bad input.
    #[error("`{name}`: {reason}")]
    Weights {
        /// The parameter.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

impl From<NnError> for Error {
    fn from(error: NnError) -> Error {
        Error::bad_input(Place::new("the model"), error.to_string())
    }
}
