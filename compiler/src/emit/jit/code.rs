//! Executable memory that is freed on drop.

use crate::codegen::cranelift::entry::EntryError;
use crate::codegen::{CodegenError, MachineCode};
use crate::emit::weights::WeightsError;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, ModuleError};

/// Why code can't run in this process.
#[derive(Debug, thiserror::Error)]
pub enum JitError {
    /// No machine code.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// The code is for another machine than this one: bad usage.
    #[error("code for `{triple}` with {features} can't run on this machine")]
    OtherMachine {
        /// The target.
        triple: String,
        /// Its features.
        features: String,
    },
    /// No entry functions.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// No weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The system gives no memory for the weights.
    #[error("{0}")]
    Memory(String),
    /// The system gives no memory, or our bug.
    #[error("executable memory: {0}")]
    Module(#[from] Box<ModuleError>),
}

impl From<ModuleError> for JitError {
    fn from(error: ModuleError) -> JitError {
        JitError::Module(Box::new(error))
    }
}

/// Functions in executable memory.
pub(super) struct Code {
    /// `None` only while it is dropped.
    module: Option<JITModule>,
}

// SAFETY: the module's cell and its function objects are only touched through `&mut Code` and in `drop`; finished code is read-only memory.
unsafe impl Sync for Code {}

impl Code {
    /// Room for code of the host.
    pub fn new(isa: OwnedTargetIsa) -> Code {
        let builder = JITBuilder::with_isa(isa, cranelift_module::default_libcall_names());
        Code { module: Some(JITModule::new(builder)) }
    }

    /// The module to define functions in.
    pub fn module(&mut self) -> &mut JITModule {
        self.module.as_mut().unwrap_or_else(|| unreachable!("the module is taken in drop only"))
    }

    /// Adds a kernel's code.
    pub fn define(
        &mut self,
        signature: &cranelift_codegen::ir::Signature,
        code: &MachineCode,
    ) -> Result<FuncId, JitError> {
        let module = self.module();
        let id = module.declare_anonymous_function(signature)?;
        module.define_function_bytes(id, code.alignment.into(), &code.bytes, &[])?;
        Ok(id)
    }

    /// Makes the code executable; functions have their addresses from now on.
    pub fn finish(&mut self) -> Result<(), JitError> {
        Ok(self.module().finalize_definitions()?)
    }

    /// The address of a function.
    pub fn address(&self, id: FuncId) -> *const u8 {
        match &self.module {
            Some(module) => module.get_finalized_function(id),
            None => std::ptr::null(),
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: function addresses are handed out only to owners of this value, who call them only while they own it.
            unsafe { module.free_memory() };
        }
    }
}
