//! The functions by which a model is called: `m_run`, `m_extents` and `m_check_cpu` (`docs/abi.md`).
//!
//! * [`table`]: the launches as a table
//! * `run`: `m_run`: checks, run-time extents
//! * `flow`: branches and loops around parts of the table
//! * `launch`: the loop that works through a part of the table
//! * `dims`: extents as instructions
//! * [`extents`]: the function `m_extents`
//! * [`check_cpu`]: the function `m_check_cpu`
//!
//! A large model has hundreds of launches. Code for each of them would take longer to compile than many kernels do and be larger than the table, so a
//! small function interprets the table: per launch, it fills the argument words of the kernel and calls it, directly or by `parallel_for`.

pub mod check_cpu;
mod dims;
pub mod extents;
mod flow;
mod launch;
mod run;
pub mod table;

use crate::codegen::{CodegenError, MachineCode};
use crate::program::Program;
use crate::target::Target;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleError};
use extents::ComputedExtents;
use table::StepTable;

/// The functions of a model in a module.
#[derive(Clone, Debug)]
pub struct EntryFunctions {
    /// `m_run`.
    pub run: FuncId,
    /// `m_extents`, if there are extents to compute.
    pub extents: Option<FuncId>,
    /// `m_check_cpu`.
    pub check_cpu: FuncId,
    /// The kernels, in the program's order.
    pub kernels: Vec<FuncId>,
}

/// Names that functions get.
#[derive(Clone, Debug)]
pub struct EntryNames<'a> {
    /// What all names begin with: a C identifier.
    pub prefix: &'a str,
    /// Whether others may call the entry functions by name.
    pub exported: bool,
}

/// Why a model's functions can't be defined.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// No machine code.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// The program exceeds a limit, which the message names: unsupported.
    #[error("{0}")]
    TooLarge(String),
    /// Memory that the system doesn't give, or our bug.
    #[error("{0}")]
    Module(#[from] Box<ModuleError>),
}

impl From<ModuleError> for EntryError {
    fn from(error: ModuleError) -> EntryError {
        EntryError::Module(Box::new(error))
    }
}

/// Defines a program's kernels, whose code is given in the program's order, and its entry functions.
///
/// `weights` is the symbol of embedded weights, which the caller places near the code.
///
/// # Errors
/// See [`EntryError`].
pub fn define<M: Module>(
    module: &mut M,
    program: &Program,
    target: &Target,
    kernels: &[MachineCode],
    names: &EntryNames<'_>,
    weights: Option<DataId>,
) -> Result<EntryFunctions, EntryError> {
    let table = StepTable::new(program, kernels.len(), target.vector_bytes)?;
    let kernels = define_kernels(module, program, kernels, &table, names)?;
    let linkage = if names.exported { Linkage::Export } else { Linkage::Local };
    let mut definer = Definer { module, contexts: Default::default() };
    let data = definer.table(&table, target, names)?;
    let launcher = definer.launcher(&table, program, names)?;
    let plan = run::RunPlan { program, table: &table, data, launcher, kernels: &kernels, weights };
    let run = definer.run(&plan, linkage, names)?;
    let computed = ComputedExtents::of(program);
    let extents = match computed.dims.is_empty() {
        true => None,
        false => Some(definer.extents(program, &computed, linkage, names)?),
    };
    let check_cpu = definer.check_cpu(target, linkage, names)?;
    Ok(EntryFunctions { run, extents, check_cpu, kernels: kernels[..program.kernels.len()].to_vec() })
}

