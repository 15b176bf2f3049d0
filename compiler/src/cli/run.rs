//! `graven run`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::Outcome;
use super::model::{InputArguments, prepare};
use super::output::say;
use super::{arrays, output};
use std::path::PathBuf;

/// Run a model and print a summary of each output
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    inputs: InputArguments,
    /// Write the outputs to an npz file
    #[arg(long, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// What makes the code
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        // Before the work, so that an unwritable path is noticed now.
        let file = self.outputs.as_deref().map(output::create).transpose()?;
        let mut prepared = prepare(&self.model, self.backend, &self.inputs)?;
        let outputs = prepared.session.run_tensors(&prepared.inputs)?;
        if let Some(file) = file {
            arrays::write(file, &outputs)?;
        }
        outputs.iter().for_each(|(name, tensor)| say!("{}", arrays::summary_line(name, tensor)));
        Ok(())
    }
}
