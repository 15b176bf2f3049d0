//! What can go wrong outside a run function.

use alloc::boxed::Box;
use alloc::string::String;

use crate::abi::RunError;
use crate::text::text;

/// An error of the runtime: its kind and one sentence without its full stop.
///
/// A single pointer, since every `Result` in an executable would otherwise carry the sentence around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<(Kind, String)>);

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, an array or an argument of the user's is wrong.
    BadInput,
    /// The run function refused the data.
    Run(RunError),
    /// Something that is legal but that this runtime, this build or this CPU can't do.
    Unsupported,
    /// The operating system refused a file, memory or a thread.
    System,
    /// The model's descriptor contradicts itself or its interface.
    Model,
}

impl Error {
    /// An error of this kind.
    #[cold]
    #[inline(never)]
    pub fn new(kind: Kind, message: String) -> Error {
        Error(Box::new((kind, message)))
    }

    pub(crate) fn bad_input(message: String) -> Error {
        Error::new(Kind::BadInput, message)
    }

    pub(crate) fn unsupported(message: String) -> Error {
        Error::new(Kind::Unsupported, message)
    }

    pub(crate) fn system(message: String) -> Error {
        Error::new(Kind::System, message)
    }

    pub(crate) fn model(message: String) -> Error {
        Error::new(Kind::Model, message)
    }

    /// The same error with a place before its sentence.
    pub(crate) fn at(self, place: &str) -> Error {
        Error::new(self.kind(), text!("%: %", place, self.message()))
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.0.0
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.1
    }

    /// The exit code of an executable that ends with this error.
    pub fn exit_code(&self) -> i32 {
        match self.kind() {
            Kind::BadInput | Kind::Run(_) | Kind::System => 2,
            Kind::Unsupported | Kind::Model => 3,
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        Error::new(Kind::Run(error), text!("%", error.message()))
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Error {}
