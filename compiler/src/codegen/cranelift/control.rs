//! Statements, loops, branches.

use super::function::Translator;
use super::shape::Parts;
use crate::codegen::CodegenError;
use crate::kernel::{Block, For, If, KernelOp, Number, Stmt, Val};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, Value, types};
use smallvec::SmallVec;

type BlockArgs = SmallVec<[BlockArg; 16]>;

impl<'a> Translator<'a, '_> {
    /// Translates a block; what it yields can be looked up afterwards.
    pub fn block(&mut self, block: &'a Block) -> Result<(), CodegenError> {
        let outer_pointers = self.new_pointers.len();
        for stmt in &block.stmts {
            self.position += 1;
            match stmt {
                Stmt::For(nest) => self.loop_nest(nest)?,
                Stmt::If(branch) => self.branch(branch)?,
                simple => self.simple_stmt(simple)?,
            }
        }
        self.position += 1;
        for key in self.new_pointers.drain(outer_pointers..) {
            self.pointers.remove(&key);
        }
        Ok(())
    }

    /// A loop with its test at the end; where zero trips are possible, a test before it skips it.
    fn loop_nest(&mut self, nest: &'a For) -> Result<(), CodegenError> {
        let (lower, upper) = match nest.parallel {
            true => self.task_range(nest)?,
            false => (self.scalar(nest.lower)?, self.scalar(nest.upper)?),
        };
        let body = self.builder.create_block();
        let exit = self.builder.create_block();
        self.builder.append_block_param(body, types::I64);
        for carried in &nest.carried {
            let param = self.append_params(body, carried.param)?;
            self.define(carried.param, param);
            let result = self.append_params(exit, carried.result)?;
            self.define(carried.result, result);
        }
        let inits = self.block_args(nest.carried.iter().map(|carried| carried.init))?;
        self.enter_loop(nest, (lower, upper), &inits, body, exit);
        self.builder.switch_to_block(body);
        let var = self.builder.block_params(body)[0];
        self.define(nest.var, smallvec::smallvec![var]);
        self.block(&nest.body)?;
        let next = self.ins().iadd_imm_s(var, nest.step);
        let yields = self.block_args(nest.body.yields.iter().copied())?;
        let more = self.ins().icmp(IntCC::SignedLessThan, next, upper);
        let again: BlockArgs = [BlockArg::Value(next)].into_iter().chain(yields.iter().copied()).collect();
        self.ins().brif(more, body, &again, exit, &yields);
        self.builder.seal_block(body);
        self.builder.switch_to_block(exit);
        self.builder.seal_block(exit);
        Ok(())
    }

    fn enter_loop(
        &mut self,
        nest: &For,
        (lower, upper): (Value, Value),
        inits: &BlockArgs,
        body: ir::Block,
        exit: ir::Block,
    ) {
        let first: BlockArgs = [BlockArg::Value(lower)].into_iter().chain(inits.iter().copied()).collect();
        let bounds = (self.constant_index(nest.lower), self.constant_index(nest.upper));
        if !nest.parallel && matches!(bounds, (Some(low), Some(high)) if low < high) {
            self.ins().jump(body, &first);
            return;
        }
        let any = self.ins().icmp(IntCC::SignedLessThan, lower, upper);
        self.ins().brif(any, body, &first, exit, inits);
    }

    /// An index that is a constant.
    pub fn constant_index(&self, value: Val) -> Option<i64> {
        match self.definition(value) {
            Some((KernelOp::Constant(Number::Int(constant)), _)) => Some(*constant),
            _ => None,
        }
    }

    fn branch(&mut self, branch: &'a If) -> Result<(), CodegenError> {
        let condition = self.scalar(branch.condition)?;
        let (then, otherwise) = (self.builder.create_block(), self.builder.create_block());
        let exit = self.builder.create_block();
        for result in &branch.results {
            let params = self.append_params(exit, *result)?;
            self.define(*result, params);
        }
        self.ins().brif(condition, then, &[], otherwise, &[]);
        for (block, body) in [(then, &branch.then), (otherwise, &branch.otherwise)] {
            self.builder.switch_to_block(block);
            self.builder.seal_block(block);
            self.block(body)?;
            let yields = self.block_args(body.yields.iter().copied())?;
            self.ins().jump(exit, &yields);
        }
        self.builder.switch_to_block(exit);
        self.builder.seal_block(exit);
        Ok(())
    }

    /// Reports `code` if the condition is clear.
    pub fn check(&mut self, condition: Val, code: i32) -> Result<(), CodegenError> {
        let condition = self.scalar(condition)?;
        let (fails, holds) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(fails);
        self.ins().brif(condition, holds, &[], fails, &[]);
        self.builder.switch_to_block(fails);
        self.builder.seal_block(fails);
        self.report(code);
        self.ins().jump(holds, &[]);
        self.builder.switch_to_block(holds);
        self.builder.seal_block(holds);
        Ok(())
    }

    /// Parameters of a block that hold a value.
    fn append_params(&mut self, block: ir::Block, value: Val) -> Result<Parts, CodegenError> {
        let shape = self.shape(self.ty(value))?;
        Ok((0..shape.parts).map(|_| self.builder.append_block_param(block, shape.part)).collect())
    }

    fn block_args(&self, values: impl Iterator<Item = Val>) -> Result<BlockArgs, CodegenError> {
        let mut args = BlockArgs::new();
        for value in values {
            args.extend(self.parts(value)?.into_iter().map(BlockArg::Value));
        }
        Ok(args)
    }
}
