//! A kernel as a function: arguments, scratch memory, the split into tasks.

use super::isa::Machine;
use super::liveness::Liveness;
use super::shape::Parts;
use crate::codegen::CodegenError;
use crate::codegen::abi::{ArgumentLayout, scratch_layout};
use crate::kernel::{BufferId, For, Kernel, KernelOp, Stmt, Type, Val};
use cranelift_codegen::ir::{
    self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, StackSlot, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_entity::SecondaryMap;
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder, FunctionBuilderContext};
use rustc_hash::FxHashMap;
use smallvec::smallvec;

/// The signature of kernels; see [`crate::codegen::abi`].
pub(crate) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(isa.pointer_type()));
    signature.params.push(AbiParam::new(types::I64));
    signature.params.push(AbiParam::new(types::I64));
    signature
}

/// Translates a kernel.
pub(super) fn build(
    kernel: &Kernel,
    machine: &Machine,
    context: &mut FunctionBuilderContext,
) -> Result<Function, CodegenError> {
    let mut function = Function::with_name_signature(UserFuncName::default(), signature(&*machine.isa));
    let mut builder = FunctionBuilder::new(&mut function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let params = builder.block_params(entry);
    let arguments = Arguments {
        layout: ArgumentLayout::of(kernel),
        words: params[0],
        task: params[1],
        worker: params[2],
    };
    let mut translator = Translator {
        builder,
        kernel,
        machine,
        arguments,
        values: SecondaryMap::new(),
        definitions: SecondaryMap::new(),
        liveness: Liveness::of(kernel),
        position: 0,
        bases: SecondaryMap::new(),
        spare: None,
        pointers: FxHashMap::default(),
        new_pointers: Vec::new(),
        last_quotient: None,
    };
    translator.prologue();
    translator.block(&kernel.body)?;
    translator.ins().return_(&[]);
    translator.builder.finalize(machine.isa.frontend_config());
    Ok(function)
}

/// The parameters of the function.
#[derive(Clone, Copy)]
struct Arguments {
    layout: ArgumentLayout,
    words: Value,
    task: Value,
    worker: Value,
}

/// A kernel on its way to a function.
pub(super) struct Translator<'a, 'f> {
    pub builder: FunctionBuilder<'f>,
    pub kernel: &'a Kernel,
    pub machine: &'a Machine,
    arguments: Arguments,
    values: SecondaryMap<Val, Parts>,
    definitions: SecondaryMap<Val, Option<(&'a KernelOp, Option<Val>)>>,
    liveness: Liveness,
    /// The number of the current statement.
    pub position: u32,
    bases: SecondaryMap<BufferId, Option<Value>>,
    spare: Option<StackSlot>,
    /// The address of a buffer's element at an index value, in the blocks that it was computed for.
    pub pointers: FxHashMap<(BufferId, Val), Value>,
    /// The keys of `pointers` in the order in which they were inserted.
    pub new_pointers: Vec<(BufferId, Val)>,
    /// The last division by a constant and the block that it is in.
    last_quotient: Option<(ir::Block, Value, i64, Value)>,
}

impl<'a, 'f> Translator<'a, 'f> {
    /// Appends an instruction.
    pub fn ins(&mut self) -> FuncInstBuilder<'_, 'f> {
        self.builder.ins()
    }

    /// An `i64` constant.
    pub fn int(&mut self, value: i64) -> Value {
        self.ins().iconst(types::I64, value)
    }

    /// An invalid kernel.
    pub fn bug(&self, what: impl Into<String>) -> CodegenError {
        CodegenError::Bug { kernel: self.kernel.name.clone(), what: what.into() }
    }

    /// An operation that the target has no instructions for.
    pub fn unsupported(&self, what: impl Into<String>) -> CodegenError {
        CodegenError::Unsupported { kernel: self.kernel.name.clone(), what: what.into() }
    }

    /// The type of a value.
    pub fn ty(&self, value: Val) -> Type {
        self.kernel.values[value]
    }

    /// The parts of a value.
    pub fn parts(&self, value: Val) -> Result<Parts, CodegenError> {
        match &self.values[value] {
            parts if parts.is_empty() => Err(self.bug(format!("{value} is used before it is defined"))),
            parts => Ok(parts.clone()),
        }
    }

    /// The value of a scalar.
    pub fn scalar(&self, value: Val) -> Result<Value, CodegenError> {
        match self.parts(value)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(self.bug(format!("{value} is no scalar"))),
        }
    }

    /// Defines a value.
    pub fn define(&mut self, value: Val, parts: Parts) {
        self.values[value] = parts;
    }

    /// Remembers the operation that defines a value, with its first operand.
    pub fn note(&mut self, value: Val, op: &'a KernelOp, operand: Option<Val>) {
        self.definitions[value] = Some((op, operand));
    }

    /// The operation that defines a value, with its first operand.
    pub fn definition(&self, value: Val) -> Option<(&'a KernelOp, Option<Val>)> {
        self.definitions[value]
    }

    /// Whether the current statement is the last one that uses the value.
    pub fn dies(&self, value: Val) -> bool {
        self.liveness.dies_at(value, self.position)
    }

    /// The address of a buffer's first element.
    pub fn base(&self, buffer: BufferId) -> Result<Value, CodegenError> {
        self.bases[buffer].ok_or_else(|| self.bug(format!("{buffer} is no buffer")))
    }

    /// Readable memory of at least 8 bytes.
    pub fn readable(&self) -> Value {
        self.arguments.words
    }

    /// Memory of 8 bytes that nobody reads.
    pub fn writable(&mut self) -> Value {
        let slot = match self.spare {
            Some(slot) => slot,
            None => {
                let data = ir::StackSlotData::new(ir::StackSlotKind::ExplicitSlot, 8, 3);
                *self.spare.insert(self.builder.create_sized_stack_slot(data))
            }
        };
        let pointer = self.machine.pointer();
        self.ins().stack_addr(pointer, slot, 0)
    }

    /// Loads a word of the arguments. They don't change, so the load may be anywhere.
    fn argument(&mut self, word: usize) -> Value {
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let words = self.arguments.words;
        self.ins().load(types::I64, flags, words, word as i32 * 8)
    }

    /// Addresses and extents; those that aren't used are dropped by the optimiser.
    fn prologue(&mut self) {
        let layout = self.arguments.layout;
        for (word, (id, _)) in self.kernel.arguments().enumerate() {
            self.bases[id] = Some(self.argument(word));
        }
        for (n, (_, value)) in self.kernel.extents.iter().enumerate() {
            let extent = self.argument(layout.extent(n));
            self.define(*value, smallvec![extent]);
        }
        let (offsets, bytes) = scratch_layout(self.kernel);
        if bytes == 0 && offsets.is_empty() {
            return;
        }
        let (first, stride) = (self.argument(layout.scratch()), self.argument(layout.scratch_stride()));
        let worker = self.arguments.worker;
        let distance = self.ins().imul(worker, stride);
        let scratch = self.ins().iadd(first, distance);
        for (id, offset) in offsets {
            self.bases[id] = Some(self.ins().iadd_imm_s(scratch, offset as i64));
        }
    }

    /// The first trip of the task and the end of its trips, both as values of the loop's variable.
    pub fn task_range(&mut self, nest: &For) -> Result<(Value, Value), CodegenError> {
        let (lower, upper) = (self.scalar(nest.lower)?, self.scalar(nest.upper)?);
        let task = self.arguments.task;
        let tasks = self.argument(self.arguments.layout.tasks());
        let length = self.ins().isub(upper, lower);
        let rounded = self.ins().iadd_imm_s(length, nest.step - 1);
        let step = self.int(nest.step);
        let counted = if nest.step == 1 { length } else { self.ins().sdiv(rounded, step) };
        let zero = self.int(0);
        let trips = self.ins().smax(counted, zero);
        let next = self.ins().iadd_imm_s(task, 1);
        let mut bounds = [task, next];
        for bound in &mut bounds {
            let product = self.ins().imul(*bound, trips);
            let trip = self.ins().udiv(product, tasks);
            let distance = self.ins().imul(trip, step);
            *bound = self.ins().iadd(lower, distance);
        }
        Ok((bounds[0], bounds[1]))
    }

    /// Stores a code to the status word.
    pub fn report(&mut self, code: i32) {
        let status = self.argument(self.arguments.layout.status());
        let code = self.ins().iconst(types::I32, i64::from(code));
        self.ins().store(MemFlagsData::trusted(), code, status, 0);
    }

    /// x ÷ divisor, if that was the last division and is known here.
    pub fn known_quotient(&self, x: Value, divisor: i64) -> Option<Value> {
        let (block, dividend, last_divisor, quotient) = self.last_quotient?;
        let here = self.builder.current_block();
        (here == Some(block) && dividend == x && last_divisor == divisor).then_some(quotient)
    }

    /// Remembers the last division, since quotient and remainder are wanted together.
    pub fn note_quotient(&mut self, x: Value, divisor: i64, quotient: Value) {
        self.last_quotient = self.builder.current_block().map(|block| (block, x, divisor, quotient));
    }

    /// Translates a statement that is no block.
    pub fn simple_stmt(&mut self, stmt: &'a Stmt) -> Result<(), CodegenError> {
        match stmt {
            Stmt::Op { result, op, args } => {
                let parts = self.operation(*result, op, args)?;
                self.define(*result, parts);
                self.note(*result, op, args.first().copied());
            }
            Stmt::Load { result, address, spread, mask } => {
                let parts = self.load(self.ty(*result), address, spread, *mask)?;
                self.define(*result, parts);
            }
            Stmt::Store { value, address, spread, mask } => self.store(*value, address, spread, *mask)?,
            // Cranelift has no prefetch instruction.
            Stmt::Prefetch { .. } => {}
            Stmt::Check { condition, code } => self.check(*condition, *code)?,
            Stmt::For(_) | Stmt::If(_) => return Err(self.bug("a block is no simple statement")),
        }
        Ok(())
    }
}