/// The kernels of the program, then the one that copies, if the table needs it.
fn define_kernels<M: Module>(
    module: &mut M,
    program: &Program,
    codes: &[MachineCode],
    table: &StepTable,
    names: &EntryNames<'_>,
) -> Result<Vec<FuncId>, EntryError> {
    let signature = super::function::signature(module.isa());
    let own = program.kernels.values().map(|kernel| kernel.name.as_str());
    let all = own.chain(table.copies.then_some("copy"));
    let mut functions = Vec::new();
    for (number, (name, code)) in all.zip(codes).enumerate() {
        let symbol = format!("{}.{number}.{name}", names.prefix);
        let id = module.declare_function(&symbol, Linkage::Local, &signature)?;
        module.define_function_bytes(id, code.alignment.into(), &code.bytes, &[])?;
        functions.push(id);
    }
    Ok(functions)
}

/// A module with what is reused from function to function.
struct Definer<'m, M> {
    module: &'m mut M,
    contexts: (Option<Context>, FunctionBuilderContext),
}

impl<M: Module> Definer<'_, M> {
    fn table(
        &mut self,
        table: &StepTable,
        target: &Target,
        names: &EntryNames<'_>,
    ) -> Result<DataId, EntryError> {
        let name = format!("{}.launches", names.prefix);
        let id = self.module.declare_data(&name, Linkage::Local, false, false)?;
        let mut description = DataDescription::new();
        // Data must not be empty.
        let bytes = table.bytes(target.triple.endianness());
        description.define(if bytes.is_empty() { [0; 4].into() } else { bytes.into_boxed_slice() });
        description.set_align(4);
        self.module.define_data(id, &description)?;
        Ok(id)
    }

    fn launcher(
        &mut self,
        table: &StepTable,
        program: &Program,
        names: &EntryNames<'_>,
    ) -> Result<FuncId, EntryError> {
        let signature = launch::signature(self.module.isa());
        let name = format!("{}.launch", names.prefix);
        let id = self.module.declare_function(&name, Linkage::Local, &signature)?;
        let mut function = Function::with_name_signature(UserFuncName::default(), signature);
        launch::build(&mut function, &mut self.contexts.1, self.module.isa(), table, program.scratch_bytes);
        self.define(id, function)
    }

    fn run(
        &mut self,
        plan: &run::RunPlan<'_>,
        linkage: Linkage,
        names: &EntryNames<'_>,
    ) -> Result<FuncId, EntryError> {
        let signature = run::signature(self.module.isa());
        let id = self.module.declare_function(&format!("{}_run", names.prefix), linkage, &signature)?;
        let mut function = Function::with_name_signature(UserFuncName::default(), signature);
        run::build(&mut function, &mut self.contexts.1, self.module, plan)?;
        self.define(id, function)
    }

    fn extents(
        &mut self,
        program: &Program,
        computed: &ComputedExtents,
        linkage: Linkage,
        names: &EntryNames<'_>,
    ) -> Result<FuncId, EntryError> {
        let signature = extents::signature(self.module.isa());
        let id = self.module.declare_function(&format!("{}_extents", names.prefix), linkage, &signature)?;
        let mut function = Function::with_name_signature(UserFuncName::default(), signature);
        extents::build(&mut function, &mut self.contexts.1, self.module.isa(), program, computed)?;
        self.define(id, function)
    }

    fn check_cpu(
        &mut self,
        target: &Target,
        linkage: Linkage,
        names: &EntryNames<'_>,
    ) -> Result<FuncId, EntryError> {
        let signature = check_cpu::signature(self.module.isa());
        let name = format!("{}_check_cpu", names.prefix);
        let id = self.module.declare_function(&name, linkage, &signature)?;
        if let Some(bytes) = check_cpu::encode(target) {
            self.module.define_function_bytes(id, 16, &bytes, &[])?;
            return Ok(id);
        }
        let mut function = Function::with_name_signature(UserFuncName::default(), signature);
        check_cpu::build_trivial(&mut function, &mut self.contexts.1, self.module.isa());
        self.define(id, function)
    }

    fn define(&mut self, id: FuncId, function: Function) -> Result<FuncId, EntryError> {
        let context = self.contexts.0.get_or_insert_with(Context::new);
        context.clear();
        context.func = function;
        self.module.define_function(id, context)?;
        Ok(id)
    }
}
