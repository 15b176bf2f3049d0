//! The model of a command, its inputs, and runs of it.

use super::arguments::{BackendName, ModelArguments};
use super::arrays::{self, Arrays};
use super::failure::Failure;
use crate::api::{Compiler, LoadedModel, Options, Session, read_text};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The model, read if it is text.
pub(super) fn load(path: &Path, options: Options) -> Result<LoadedModel, Failure> {
    let compiler = Compiler::new(options);
    match path.extension().is_some_and(|extension| extension == "gir") {
        // Not by `Compiler::load`, whose error is one sentence without the text around it.
        true => Ok(compiler.module(read_text(path)?)),
        false => Ok(compiler.load(path)?),
    }
}

/// Files of inputs.
#[derive(Args, Debug)]
pub(super) struct InputArguments {
    /// Inputs: an npz file with an array per input, or the npy file of a single input
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// One input: an npy file
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = arrays::parse_named)]
    named: Vec<(String, PathBuf)>,
}

impl InputArguments {
    /// Whether no file is given.
    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_none() && self.named.is_empty()
    }

    /// The arrays. The model is asked only where a file has no names.
    pub(super) fn read(&self, model: &LoadedModel) -> Result<Arrays, Failure> {
        let mut inputs = Arrays::new();
        if let Some(path) = &self.inputs {
            inputs = match arrays::is_npy(path)? {
                true => match &model.input_names()?[..] {
                    [only] => arrays::read(path, Some(only))?,
                    _ => {
                        return Err(Failure::file(
                            path,
                            "is an npy file, which does for a model with one input only",
                        ));
                    }
                },
                false => arrays::read(path, None)?,
            };
        }
        for (name, path) in &self.named {
            let mut read = arrays::read(path, Some(name))?;
            let Some(tensor) = read.remove(name) else {
                return Err(Failure::file(path, format!("has no array `{name}`")));
            };
            if inputs.insert(name.clone(), tensor).is_some() {
                return Err(Failure::usage(format!("the input `{name}` is given twice")));
            }
        }
        Ok(inputs)
    }
}

/// A compiled model with its inputs.
pub(super) struct Prepared {
    pub(super) session: Session,
    pub(super) inputs: Arrays,
}

/// Compiles the model of the arguments for the inputs.
pub(super) fn prepare(
    model: &ModelArguments,
    backend: BackendName,
    files: &InputArguments,
) -> Result<Prepared, Failure> {
    let options = model.options(backend)?;
    let _limits = model.limits();
    let loaded = load(&model.model, options)?;
    let mut inputs = files.read(&loaded)?;
    let mut session = loaded.jit()?.session()?;
    let shapes: BTreeMap<String, Vec<usize>> =
        inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
    session.prepare(&shapes)?;
    if let Some(signature) = session.signature() {
        arrays::conform(&mut inputs, &signature.inputs);
    }
    Ok(Prepared { session, inputs })
}
