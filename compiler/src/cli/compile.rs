//! `graven compile`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::{Failure, Outcome};
use super::limits::Limits;
use super::model::load;
use super::{arrays, text};
use crate::api::{Product, WeightsMode};
use crate::error::{Error, Place};
use clap::ValueEnum;
use std::path::PathBuf;

/// Compile a model to an executable, an object file or a library
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The file to write
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
    /// Cranelift's text form
    Clif,
    /// Assembly
    Asm,
    /// Graph IR
    Gir,
    /// Kernel IR
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
        let mut options = self.model.options(self.backend)?;
        options.target = self.target;
        options.weights = match self.weights {
            Weights::Embed => WeightsMode::Embed,
            Weights::File => WeightsMode::File,
        };
        options.target()?;
        let mut loaded = load(&self.model.model, options)?;
        if let Some(path) = &self.inputs {
            let arrays = arrays::read(path, None)?;
            let shapes = arrays.into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec()));
            loaded = loaded.with_input_shapes(shapes.collect());
        }
        let _limits = Limits::set(self.model.max_memory, self.model.max_seconds);
        let product = match self.emit {
            Emit::Exe => Product::Executable,
            Emit::Obj => Product::Object,
            Emit::Staticlib => Product::StaticLibrary,
            Emit::Cdylib => Product::SharedLibrary,
            Emit::Gir => return text::write(&loaded.module()?.module, &self.output),
            Emit::Clif | Emit::Asm | Emit::Kir => {
                let name = self.emit.to_possible_value();
                let name = name.as_ref().map_or("", |value| value.get_name());
                let reason = format!("`--emit {name}` is not built yet");
                return Err(Failure::Compiler(Error::unsupported(Place::new("command line"), reason)));
            }
        };
        Ok(loaded.write(product, &self.output)?)
    }
}
