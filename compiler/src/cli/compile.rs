//! `graven compile`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::{Failure, Outcome};
use super::limits::Limits;
use super::model::load;
use super::text;
use crate::api::WeightsMode;
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
    /// What to write; obj, staticlib and cdylib come with a C header next to them
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    emit: Emit,
    /// Target triple, such as aarch64-unknown-linux-gnu; by default this machine
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// CPU: native, or a name such as x86-64-v3 or cortex-a72; an unknown name lists the known ones
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Where the weights are
    #[arg(long, value_enum, default_value_t)]
    weights: Weights,
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
        let mut options = self.model.options(BackendName::Auto)?;
        options.target = self.target;
        options.cpu = self.cpu;
        options.weights = match self.weights {
            Weights::Embed => WeightsMode::Embed,
            Weights::File => WeightsMode::File,
        };
        options.target()?;
        let limits = Limits::set(self.model.max_memory, self.model.max_seconds);
        let module = load(&self.model.model, options)?.module()?.module;
        match self.emit {
            Emit::Gir => {
                drop(limits);
                text::write(&module, &self.output)
            }
            kind => {
                let name =
                    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string());
                let reason = format!("`--emit {name}` is not built yet");
                Err(Failure::Compiler(Error::unsupported(Place::new("command line"), reason)))
            }
        }
    }
}
