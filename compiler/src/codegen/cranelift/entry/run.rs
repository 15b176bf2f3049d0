//! `m_run`: checks what the caller hands in, computes run-time extents, fills the frame, works through the program.

use super::EntryError;
use super::dims::DimBuilder;
use super::flow::Flow;
use super::launch::Frame;
use super::table::StepTable;
use crate::program::Program;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, ExternalName, Function, GlobalValueData, InstBuilder, MemFlagsData, Signature,
    StackSlotData, StackSlotKind, UserExternalName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataId, FuncId, Module};
use graven_ir::Dim;
use graven_runtime::abi::{self, RunError};
use std::mem::offset_of;

/// What the function refers to.
pub(super) struct RunPlan<'a> {
    pub program: &'a Program,
    pub table: &'a StepTable,
    /// The table in memory.
    pub data: DataId,
    /// The function that works through the table.
    pub launcher: FuncId,
    pub kernels: &'a [FuncId],
    /// Embedded weights.
    pub weights: Option<DataId>,
}

/// `(io, state, dims, arena, exec) → code`.
pub(super) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 5]);
    signature.returns.push(AbiParam::new(types::I32));
    signature
}

/// The parameters.
#[derive(Clone, Copy)]
struct Caller {
    io: Value,
    state: Value,
    dims: Value,
    arena: Value,
    exec: Value,
}

/// Builds the function.
pub(super) fn build<M: Module>(
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    module: &mut M,
    plan: &RunPlan<'_>,
) -> Result<(), EntryError> {
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let &[io, state, dims, arena, exec] = builder.block_params(entry) else {
        unreachable!("the signature has five parameters")
    };
    let caller = Caller { io, state, dims, arena, exec };
    let fail = builder.create_block();
    let code = builder.append_block_param(fail, types::I32);
    let layout = Frame::of(plan.table);
    let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, layout.bytes(), 3);
    let slot = builder.create_sized_stack_slot(slot);
    let frame = builder.ins().stack_addr(types::I64, slot, 0);
    let mut run = Run { builder, fail, frame };
    let (workers, weights) = run.exec(&caller, embedded_weights(plan))?;
    if plan.program.weights_bytes > 0 {
        run.require(IntCC::NotEqual, weights, 0, RunError::NoWeights);
    }
    let unbound: Vec<usize> =
        (0..plan.program.symbols.len()).filter(|n| plan.program.is_result(*n)).collect();
    let dims = run.extents(&caller, plan, &layout, &unbound)?;
    run.fill_frame(&caller, plan, &layout, (workers, weights));
    run.launches(module, plan, &caller, (dims, unbound))?;
    run.builder.switch_to_block(fail);
    run.builder.ins().return_(&[code]);
    run.builder.seal_all_blocks();
    run.builder.finalize(module.isa().frontend_config());
    Ok(())
}

/// What stands for the embedded weights in the function. They are part of the same object, so that no table of addresses is needed to reach them.
fn embedded_weights(plan: &RunPlan<'_>) -> Option<UserExternalName> {
    const DATA_NAMESPACE: u32 = 1;
    plan.weights.map(|id| UserExternalName::new(DATA_NAMESPACE, id.as_u32()))
}

struct Run<'f> {
    builder: FunctionBuilder<'f>,
    /// Returns the code that is its parameter.
    fail: ir::Block,
    frame: Value,
}

