//! The loop that works through the table of launches.
//!
//! It works on the run's frame, a block of words on the stack; see [`Frame`].

use super::table::{IO, KIND_BITS, RECORD_HEADER, StepTable, TASKS_PER_WORKER};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, BlockArg, Function, InstBuilder, MemFlagsData, SigRef, Signature, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use graven_runtime::abi;
use std::mem::offset_of;

/// Where things are in the frame, in bytes. The first five words are the bases of the kinds of places, in their order.
pub(super) struct Frame {
    kernels: usize,
    extents: usize,
    argument_words: usize,
    pointers: usize,
}

impl Frame {
    /// Address of the weights.
    pub const WEIGHTS: i32 = 0;
    /// Address of the arena.
    pub const ARENA: i32 = 8;
    /// Address of the input and output pointers.
    pub const IO: i32 = 16;
    /// Address of the state pointers.
    pub const STATE: i32 = 24;
    /// Address of the pointers that loops set, which are in the frame.
    pub const POINTERS: i32 = 32;
    /// The caller's `graven_exec`, or null.
    pub const EXEC: i32 = 40;
    /// Number of workers.
    pub const WORKERS: i32 = 48;
    /// Address of the first worker's scratch memory.
    pub const SCRATCH: i32 = 56;
    /// The status that failed checks set, `i32`.
    pub const STATUS: i32 = 64;
    /// Addresses of the kernels.
    pub const KERNELS: i32 = 72;

    /// The frame for a table.
    pub fn of(table: &StepTable) -> Frame {
        Frame {
            kernels: table.kernels,
            extents: table.extents.len(),
            argument_words: table.argument_words,
            pointers: table.pointers,
        }
    }

    /// The distinct extents.
    pub fn extents(&self) -> i32 {
        Frame::KERNELS + self.kernels as i32 * 8
    }

    /// The pointers that loops set.
    pub fn pointers(&self) -> i32 {
        self.extents() + self.extents as i32 * 8
    }

    /// The argument words of the current launch.
    pub fn arguments(&self) -> i32 {
        self.pointers() + self.pointers as i32 * 8
    }

    /// Size of the frame.
    pub fn bytes(&self) -> u32 {
        self.arguments() as u32 + self.argument_words as u32 * 8
    }
}

/// `(frame, first record, end of the records)`.
pub(super) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 3]);
    signature
}

/// The signature of the runtime's `parallel_for`.
fn parallel_for_signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 4]);
    signature
}

fn value_args<const N: usize>(values: [Value; N]) -> [BlockArg; N] {
    values.map(BlockArg::Value)
}

/// Builds the function.
pub(super) fn build(
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    table: &StepTable,
    scratch_stride: u64,
) {
    let kernel_signature = function.import_signature(crate::codegen::cranelift::kernel_signature(isa));
    let parallel_signature = function.import_signature(parallel_for_signature(isa));
    let builder = FunctionBuilder::new(function, context);
    let mut launcher = Launcher { builder, layout: Frame::of(table), kernel_signature, parallel_signature };
    launcher.steps(scratch_stride);
    launcher.builder.finalize(isa.frontend_config());
}

struct Launcher<'f> {
    builder: FunctionBuilder<'f>,
    layout: Frame,
    kernel_signature: SigRef,
    parallel_signature: SigRef,
}

