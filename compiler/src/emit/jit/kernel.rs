//! A single kernel in executable memory, for tests and tuning.

use super::code::{Code, JitError};
use crate::codegen::abi::{ArgumentLayout, KernelFunction, SCRATCH_ALIGNMENT, scratch_bytes};
use crate::codegen::cranelift;
use crate::codegen::{self, KernelCompiler};
use crate::kernel::Kernel;
use crate::target::Target;

/// A kernel that can be called.
pub struct JitKernel {
    function: KernelFunction,
    layout: ArgumentLayout,
    scratch_bytes: u64,
    /// Holds the memory of `function`.
    _code: Code,
}

impl JitKernel {
    /// Compiles a kernel for a target that this machine can run.
    ///
    /// # Errors
    /// See [`JitError`].
    pub fn new(kernel: &Kernel, target: &Target) -> Result<JitKernel, JitError> {
        JitKernel::with_compiler(kernel, target, &*codegen::compiler(target)?)
    }

    /// Compiles a kernel with the given backend.
    ///
    /// # Errors
    /// See [`JitError`].
    pub fn with_compiler(
        kernel: &Kernel,
        target: &Target,
        compiler: &dyn KernelCompiler,
    ) -> Result<JitKernel, JitError> {
        check_host(target)?;
        let machine = compiler.compile(kernel)?;
        let isa = cranelift::isa::for_jit(target)?;
        let signature = cranelift::kernel_signature(&*isa);
        let mut code = Code::new(isa);
        let id = code.define(&signature, &machine)?;
        code.finish()?;
        let address = code.address(id);
        // SAFETY: the address is that of a finished function with the signature of kernels.
        let function = unsafe { std::mem::transmute::<*const u8, KernelFunction>(address) };
        Ok(JitKernel {
            function,
            layout: ArgumentLayout::of(kernel),
            scratch_bytes: scratch_bytes(kernel),
            _code: code,
        })
    }

    /// The code as a function.
    #[cfg(test)]
    pub(crate) fn function(&self) -> KernelFunction {
        self.function
    }

    /// Runs all tasks of one launch on this thread and returns the status: 0, or the code of a failed check.
    ///
    /// # Safety
    /// `buffers` are the kernel's arguments in order, each of the size that the kernel declares for these extents, aligned to its elements and not
    /// overlapping others; the kernel must be valid.
    ///
    /// # Panics
    /// If the number of buffers or extents is not the kernel's.
    pub unsafe fn run(&self, buffers: &[*mut u8], extents: &[i64], tasks: i64) -> i32 {
        assert_eq!((buffers.len(), extents.len()), (self.layout.buffers, self.layout.extents));
        let alignment = SCRATCH_ALIGNMENT as usize;
        let mut scratch = vec![0u8; self.scratch_bytes as usize + alignment];
        let start = scratch.as_mut_ptr();
        // SAFETY: the distance to the next multiple of the alignment is below the alignment, which the vector has to spare.
        let start = unsafe { start.add(start.align_offset(alignment)) };
        let mut status = 0i32;
        let mut words: Vec<u64> = buffers.iter().map(|buffer| *buffer as u64).collect();
        words.extend(extents.iter().map(|extent| *extent as u64));
        words.extend([tasks as u64, start as u64, self.scratch_bytes, (&raw mut status) as u64]);
        for task in 0..tasks {
            // SAFETY: the words have the layout that the kernel expects; the caller vouches for the buffers.
            unsafe { (self.function)(words.as_ptr(), task, 0) };
        }
        // SAFETY: the status is a local variable, to which the kernel may have written through the pointer.
        unsafe { (&raw const status).read_volatile() }
    }
}

/// Refuses code that the host can't run.
pub(super) fn check_host(target: &Target) -> Result<(), JitError> {
    match Target::host() {
        Ok(host) if host.arch == target.arch && host.features.contains(target.features) => Ok(()),
        _ => Err(JitError::OtherMachine {
            triple: target.triple.to_string(),
            features: target.features.to_string(),
        }),
    }
}
