//! A compiled model in executable memory.

use super::code::{Code, JitError};
use super::kernel::check_host;
use super::session::SessionError;
use crate::codegen::abi::KernelFunction;
use crate::codegen::cranelift::entry::{self, EntryNames};
use crate::codegen::cranelift::isa;
use crate::codegen::program::{CompileThreads, compile_kernels};
use crate::codegen::{self, KernelCompiler};
use crate::emit::weights;
use crate::program::{CustomSignature, Port, Program};
use crate::target::Target;
use graven_ir::{Dim, Symbol, TensorType};
use graven_runtime::{abi, arena::Arena};
use std::sync::Arc;
use target_lexicon::Endianness;

/// How a model is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitOptions {
    /// On how many threads.
    pub threads: CompileThreads,
}

/// A model that can be run: immutable, shared by its sessions, its code freed with the last of them.
#[derive(Clone)]
pub struct CompiledModel(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub run: abi::Run,
    pub kernels: Vec<KernelFunction>,
    pub weights: Arena,
    pub program: Outline,
    code_bytes: usize,
    /// Holds the memory of `run` and `kernels`.
    _code: Code,
}

/// What of a program is needed to run it.
pub(super) struct Outline {
    pub name: String,
    pub symbols: Vec<Symbol>,
    /// Which symbols runs set.
    pub results: Vec<bool>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub states: Vec<Port>,
    pub custom_calls: Vec<CustomSignature>,
    pub arena_bytes: u64,
    pub scratch_bytes: u64,
    /// The program without its weights, for profiles.
    pub steps: super::profile::Steps,
}

impl CompiledModel {
    /// Compiles a program for a target that this machine can run, by the backend that its kernels are scheduled for.
    ///
    /// # Errors
    /// See [`JitError`].
    pub fn new(program: &Program, target: &Target, options: JitOptions) -> Result<CompiledModel, JitError> {
        CompiledModel::with_compiler(program, target, &*codegen::compiler(target)?, options)
    }

    /// Compiles a program, its kernels by the given backend.
    ///
    /// # Errors
    /// See [`JitError`].
    pub fn with_compiler(
        program: &Program,
        target: &Target,
        compiler: &dyn KernelCompiler,
        options: JitOptions,
    ) -> Result<CompiledModel, JitError> {
        check_host(target)?;
        let kernels = compile_kernels(program, target, compiler, options.threads)?;
        let mut code = Code::new(isa::for_jit(target)?);
        let names = EntryNames { prefix: "model", exported: false };
        let functions = entry::define(code.module(), program, target, &kernels, &names, None)?;
        code.finish()?;
        let address = code.address(functions.run);
        // SAFETY: the address is that of a finished function with the signature of run functions.
        let run = unsafe { std::mem::transmute::<*const u8, abi::Run>(address) };
        let addresses = functions.kernels.iter().map(|id| code.address(*id));
        // SAFETY: as above, with the signature of kernels.
        let kernel = |address| unsafe { std::mem::transmute::<*const u8, KernelFunction>(address) };
        Ok(CompiledModel(Arc::new(Inner {
            run,
            kernels: addresses.map(kernel).collect(),
            weights: packed_weights(program)?,
            program: Outline::of(program),
            code_bytes: kernels.iter().map(|code| code.bytes.len()).sum(),
            _code: code,
        })))
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.0.program.name
    }

    /// Names and types of the inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.0.program.inputs
    }

    /// Names and types of the outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.0.program.outputs
    }

    /// Names and types of the states.
    pub fn states(&self) -> &[Port] {
        &self.0.program.states
    }

    /// Run-time extents.
    pub fn symbols(&self) -> &[Symbol] {
        &self.0.program.symbols
    }

    /// Bytes of the kernels' code.
    pub fn code_bytes(&self) -> usize {
        self.0.code_bytes
    }

    /// Bytes of the weights as they are packed.
    pub fn weights_bytes(&self) -> usize {
        self.0.weights.len()
    }

    /// Bytes of working memory of a session with so many workers.
    pub fn arena_bytes(&self, workers: usize) -> u64 {
        let program = &self.0.program;
        program.arena_bytes.saturating_add(program.scratch_bytes.saturating_mul(workers as u64))
    }

    /// The shapes of the outputs for inputs of these shapes; bounds where they depend on data.
    ///
    /// # Errors
    /// [`SessionError`] if they are no shapes of the inputs.
    pub fn output_shapes(&self, inputs: &[&[usize]]) -> Result<Vec<Vec<usize>>, SessionError> {
        let program = &self.0.program;
        let mut values = vec![0; program.symbols.len()];
        program.bind(inputs.len(), |n| inputs[n], &mut values)?;
        let shape = |port: &Port| port.ty.shape.iter().map(|dim| program.bound(dim, &values)).collect();
        Ok(program.outputs.iter().map(shape).collect())
    }
}

