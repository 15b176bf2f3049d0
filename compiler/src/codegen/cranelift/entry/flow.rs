//! The control flow of a program: branches and loops around parts of the table of launches.
//!
//! A loop sets pointers in the frame, through which launches find slices and carried values. Between trips a carried value's pointers change
//! places: with buffers at a and b, the next one goes to a + b − the current one's.

use super::dims::DimBuilder;
use super::launch::Frame;
use super::table::{CallPieces, CarriedPlaces, LoopPieces, Piece};
use crate::codegen::CodegenError;
use crate::program::Place;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, FuncRef, InstBuilder, MemFlagsData, Signature, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use graven_ir::{Dim, Symbol};
use graven_runtime::abi::{self, RunError};
use std::mem::offset_of;

/// What the code refers to.
pub(super) struct Flow<'b, 'f> {
    pub builder: &'b mut FunctionBuilder<'f>,
    pub frame: Value,
    /// Returns the code that is its parameter.
    pub fail: Block,
    pub layout: Frame,
    /// The function that works through a part of the table.
    pub launcher: FuncRef,
    /// Address of the table.
    pub table: Value,
    /// How the application's functions are called.
    pub call_conv: CallConv,
    pub io: Value,
    pub state: Value,
    pub arena: Value,
    /// Number of inputs.
    pub inputs: usize,
    /// The caller's symbols.
    pub caller_dims: Value,
    pub dims: DimBuilder<'b>,
    pub symbols: &'b [Symbol],
    /// The extents in the frame.
    pub extents: &'b [Dim],
    /// Numbers of the symbols that later pieces bind.
    pub unbound: Vec<usize>,
}

impl Flow<'_, '_> {
    fn load(&mut self, address: Value, offset: i32) -> Value {
        self.builder.ins().load(types::I64, MemFlagsData::trusted(), address, offset)
    }

    fn store(&mut self, value: Value, offset: i32) {
        self.builder.ins().store(MemFlagsData::trusted(), value, self.frame, offset);
    }

    /// The status that kernels may have set.
    pub fn status(&mut self) -> Value {
        self.builder.ins().load(types::I32, MemFlagsData::trusted(), self.frame, Frame::STATUS)
    }

    /// The place of a pointer in the frame.
    fn pointer(&self, n: u32) -> i32 {
        self.layout.pointers() + n as i32 * 8
    }

    fn extent(&mut self, n: u32) -> Value {
        self.load(self.frame, self.layout.extents() + n as i32 * 8)
    }

    /// The address of a buffer.
    fn address(&mut self, place: Place) -> Value {
        match place {
            Place::Input(n) => self.load(self.io, n as i32 * 8),
            Place::Output(n) => self.load(self.io, (self.inputs as i32 + n as i32) * 8),
            Place::State(n) => self.load(self.state, n as i32 * 8),
            Place::Weights { offset } => {
                let weights = self.load(self.frame, Frame::WEIGHTS);
                self.builder.ins().iadd_imm_s(weights, offset as i64)
            }
            Place::Arena { offset } => self.in_arena(offset),
            Place::Pointer(n) => self.load(self.frame, self.pointer(n)),
        }
    }

    fn in_arena(&mut self, offset: u64) -> Value {
        self.builder.ins().iadd_imm_s(self.arena, offset as i64)
    }

    /// The bool at a place.
    fn truth(&mut self, place: Place) -> Value {
        let address = self.address(place);
        self.builder.ins().load(types::I8, MemFlagsData::trusted(), address, 0)
    }

    /// Goes on in a new block if `holds`, else returns the code.
    fn require(&mut self, holds: Value, code: Value) {
        let next = self.builder.create_block();
        self.builder.ins().brif(holds, next, &[], self.fail, &[BlockArg::Value(code)]);
        self.builder.switch_to_block(next);
    }

