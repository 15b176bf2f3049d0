//! Why a node could not be translated; the graph importer adds the place.

use crate::error::{Error, Place};
use crate::import::MemoryExhausted;
use graven_ir::infer::InferError;

/// What went wrong at a node.
#[derive(Debug)]
pub(super) enum Failure {
    /// The model is wrong.
    BadInput(String),
    /// The node can't be compiled.
    Unsupported(String),
    /// An error that already has its place.
    Placed(Error),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The error at a place.
    pub(super) fn at(self, place: Place) -> Error {
        match self {
            Failure::BadInput(reason) => Error::BadInput { place, reason },
            Failure::Unsupported(reason) => Error::Unsupported { place, reason },
            Failure::Placed(error) => error,
        }
    }
}

/// Operands that do not fit an op: the model's types are wrong.
impl From<InferError> for Failure {
    fn from(error: InferError) -> Failure {
        Failure::BadInput(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Placed(error)
    }
}

/// What the user allows is not enough for the model.
impl From<MemoryExhausted> for Failure {
    fn from(error: MemoryExhausted) -> Failure {
        Failure::BadInput(error.to_string())
    }
}

/// The model is wrong.
pub(super) fn bad_input<T>(reason: impl Into<String>) -> Result<T> {
    Err(Failure::BadInput(reason.into()))
}

/// The node can't be compiled.
pub(super) fn unsupported<T>(reason: impl Into<String>) -> Result<T> {
    Err(Failure::Unsupported(reason.into()))
}
