//! The wide x86-64 backend: kernels with vectors of 256 and 512 bits.
//!
//! For x86-64-v3 (AVX2, FMA, F16C, BMI2: 256 bits, 16 registers) and x86-64-v4 (AVX-512 F, BW, DQ, VL: 512 bits, 32 registers, mask registers).
//!
//! * `inst`: the machine instructions, one row each
//! * `vcode`: instructions over virtual registers, in blocks
//! * `isel`: kernel IR to instructions
//! * `registers`, `frame`: the registers, the calling conventions, the stack
//! * `constants`, `assemble`, `encode`: bytes
//! * `listing`: the machine code as text
//!
//! Registers are allocated by `regalloc2`, which in debug builds is checked by its own checker. Instructions are encoded by `iced-x86`.

mod assemble;
mod constants;
mod encode;
mod frame;
mod inst;
mod isel;
mod listing;
mod registers;
#[cfg(test)]
mod tests;
mod vcode;

use super::{CodegenError, KernelCompiler, MachineCode};
use crate::kernel::Kernel;
use crate::target::Target;
use regalloc2::{Algorithm, Output, RegallocOptions};
use registers::Level;
use target_lexicon::OperatingSystem;

/// Where functions start: at a cache line, which is where aligned loops within them count from.
const FUNCTION_ALIGNMENT: u32 = 64;

/// Compiles kernels with wide vectors.
pub struct WideCompiler {
    level: Level,
}

/// What is counted when a kernel is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Moves between registers and spill slots within loops that hold no other loops.
    pub innermost_spills: usize,
    /// All moves between registers and spill slots.
    pub spills: usize,
    /// Instructions.
    pub instructions: usize,
}

impl WideCompiler {
    /// A compiler for a target.
    ///
    /// # Errors
    /// [`CodegenError::Unsupported`] if the target lacks AVX2 or what comes with it.
    pub fn new(target: &Target) -> Result<WideCompiler, CodegenError> {
        let bytes = target.widest_vector().ok_or_else(|| CodegenError::Unsupported {
            kernel: String::new(),
            what: format!("a wide vector unit (AVX2 with FMA, or AVX-512) on the CPU `{}`", target.cpu),
        })?;
        let windows = target.triple.operating_system == OperatingSystem::Windows;
        // A target may ask for less than its CPU has.
        let avx512 = bytes == 64 && target.vector_bytes != 32;
        Ok(WideCompiler { level: Level { avx512, windows } })
    }

    /// Counts of a kernel's code.
    ///
    /// # Errors
    /// See [`KernelCompiler::compile`].
    pub fn statistics(&self, kernel: &Kernel) -> Result<Statistics, CodegenError> {
        let (code, output) = self.allocate(kernel)?;
        Ok(frame::statistics(&code, &output))
    }

    fn allocate(&self, kernel: &Kernel) -> Result<(vcode::VCode, Output), CodegenError> {
        let code = isel::select(kernel, self.level)?;
        let environment = self.level.environment();
        let options = RegallocOptions {
            verbose_log: false,
            validate_ssa: cfg!(debug_assertions),
            algorithm: Algorithm::Ion,
        };
        let output = regalloc2::run(&code, &environment, &options)
            .map_err(|error| bug(kernel, format!("register allocation: {error:?}")))?;
        if cfg!(debug_assertions) {
            let mut checker = regalloc2::checker::Checker::new(&code, &environment);
            checker.prepare(&output);
            checker.run().map_err(|errors| bug(kernel, format!("register allocation: {errors:?}")))?;
        }
        Ok((code, output))
    }
}

impl KernelCompiler for WideCompiler {
    fn compile(&self, kernel: &Kernel) -> Result<MachineCode, CodegenError> {
        let (code, output) = self.allocate(kernel)?;
        let encoded = encode::encode(&code, &output, self.level, false).map_err(|what| bug(kernel, what))?;
        Ok(MachineCode { bytes: encoded.bytes, alignment: FUNCTION_ALIGNMENT })
    }

    fn assembly(&self, kernel: &Kernel) -> Result<String, CodegenError> {
        let (code, output) = self.allocate(kernel)?;
        let encoded = encode::encode(&code, &output, self.level, true).map_err(|what| bug(kernel, what))?;
        Ok(listing::text(&encoded))
    }
}

fn bug(kernel: &Kernel, what: impl Into<String>) -> CodegenError {
    CodegenError::Bug { kernel: kernel.name.clone(), what: what.into() }
}