    /// Code for a list of pieces.
    ///
    /// # Errors
    /// [`CodegenError::Bug`] for a program that doesn't fit together.
    pub fn pieces(&mut self, pieces: &[Piece]) -> Result<(), CodegenError> {
        for piece in pieces {
            match piece {
                Piece::Launches(first, end) => {
                    let first = self.builder.ins().iadd_imm_s(self.table, *first as i64 * 4);
                    let end = self.builder.ins().iadd_imm_s(self.table, *end as i64 * 4);
                    self.builder.ins().call(self.launcher, &[self.frame, first, end]);
                }
                Piece::If { condition, then, otherwise } => self.branch(*condition, then, otherwise)?,
                Piece::Loop(nest) => self.nest(nest)?,
                Piece::Call(call) => self.custom_call(call),
                Piece::Bind(symbol, place, limits) => self.bind(*symbol as usize, *place, limits)?,
            }
        }
        Ok(())
    }

    /// Calls the application. The arrays that the function takes are where launches have their arguments.
    fn custom_call(&mut self, call: &CallPieces) {
        let code = self.builder.ins().iconst(types::I32, i64::from(RunError::CustomCall as i32));
        let exec = self.load(self.frame, Frame::EXEC);
        self.require(exec, code);
        let count = self.load(exec, offset_of!(abi::Exec, custom_call_count) as i32);
        let known =
            self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThan, count, i64::from(call.function));
        self.require(known, code);
        let table = self.load(exec, offset_of!(abi::Exec, custom_calls) as i32);
        let entry = call.function as usize * size_of::<abi::CustomCall>();
        let function = self.load(table, (entry + offset_of!(abi::CustomCall, call)) as i32);
        self.require(function, code);
        let context = self.load(table, (entry + offset_of!(abi::CustomCall, context)) as i32);
        let mut words = Vec::new();
        for place in call.operands.iter().chain(&call.results) {
            words.push(self.address(*place));
        }
        for extent in &call.extents {
            words.push(self.extent(*extent));
        }
        let start = self.layout.arguments();
        for (n, word) in words.into_iter().enumerate() {
            self.store(word, start + n as i32 * 8);
        }
        let results = start + call.operands.len() as i32 * 8;
        let extents = results + call.results.len() as i32 * 8;
        let arrays = [start, results, extents];
        let [operands, results, extents] =
            arrays.map(|place| self.builder.ins().iadd_imm_s(self.frame, i64::from(place)));
        let mut signature = Signature::new(self.call_conv);
        signature.params.extend([AbiParam::new(types::I64); 4]);
        signature.returns.push(AbiParam::new(types::I32));
        let signature = self.builder.import_signature(signature);
        let arguments = [context, operands, results, extents];
        let called = self.builder.ins().call_indirect(signature, function, &arguments);
        let status = self.builder.inst_results(called)[0];
        let fine = self.builder.ins().icmp_imm_s(IntCC::Equal, status, 0);
        self.require(fine, code);
    }

    /// Gives a symbol its value, and then those extents that can be computed from it.
    fn bind(&mut self, n: usize, place: Place, limits: &[u32]) -> Result<(), CodegenError> {
        let symbol = &self.symbols[n];
        let address = self.address(place);
        let value = self.load(address, 0);
        let code = self.builder.ins().iconst(types::I32, i64::from(RunError::DimOutOfRange as i32));
        let (lower, upper) = (symbol.lower(), symbol.upper());
        let above = self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, value, lower);
        self.require(above, code);
        let below = self.builder.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, value, upper);
        self.require(below, code);
        for limit in limits {
            let limit = self.extent(*limit);
            let within = self.builder.ins().icmp(IntCC::SignedLessThanOrEqual, value, limit);
            self.require(within, code);
        }
        self.builder.ins().store(MemFlagsData::trusted(), value, self.caller_dims, n as i32 * 8);
        self.dims.bind(n, value);
        self.unbound.retain(|other| *other != n);
        let unbound = |dim: &Dim| self.unbound.iter().any(|n| dim.contains(&self.symbols[*n]));
        let known = |(_, dim): &(usize, &Dim)| dim.contains(symbol) && !unbound(dim);
        let extents: Vec<(usize, &Dim)> = self.extents.iter().enumerate().filter(known).collect();
        for (n, dim) in extents {
            let value = self.dims.value(self.builder, dim)?;
            self.store(value, self.layout.extents() + n as i32 * 8);
        }
        Ok(())
    }

    fn branch(&mut self, condition: Place, then: &[Piece], otherwise: &[Piece]) -> Result<(), CodegenError> {
        let condition = self.truth(condition);
        let blocks = [self.builder.create_block(), self.builder.create_block()];
        let exit = self.builder.create_block();
        self.builder.ins().brif(condition, blocks[0], &[], blocks[1], &[]);
        for (block, pieces) in blocks.into_iter().zip([then, otherwise]) {
            self.builder.switch_to_block(block);
            self.pieces(pieces)?;
            self.builder.ins().jump(exit, &[]);
        }
        self.builder.switch_to_block(exit);
        Ok(())
    }

    fn nest(&mut self, nest: &LoopPieces) -> Result<(), CodegenError> {
        let trips = self.extent(nest.trips);
        self.begin(nest, trips);
        let (head, body, exit) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        let trip = self.builder.append_block_param(head, types::I64);
        let zero = self.builder.ins().iconst(types::I64, 0);
        self.builder.ins().jump(head, &[BlockArg::Value(zero)]);
        self.builder.switch_to_block(head);
        // Data errors end loops, whose conditions may not be met any more.
        let status = self.status();
        let fine = self.builder.ins().icmp_imm_s(IntCC::Equal, status, 0);
        self.require(fine, status);
        match &nest.condition {
            None => {
                let more = self.builder.ins().icmp(IntCC::SignedLessThan, trip, trips);
                self.builder.ins().brif(more, body, &[], exit, &[]);
                self.builder.switch_to_block(body);
            }
            Some((pieces, place)) => {
                self.pieces(pieces)?;
                let holds = self.truth(*place);
                self.builder.ins().brif(holds, body, &[], exit, &[]);
                self.builder.switch_to_block(body);
                let within = self.builder.ins().icmp(IntCC::SignedLessThan, trip, trips);
                let code = self.builder.ins().iconst(types::I32, i64::from(RunError::TripBudget as i32));
                self.require(within, code);
            }
        }
        self.pieces(&nest.body)?;
        self.advance(nest);
        let next = self.builder.ins().iadd_imm_s(trip, 1);
        self.builder.ins().jump(head, &[BlockArg::Value(next)]);
        self.builder.switch_to_block(exit);
        Ok(())
    }

    /// Sets the pointers for the first trip.
    fn begin(&mut self, nest: &LoopPieces, trips: Value) {
        for CarriedPlaces { initial, current, next, buffers } in &nest.carried {
            let (initial, buffer) = (self.address(*initial), self.in_arena(buffers[0]));
            self.store(initial, self.pointer(*current));
            self.store(buffer, self.pointer(*next));
        }
        for (whole, pointer, stride) in &nest.slices {
            let mut address = self.address(*whole);
            if nest.reverse {
                let stride = self.extent(*stride);
                let last = self.builder.ins().iadd_imm_s(trips, -1);
                let distance = self.builder.ins().imul(last, stride);
                address = self.builder.ins().iadd(address, distance);
            }
            self.store(address, self.pointer(*pointer));
        }
    }

    /// Sets the pointers for the next trip.
    fn advance(&mut self, nest: &LoopPieces) {
        for CarriedPlaces { current, next, buffers, .. } in &nest.carried {
            let written = self.load(self.frame, self.pointer(*next));
            self.store(written, self.pointer(*current));
            let (first, second) = (self.in_arena(buffers[0]), self.in_arena(buffers[1]));
            let both = self.builder.ins().iadd(first, second);
            let other = self.builder.ins().isub(both, written);
            self.store(other, self.pointer(*next));
        }
        for (_, pointer, stride) in &nest.slices {
            let (slice, stride) = (self.load(self.frame, self.pointer(*pointer)), self.extent(*stride));
            let moved = match nest.reverse {
                true => self.builder.ins().isub(slice, stride),
                false => self.builder.ins().iadd(slice, stride),
            };
            self.store(moved, self.pointer(*pointer));
        }
    }
}