fn packed_weights(program: &Program) -> Result<Arena, JitError> {
    let bytes = usize::try_from(program.weights_bytes).unwrap_or(usize::MAX);
    let mut blob = Arena::new(bytes).map_err(|error| JitError::Memory(error.message().to_string()))?;
    let native = if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little };
    weights::fill(program, &mut blob, native)?;
    Ok(blob)
}

impl Outline {
    fn of(program: &Program) -> Outline {
        Outline {
            name: program.name.clone(),
            symbols: program.symbols.clone(),
            results: (0..program.symbols.len()).map(|n| program.is_result(n)).collect(),
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
            states: program.states.clone(),
            custom_calls: program.custom_calls.clone(),
            arena_bytes: program.arena_bytes,
            scratch_bytes: program.scratch_bytes,
            steps: super::profile::Steps::of(program),
        }
    }

    /// The value of an extent for values of the symbols.
    pub fn extent(&self, dim: &Dim, values: &[i64]) -> usize {
        let value = |symbol: &Symbol| {
            self.symbols.iter().position(|other| other == symbol).and_then(|place| values.get(place).copied())
        };
        dim.evaluate(&value).and_then(|extent| usize::try_from(extent).ok()).unwrap_or(0)
    }

    /// The value of an extent before the run: its greatest one if it depends on data.
    pub fn bound(&self, dim: &Dim, values: &[i64]) -> usize {
        let is_result = |(symbol, result): (&Symbol, &bool)| *result && dim.contains(symbol);
        match self.symbols.iter().zip(&self.results).any(is_result) {
            true => usize::try_from(dim.upper()).unwrap_or(0),
            false => self.extent(dim, values),
        }
    }

    /// Sets the symbols from the shapes of the inputs, which must agree with each other and with the bounds.
    pub fn bind<'s>(
        &self,
        count: usize,
        shape: impl Fn(usize) -> &'s [usize],
        values: &mut [i64],
    ) -> Result<(), SessionError> {
        if count != self.inputs.len() {
            return Err(SessionError::Count { what: "inputs", given: count, expected: self.inputs.len() });
        }
        values.fill(i64::MIN);
        for (n, port) in self.inputs.iter().enumerate() {
            let given = shape(n);
            if given.len() != port.ty.rank() {
                return Err(SessionError::shape("input", port, given));
            }
            for (dim, extent) in port.ty.shape.iter().zip(given) {
                let Some(symbol) = dim.as_symbol() else { continue };
                let place = self.symbols.iter().position(|other| other == symbol);
                let extent = i64::try_from(*extent).unwrap_or(i64::MAX);
                if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                    if *value != i64::MIN && *value != extent {
                        return Err(SessionError::Disagree {
                            symbol: symbol.clone(),
                            extents: (*value, extent),
                        });
                    }
                    *value = extent;
                }
            }
        }
        self.check_bounds(values)?;
        for (n, port) in self.inputs.iter().enumerate() {
            self.check_shape("input", port, shape(n), values)?;
        }
        Ok(())
    }

    fn check_bounds(&self, values: &mut [i64]) -> Result<(), SessionError> {
        for (symbol, value) in self.symbols.iter().zip(values) {
            // A symbol that no input has is set by the run.
            if *value == i64::MIN {
                *value = symbol.upper();
            }
            if !(symbol.lower()..=symbol.upper()).contains(value) {
                return Err(SessionError::Bounds { symbol: symbol.clone(), extent: *value });
            }
        }
        Ok(())
    }

    /// Whether a shape is that of a port for these values of the symbols.
    pub fn check_shape(
        &self,
        what: &'static str,
        port: &Port,
        given: &[usize],
        values: &[i64],
    ) -> Result<(), SessionError> {
        let dims = &port.ty.shape;
        let equal = given.len() == dims.len()
            && dims.iter().zip(given).all(|(dim, extent)| self.bound(dim, values) == *extent);
        if equal { Ok(()) } else { Err(SessionError::shape(what, port, given)) }
    }

    /// The most bytes that a tensor of a type takes.
    pub fn upper_bytes(ty: &TensorType) -> Option<usize> {
        usize::try_from(ty.checked_upper_elements()?).ok()?.checked_mul(ty.dtype.bytes())
    }
}
