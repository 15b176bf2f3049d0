//! What can go wrong outside a run function.

use alloc::string::String;

use crate::abi::RunError;

/// An error of the runtime; each message is one sentence without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A file, an array or an argument of the user's is wrong.
    BadInput(String),
    /// The run function refused the data.
    Run(RunError),
    /// Something that is legal but that this runtime, this build or this CPU can't do.
    Unsupported(String),
    /// The operating system refused a file, memory or a thread.
    System(String),
    /// The model's descriptor contradicts itself or its interface.
    Model(String),
}

impl Error {
    /// The sentence.
    pub fn message(&self) -> &str {
        match self {
            Error::BadInput(text) | Error::Unsupported(text) | Error::System(text) | Error::Model(text) => {
                text
            }
            Error::Run(error) => error.message(),
        }
    }

    /// The exit code of an executable that ends with this error.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::BadInput(_) | Error::Run(_) | Error::System(_) => 2,
            Error::Unsupported(_) | Error::Model(_) => 3,
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Error {}
