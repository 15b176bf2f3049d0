//! Machine code from kernels and programs.
//!
//! * [`abi`]: how kernels are called
//! * [`copy`]: the kernel that copies bytes
//! * [`program`]: the kernels of a program
//! * [`cranelift`]: kernels of 128-bit vectors on every target, and every entry function
//! * [`wide`]: kernels of 256- and 512-bit vectors on x86-64
//!
//! A backend turns one kernel into position-independent bytes that refer to nothing outside themselves, so that kernels can be
//! compiled in any order, on any number of threads, and put into executable memory or an object alike.

pub mod abi;
pub mod copy;
pub mod cranelift;
pub mod program;
pub mod wide;

use crate::kernel::Kernel;
use crate::target::Target;

/// A backend: compiles kernels, one at a time, from any thread.
pub trait KernelCompiler: Send + Sync {
    /// The machine code of a kernel. It follows the calling convention of [`abi`].
    ///
    /// # Errors
    /// [`CodegenError::Unsupported`] for a kernel that the target has no instructions for, [`CodegenError::Bug`] for an invalid one.
    fn compile(&self, kernel: &Kernel) -> Result<MachineCode, CodegenError>;

    /// The kernel's machine code as text, one instruction per line, for people.
    ///
    /// # Errors
    /// As [`KernelCompiler::compile`].
    fn assembly(&self, kernel: &Kernel) -> Result<String, CodegenError>;
}

/// The backend for kernels that are scheduled for a target: the wide one where its vectors are wider than the portable one's.
///
/// # Errors
/// As [`wide::WideCompiler::new`] and [`cranelift::CraneliftCompiler::new`].
pub fn compiler(target: &Target) -> Result<Box<dyn KernelCompiler>, CodegenError> {
    Ok(match target.vector_bytes {
        32.. => Box::new(wide::WideCompiler::new(target)?),
        _ => Box::new(cranelift::CraneliftCompiler::new(target)?),
    })
}

/// The code of a kernel: position independent and complete, its constants included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineCode {
    /// Instructions and constants.
    pub bytes: Vec<u8>,
    /// Where it may start: a power of two.
    pub alignment: u32,
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// The target can't do it.
    #[error("kernel `{kernel}`: {what} is not supported on this target")]
    Unsupported {
        /// The kernel.
        kernel: String,
        /// The operation.
        what: String,
    },
    /// The kernel is invalid or the backend is wrong: our bug.
    #[error("kernel `{kernel}`: {what}; this is a bug in the compiler")]
    Bug {
        /// The kernel or function.
        kernel: String,
        /// What is wrong.
        what: String,
    },
}
