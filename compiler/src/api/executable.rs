//! A model for known extents, ready to run.

use super::lower::{self, lower};
use super::{Backend, Options, Signature};
use crate::emit::jit::{self, JitOptions};
use crate::error::{Error, Place};
use graven_ir::Module;

/// A model for known extents.
pub(super) struct Specialised {
    signature: Signature,
    flops: u64,
    backend: Backend,
    pub(super) executable: Executable,
}

/// What runs.
pub(super) enum Executable {
    /// The reference interpreter.
    Interpreted(Box<Module>),
    /// Machine code.
    Compiled(jit::CompiledModel),
}

/// Sizes of a compiled model, and its arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// What made the code.
    pub backend: Backend,
    /// Arithmetic operations of contractions in a run; a multiply-add counts two.
    pub flops: u64,
    /// Working memory.
    pub arena_bytes: u64,
    /// Machine code.
    pub code_bytes: u64,
    /// Weights as they are packed.
    pub weights_bytes: u64,
}

impl Specialised {
    pub(super) fn new(module: Module, options: &Options) -> Result<Specialised, Error> {
        let Some(function) = module.functions.first() else {
            return Err(Error::bad_input(Place::new("the model"), "has no function"));
        };
        let signature = Signature::of(function);
        let flops = super::flops(&module).unwrap_or(0);
        let executable = match options.backend {
            Backend::Interp => Executable::Interpreted(Box::new(module)),
            Backend::Auto | Backend::Wide | Backend::Cranelift => {
                Executable::Compiled(compile(&module, options)?)
            }
        };
        Ok(Specialised { signature, flops, backend: options.chosen_backend()?, executable })
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn statistics(&self, threads: usize) -> Statistics {
        match &self.executable {
            Executable::Interpreted(module) => {
                let weights = module.constants.values().map(|constant| constant.tensor.byte_len() as u64);
                Statistics {
                    backend: self.backend,
                    flops: self.flops,
                    weights_bytes: weights.sum(),
                    ..Statistics::default()
                }
            }
            Executable::Compiled(model) => Statistics {
                backend: self.backend,
                flops: self.flops,
                arena_bytes: model.arena_bytes(threads),
                code_bytes: model.code_bytes() as u64,
                weights_bytes: model.weights_bytes() as u64,
            },
        }
    }
}

fn compile(module: &Module, options: &Options) -> Result<jit::CompiledModel, Error> {
    let target = options.target()?;
    let program = lower(module, &target, options)?;
    let start = std::time::Instant::now();
    let model =
        jit::CompiledModel::new(&program, &target, JitOptions::default()).map_err(lower::jit_error)?;
    options.stage("code", start.elapsed());
    Ok(model)
}
