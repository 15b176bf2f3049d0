//! `graven compile`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::{Failure, Outcome};
use super::model::load;
use super::train::{Bound, StepArguments};
use super::{arrays, output, text};
use crate::api::{Listing, LoadedModel, Options, Product, WeightsMode, train_step_model};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Compile a model to an executable, an object file or a library
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The file to write; `-` is standard output, for kinds that are text
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Compile for inputs of the shapes that the arrays of this npz file have
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// What to write; obj, staticlib and cdylib come with a C header next to them
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    emit: Emit,
    /// Target triple, such as aarch64-unknown-linux-gnu; by default this machine
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Where the weights are
    #[arg(long, value_enum, default_value_t)]
    weights: Weights,
    /// What makes the code
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
    /// Compile the train step instead of the model; as an executable it trains from files
    #[arg(long, requires = "batch")]
    train: bool,
    /// Samples per step
    #[arg(long, value_name = "N", requires = "train", help_heading = "Train step")]
    batch: Option<usize>,
    /// Number of steps, for a schedule that depends on it
    #[arg(long, value_name = "N", requires = "train", help_heading = "Train step")]
    steps: Option<u64>,
    #[command(flatten)]
    step: Option<StepArguments>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// Executable that reads and writes npz files
    #[default]
    Exe,
    /// Object file without undefined symbols
    Obj,
    /// Static library
    Staticlib,
    /// Shared library
    Cdylib,
    /// Entry functions and kernels in Cranelift's intermediate representation, as text
    Clif,
    /// Entry functions and kernels as instructions, as text
    Asm,
    /// Graph IR as text, or as JSON if OUT ends with .json, with large constants in a safetensors file next to it
    Gir,
    /// Kernel IR as text
    Kir,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Weights {
    /// In the output
    #[default]
    Embed,
    /// In a file OUT.weights
    File,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let options = self.options()?;
        options.target()?;
        let _limits = self.model.limits();
        let mut loaded = load(&self.model.model, options)?;
        if let Some(path) = &self.inputs {
            let arrays = arrays::read(path, None)?;
            let shapes = arrays.into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec()));
            loaded = loaded.with_input_shapes(shapes.collect());
        }
        match (&self.step, self.batch.filter(|_| self.train)) {
            (Some(step), Some(batch)) => loaded = self.train_step(step, batch, loaded)?,
            (None, Some(_)) => return Err(Failure::usage("--train needs --loss NAME and --optimizer NAME")),
            (Some(_), None) => return Err(Failure::usage("loss, optimizer and the like need --train")),
            (None, None) => {}
        }
        let product = match self.emit {
            Emit::Exe => Product::Executable,
            Emit::Obj => Product::Object,
            Emit::Staticlib => Product::StaticLibrary,
            Emit::Cdylib => Product::SharedLibrary,
            Emit::Gir => return text::write(&loaded.module()?.module, &self.output),
            Emit::Clif => return list(&loaded, Listing::Clif, &self.output),
            Emit::Asm => return list(&loaded, Listing::Assembly, &self.output),
            Emit::Kir => return list(&loaded, Listing::Kernels, &self.output),
        };
        Ok(loaded.write(product, &self.output)?)
    }

    /// The train step of a model for batches of this size.
    fn train_step(
        &self,
        step: &StepArguments,
        batch: usize,
        loaded: LoadedModel,
    ) -> Result<LoadedModel, Failure> {
        let steps = match (step.needs_length(), self.steps) {
            (true, None) => {
                return Err(Failure::usage("the schedule depends on the number of steps; give --steps N"));
            }
            (true, Some(steps)) => steps,
            (false, _) => 0,
        };
        let options = self.options()?;
        let bound = Bound::new(&loaded.with_batch_norm(step.batch_norm()), batch)?;
        let step = step.options(&bound, steps, 0)?;
        Ok(train_step_model(&bound.module, &step, options, steps)?)
    }

    fn options(&self) -> Result<Options, Failure> {
        let mut options = self.model.options(self.backend)?;
        options.target.clone_from(&self.target);
        options.weights = match self.weights {
            Weights::Embed => WeightsMode::Embed,
            Weights::File => WeightsMode::File,
        };
        Ok(options)
    }
}

fn list(loaded: &LoadedModel, listing: Listing, path: &Path) -> Outcome {
    output::write(path, loaded.listing(listing)?.as_bytes())
}
