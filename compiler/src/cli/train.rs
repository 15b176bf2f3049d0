//! `graven train`: its place on the command line.

use super::failure::{Failure, Outcome};
use crate::error::{Error, Place};
use clap::Args;
use std::ffi::OsString;

/// Train a model
#[derive(Args)]
pub(super) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<OsString>,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let error = Error::unsupported(Place::new("command line"), "`graven train` is not built yet");
        Err(Failure::Compiler(error))
    }
}