impl Run<'_> {
    fn store(&mut self, value: Value, offset: i32) {
        self.builder.ins().store(MemFlagsData::trusted(), value, self.frame, offset);
    }

    /// Goes on in a new block if the comparison holds, else returns the error.
    fn require(&mut self, condition: IntCC, x: Value, y: i64, error: RunError) {
        let holds = self.builder.ins().icmp_imm_s(condition, x, y);
        let next = self.builder.create_block();
        let code = self.builder.ins().iconst(types::I32, i64::from(error as i32));
        self.builder.ins().brif(holds, next, &[], self.fail, &[BlockArg::Value(code)]);
        self.builder.switch_to_block(next);
    }

    /// The number of workers and the address of the weights, from `exec` where there is one.
    fn exec(
        &mut self,
        caller: &Caller,
        embedded: Option<UserExternalName>,
    ) -> Result<(Value, Value), EntryError> {
        let own = match embedded {
            Some(name) => {
                let name = self.builder.func.declare_imported_user_function(name);
                let symbol = GlobalValueData::Symbol {
                    name: ExternalName::user(name),
                    offset: 0.into(),
                    colocated: true,
                    tls: false,
                };
                let symbol = self.builder.func.create_global_value(symbol);
                self.builder.ins().symbol_value(types::I64, symbol)
            }
            None => self.builder.ins().iconst(types::I64, 0),
        };
        let one = self.builder.ins().iconst(types::I64, 1);
        let (given, exit) = (self.builder.create_block(), self.builder.create_block());
        let workers = self.builder.append_block_param(exit, types::I64);
        let weights = self.builder.append_block_param(exit, types::I64);
        let none = [BlockArg::Value(one), BlockArg::Value(own)];
        self.builder.ins().brif(caller.exec, given, &[], exit, &none);
        self.builder.switch_to_block(given);
        let flags = MemFlagsData::trusted();
        let version = offset_of!(abi::Exec, abi_version) as i32;
        let version = self.builder.ins().load(types::I32, flags, caller.exec, version);
        self.require(IntCC::Equal, version, i64::from(abi::ABI_VERSION), RunError::AbiVersion);
        let count = offset_of!(abi::Exec, workers) as i32;
        let count = self.builder.ins().load(types::I32, flags, caller.exec, count);
        let count = self.builder.ins().uextend(types::I64, count);
        let theirs = offset_of!(abi::Exec, weights) as i32;
        let theirs = self.builder.ins().load(types::I64, flags, caller.exec, theirs);
        let theirs = self.builder.ins().select(theirs, theirs, own);
        self.builder.ins().jump(exit, &[BlockArg::Value(count), BlockArg::Value(theirs)]);
        self.builder.switch_to_block(exit);
        Ok((workers, weights))
    }

    /// Checks the symbols that the caller gives and stores the distinct extents that follow from them.
    fn extents<'p>(
        &mut self,
        caller: &Caller,
        plan: &RunPlan<'p>,
        layout: &Frame,
        unbound: &[usize],
    ) -> Result<DimBuilder<'p>, EntryError> {
        let symbols = &plan.program.symbols;
        let mut dims = DimBuilder::new(symbols, caller.dims);
        for (n, symbol) in symbols.iter().enumerate().filter(|(n, _)| !unbound.contains(n)) {
            let value = dims.symbol(&mut self.builder, n);
            let error = RunError::DimOutOfRange;
            self.require(IntCC::SignedGreaterThanOrEqual, value, symbol.lower(), error);
            self.require(IntCC::SignedLessThanOrEqual, value, symbol.upper(), error);
        }
        let is_known = |dim: &Dim| !unbound.iter().any(|n| dim.contains(&symbols[*n]));
        for (n, extent) in plan.table.extents.iter().enumerate().filter(|(_, dim)| is_known(dim)) {
            let value = dims.value(&mut self.builder, extent)?;
            self.store(value, layout.extents() + n as i32 * 8);
        }
        Ok(dims)
    }

    fn fill_frame(
        &mut self,
        caller: &Caller,
        plan: &RunPlan<'_>,
        layout: &Frame,
        (workers, weights): (Value, Value),
    ) {
        let pointers = self.builder.ins().iadd_imm_s(self.frame, i64::from(layout.pointers()));
        let scratch = self.builder.ins().iadd_imm_s(caller.arena, plan.program.arena_bytes as i64);
        let zero = self.builder.ins().iconst(types::I64, 0);
        for (value, offset) in [
            (weights, Frame::WEIGHTS),
            (caller.arena, Frame::ARENA),
            (caller.io, Frame::IO),
            (caller.state, Frame::STATE),
            (pointers, Frame::POINTERS),
            (caller.exec, Frame::EXEC),
            (workers, Frame::WORKERS),
            (scratch, Frame::SCRATCH),
            (zero, Frame::STATUS),
        ] {
            self.store(value, offset);
        }
    }

    /// Works through the program; the status is the result.
    fn launches<M: Module>(
        &mut self,
        module: &mut M,
        plan: &RunPlan<'_>,
        caller: &Caller,
        (dims, unbound): (DimBuilder<'_>, Vec<usize>),
    ) -> Result<(), EntryError> {
        for (n, kernel) in plan.kernels.iter().enumerate() {
            let kernel = module.declare_func_in_func(*kernel, self.builder.func);
            let address = self.builder.ins().func_addr(types::I64, kernel);
            self.store(address, Frame::KERNELS + n as i32 * 8);
        }
        let launcher = module.declare_func_in_func(plan.launcher, self.builder.func);
        let data = module.declare_data_in_func(plan.data, self.builder.func);
        let table = self.builder.ins().symbol_value(types::I64, data);
        let mut flow = Flow {
            builder: &mut self.builder,
            frame: self.frame,
            fail: self.fail,
            layout: Frame::of(plan.table),
            launcher,
            table,
            call_conv: module.isa().default_call_conv(),
            io: caller.io,
            state: caller.state,
            arena: caller.arena,
            inputs: plan.program.inputs.len(),
            caller_dims: caller.dims,
            dims,
            symbols: &plan.program.symbols,
            extents: &plan.table.extents,
            unbound,
        };
        flow.pieces(&plan.table.pieces)?;
        let status = flow.status();
        self.builder.ins().return_(&[status]);
        Ok(())
    }
}
