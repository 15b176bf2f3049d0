//! The kernels of a program.

use super::cranelift::entry::table::needs_copy;
use super::{CodegenError, KernelCompiler, MachineCode, copy};
use crate::kernel::Kernel;
use crate::program::Program;
use crate::target::Target;
use rayon::prelude::*;

/// On how many threads kernels are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompileThreads {
    /// On the calling thread only.
    #[default]
    One,
    /// On as many as the machine has.
    All,
}

/// Compiles the kernels of a program, in order, and the one that copies if the program has steps that do.
///
/// # Errors
/// The first that a kernel meets; see [`KernelCompiler::compile`].
pub fn compile_kernels(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    threads: CompileThreads,
) -> Result<Vec<MachineCode>, CodegenError> {
    let copy = needs_copy(program).then(|| copy::kernel(target));
    let kernels: Vec<&Kernel> = program.kernels.values().chain(&copy).collect();
    match threads {
        CompileThreads::One => kernels.into_iter().map(|kernel| compiler.compile(kernel)).collect(),
        CompileThreads::All => kernels.into_par_iter().map(|kernel| compiler.compile(kernel)).collect(),
    }
}
