//! What the user decides about a compilation.

pub use crate::accuracy::Accuracy;
use crate::error::{Error, Place};
use crate::import::DimBinding;
pub use crate::remarks::Remark;
use crate::target::{Target, TargetError};
use graven_ir::{Constants, Graph};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What makes the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The fastest one that the target has: `Wide` where its CPU has AVX2 with FMA or AVX-512, else `Cranelift`.
    #[default]
    Auto,
    /// AVX2 and AVX-512 kernels.
    Wide,
    /// Cranelift, 128-bit vectors.
    Cranelift,
    /// No code: the reference interpreter, which is slow.
    Interp,
}

impl Backend {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Wide => "wide",
            Backend::Cranelift => "cranelift",
            Backend::Interp => "interp",
        }
    }
}

/// Where an executable's weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WeightsMode {
    /// In the read-only data of the code.
    #[default]
    Embed,
    /// In a file of their own.
    File,
}

/// Sees what a compilation does.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A stage is over: a pass, `form` (graph to kernels), `code` (kernels to machine code).
    fn stage(&self, name: &str, time: Duration);

    /// A function's graph after a pass.
    fn graph(&self, pass: &str, constants: &Constants, graph: &Graph);

    /// Whether it wants to hear what was and what was not optimised.
    fn wants_remarks(&self) -> bool {
        false
    }

    /// What was optimised, or not, and why.
    fn remark(&self, _remark: &Remark) {}
}

/// What the user decides about a compilation. [`Options::default`] is this machine, all its CPUs and no limits.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Values or ranges of the model's named extents.
    pub dims: BTreeMap<String, DimBinding>,
    /// The target's triple; the host's if `None`.
    pub target: Option<String>,
    /// The CPU's name; for the host `native` if `None`, for other targets the base of the architecture.
    pub cpu: Option<String>,
    /// Threads of a session, and what a compilation may use; as many as there are CPUs to use if `None`.
    pub threads: Option<usize>,
    /// What makes the code.
    pub backend: Backend,
    /// Where an executable's weights are.
    pub weights: WeightsMode,
    /// Which rewrites of arithmetic passes and schedules may use.
    pub accuracy: Accuracy,
    /// The most bytes that weights, arena, inputs and outputs may take together.
    pub max_memory: Option<u64>,
    /// The most bytes that the arena may take. Where it would take more, values are computed again instead of kept, with the same bits; it is an error if that does
    /// not suffice.
    pub max_arena: Option<u64>,
    /// How long the passes and the forming of kernels may take; looked at when they are done.
    pub max_time: Option<Duration>,
    /// Sees what the compilation does.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Options {
    pub(crate) fn stage(&self, name: &str, time: Duration) {
        if let Some(observer) = &self.observer {
            observer.stage(name, time);
        }
    }

    /// The target's description.
    ///
    /// # Errors
    /// Bad input for unknown CPUs and malformed triples, unsupported for targets without a code generator.
    pub fn target(&self) -> Result<Target, Error> {
        let host;
        let (triple, cpu) = match (&self.target, &self.cpu) {
            (Some(triple), cpu) => (triple.as_str(), cpu.as_deref()),
            (None, cpu) => {
                host = target_lexicon::Triple::host().to_string();
                (host.as_str(), Some(cpu.as_deref().unwrap_or("native")))
            }
        };
        let target = Target::new(triple, cpu).map_err(|error| match error {
            TargetError::Unsupported { .. } => Error::unsupported(Place::new("target"), error.to_string()),
            _ => Error::bad_input(Place::new("target"), error.to_string()),
        })?;
        if !matches!(self.backend, Backend::Auto | Backend::Wide) {
            return Ok(target);
        }
        match target.clone().widened() {
            Some(widened) => Ok(widened),
            None if self.backend == Backend::Auto => Ok(target),
            None => {
                let cpu = target.cpu;
                let reason = format!("`wide` needs AVX2 with FMA, or AVX-512, which the CPU `{cpu}` has not");
                Err(Error::unsupported(Place::new("backend"), reason))
            }
        }
    }

    /// The backend that `Auto` stands for.
    pub(crate) fn chosen_backend(&self) -> Result<Backend, Error> {
        Ok(match self.backend {
            Backend::Auto if self.target()?.vector_bytes > 16 => Backend::Wide,
            Backend::Auto => Backend::Cranelift,
            chosen => chosen,
        })
    }

    /// Threads of a session.
    ///
    /// # Errors
    /// Bad input for a number that no pool can have.
    pub fn threads(&self) -> Result<usize, Error> {
        let most = graven_runtime::pool::MAX_WORKERS;
        match self.threads {
            None => Ok(graven_runtime::sys::cpus::available()),
            Some(threads) if (1..=most).contains(&threads) => Ok(threads),
            Some(threads) => {
                Err(Error::bad_input(Place::new("threads"), format!("{threads} is not in 1..={most}")))
            }
        }
    }
}