impl Launcher<'_> {
    fn load(&mut self, address: Value, offset: i32) -> Value {
        self.builder.ins().load(types::I64, MemFlagsData::trusted(), address, offset)
    }

    /// A word of the table, zero-extended.
    fn word(&mut self, address: Value, offset: i32) -> Value {
        let word = self.builder.ins().load(types::I32, MemFlagsData::trusted(), address, offset);
        self.builder.ins().uextend(types::I64, word)
    }

    fn store(&mut self, value: Value, address: Value, offset: i32) {
        self.builder.ins().store(MemFlagsData::trusted(), value, address, offset);
    }

    /// `base + 8·index`.
    fn indexed(&mut self, base: Value, index: Value) -> Value {
        let distance = self.builder.ins().ishl_imm_u(index, 3);
        self.builder.ins().iadd(base, distance)
    }

    fn steps(&mut self, scratch_stride: u64) {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        let params = self.builder.block_params(entry);
        let (frame, first, end) = (params[0], params[1], params[2]);
        let head = self.builder.create_block();
        let record = self.builder.append_block_param(head, types::I64);
        let (body, exit) = (self.builder.create_block(), self.builder.create_block());
        self.builder.ins().jump(head, &value_args([first]));
        self.builder.switch_to_block(head);
        let done = self.builder.ins().icmp(IntCC::Equal, record, end);
        self.builder.ins().brif(done, exit, &[], body, &[]);
        self.builder.switch_to_block(body);
        let next = self.step(frame, record, scratch_stride);
        self.builder.ins().jump(head, &value_args([next]));
        self.builder.switch_to_block(exit);
        self.builder.ins().return_(&[]);
        self.builder.seal_all_blocks();
    }

    /// One launch; gives the address of the next record.
    fn step(&mut self, frame: Value, record: Value, scratch_stride: u64) -> Value {
        let number = self.word(record, 0);
        let counts = self.word(record, 4);
        let most_tasks = self.word(record, 8);
        let kernels = self.indexed(frame, number);
        let kernel = self.load(kernels, Frame::KERNELS);
        let buffers = self.builder.ins().band_imm_u(counts, 0xffff);
        let extents = self.builder.ins().ushr_imm_u(counts, 16);
        let words = self.builder.ins().iadd_imm_s(record, i64::from(RECORD_HEADER));
        let arguments = self.builder.ins().iadd_imm_s(frame, i64::from(self.layout.arguments()));
        let (words, place) =
            self.fill(buffers, words, arguments, |launcher, word| launcher.place(frame, word));
        let (words, place) = self.fill(extents, words, place, |launcher, word| {
            let extent = launcher.indexed(frame, word);
            launcher.load(extent, launcher.layout.extents())
        });
        let scratch = self.load(frame, Frame::SCRATCH);
        let stride = self.builder.ins().iconst(types::I64, scratch_stride as i64);
        let status = self.builder.ins().iadd_imm_s(frame, i64::from(Frame::STATUS));
        self.store(scratch, place, 8);
        self.store(stride, place, 16);
        self.store(status, place, 24);
        self.call(frame, kernel, arguments, place, most_tasks);
        words
    }

    /// Fills `count` argument words from as many words of the table; gives the ends of both.
    fn fill(
        &mut self,
        count: Value,
        words: Value,
        arguments: Value,
        value: impl FnOnce(&mut Self, Value) -> Value,
    ) -> (Value, Value) {
        let (head, body, exit) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        let (left, from, to) = (
            self.builder.append_block_param(head, types::I64),
            self.builder.append_block_param(head, types::I64),
            self.builder.append_block_param(head, types::I64),
        );
        self.builder.ins().jump(head, &value_args([count, words, arguments]));
        self.builder.switch_to_block(head);
        self.builder.ins().brif(left, body, &[], exit, &[]);
        self.builder.switch_to_block(body);
        let word = self.word(from, 0);
        let filled = value(self, word);
        self.store(filled, to, 0);
        let next = [
            self.builder.ins().iadd_imm_s(left, -1),
            self.builder.ins().iadd_imm_s(from, 4),
            self.builder.ins().iadd_imm_s(to, 8),
        ];
        self.builder.ins().jump(head, &value_args(next));
        self.builder.switch_to_block(exit);
        (from, to)
    }

    /// The address of a buffer from its word.
    fn place(&mut self, frame: Value, word: Value) -> Value {
        let kind = self.builder.ins().band_imm_u(word, (1 << KIND_BITS) - 1);
        let value = self.builder.ins().ushr_imm_u(word, i64::from(KIND_BITS));
        let bases = self.indexed(frame, kind);
        let base = self.load(bases, 0);
        let (pointer, offset) = (self.builder.create_block(), self.builder.create_block());
        let exit = self.builder.create_block();
        let address = self.builder.append_block_param(exit, types::I64);
        let is_pointer =
            self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, kind, i64::from(IO));
        self.builder.ins().brif(is_pointer, pointer, &[], offset, &[]);
        self.builder.switch_to_block(pointer);
        let slot = self.indexed(base, value);
        let loaded = self.load(slot, 0);
        self.builder.ins().jump(exit, &value_args([loaded]));
        self.builder.switch_to_block(offset);
        let distance = self.builder.ins().ishl_imm_u(value, 6);
        let computed = self.builder.ins().iadd(base, distance);
        self.builder.ins().jump(exit, &value_args([computed]));
        self.builder.switch_to_block(exit);
        address
    }

    /// Calls the kernel, directly or by `parallel_for`; `place` is that of the number of tasks.
    fn call(&mut self, frame: Value, kernel: Value, arguments: Value, place: Value, most_tasks: Value) {
        let (alone, split) = (self.builder.create_block(), self.builder.create_block());
        let exit = self.builder.create_block();
        let workers = self.load(frame, Frame::WORKERS);
        let several = self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThan, workers, 1);
        let divisible = self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThan, most_tasks, 1);
        let both = self.builder.ins().band(several, divisible);
        self.builder.ins().brif(both, split, &[], alone, &[]);
        self.builder.switch_to_block(alone);
        let (zero, one) =
            (self.builder.ins().iconst(types::I64, 0), self.builder.ins().iconst(types::I64, 1));
        self.store(one, place, 0);
        self.builder.ins().call_indirect(self.kernel_signature, kernel, &[arguments, zero, zero]);
        self.builder.ins().jump(exit, &[]);
        self.builder.switch_to_block(split);
        let wanted = self.builder.ins().imul_imm_s(workers, TASKS_PER_WORKER);
        let tasks = self.builder.ins().umin(wanted, most_tasks);
        self.store(tasks, place, 0);
        let exec = self.load(frame, Frame::EXEC);
        let context = self.load(exec, offset_of!(abi::Exec, context) as i32);
        let parallel_for = self.load(exec, offset_of!(abi::Exec, parallel_for) as i32);
        let call = [context, kernel, arguments, tasks];
        self.builder.ins().call_indirect(self.parallel_signature, parallel_for, &call);
        self.builder.ins().jump(exit, &[]);
        self.builder.switch_to_block(exit);
    }
}
