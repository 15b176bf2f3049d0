//! The portable backend: kernels and entry functions through Cranelift.
//!
//! * `isa`: a target as Cranelift's settings
//! * `shape`: how values of the kernel IR are held in Cranelift's values
//! * `function`: a kernel as a function: arguments, scratch memory, the split into tasks
//! * `control`: statements, loops, branches; `liveness`: where values die
//! * `memory`: loads and stores, any spread and mask
//! * `constant`, `arithmetic`, `division`, `rounding`, `lanes`, `shuffle`, `mask`: operations
//! * `convert`, `half`: conversions by value
//! * [`entry`]: the functions by which a model is called
//!
//! Cranelift has vectors of 128 bits. A wider value is held in several of them and a narrower one in part of one, and where a target has no vectors
//! each lane is a scalar. So this backend takes any kernel, not only those that are scheduled for its width.
//!
//! Cranelift's optimiser is off. It would move every operation without side effects to where its result is used first but leave the loads
//! where they are, which takes an unrolled loop apart into loads first and arithmetic later, with the values in between spilled. A schedule's order is better: the same
//! matrix multiplication runs at a half to two thirds of that speed with the optimiser. What it would do for addresses is done by the builder of
//! kernels (common subexpressions, hoisting) and in `division`.

mod arithmetic;
mod constant;
mod control;
mod convert;
mod division;
pub mod entry;
mod function;
mod half;
pub(crate) mod isa;
mod lanes;
mod liveness;
mod mask;
mod memory;
mod rounding;
mod shape;
mod shuffle;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use function::signature as kernel_signature;

use super::{CodegenError, KernelCompiler, MachineCode};
use crate::kernel::Kernel;
use crate::target::Target;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use isa::Machine;

/// Compiles kernels through Cranelift.
pub struct CraneliftCompiler {
    machine: Machine,
}

impl CraneliftCompiler {
    /// A compiler for a target.
    ///
    /// # Errors
    /// [`CodegenError::Bug`] if Cranelift does not take the target's settings.
    pub fn new(target: &Target) -> Result<CraneliftCompiler, CodegenError> {
        Ok(CraneliftCompiler { machine: Machine::new(target)? })
    }

    /// Cranelift's view of the target.
    pub fn isa(&self) -> &OwnedTargetIsa {
        &self.machine.isa
    }

    /// The kernel in Cranelift's own intermediate representation, before optimisation, as text.
    ///
    /// # Errors
    /// As [`KernelCompiler::compile`].
    pub fn clif(&self, kernel: &Kernel) -> Result<String, CodegenError> {
        Ok(self.build(kernel)?.display().to_string())
    }

    fn build(&self, kernel: &Kernel) -> Result<Function, CodegenError> {
        let mut context = FunctionBuilderContext::new();
        function::build(kernel, &self.machine, &mut context)
    }
}

impl KernelCompiler for CraneliftCompiler {
    fn compile(&self, kernel: &Kernel) -> Result<MachineCode, CodegenError> {
        let mut context = Context::for_function(self.build(kernel)?);
        let code = context
            .compile(&*self.machine.isa, &mut ControlPlane::default())
            .map_err(|error| bug(kernel, format!("{:?}", error.inner)))?;
        if let Some(relocation) = code.buffer.relocs().first() {
            return Err(bug(kernel, format!("the code refers to {:?}", relocation.target)));
        }
        let alignment = code.buffer.alignment.max(isa::FUNCTION_ALIGNMENT);
        Ok(MachineCode { bytes: code.code_buffer().to_vec(), alignment })
    }

    fn assembly(&self, kernel: &Kernel) -> Result<String, CodegenError> {
        let mut context = Context::for_function(self.build(kernel)?);
        context.set_disasm(true);
        let code = context
            .compile(&*self.machine.isa, &mut ControlPlane::default())
            .map_err(|error| bug(kernel, format!("{:?}", error.inner)))?;
        Ok(code.vcode.clone().unwrap_or_default())
    }
}

fn bug(kernel: &Kernel, what: impl Into<String>) -> CodegenError {
    CodegenError::Bug { kernel: kernel.name.clone(), what: what.into() }
}
