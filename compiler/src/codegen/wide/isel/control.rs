//! Statements, loops, branches.

use super::super::inst::{Cond, Op, Width};
use super::super::vcode::Mem;
use super::Isel;
use super::address::Running;
use super::compare::float_condition;
use super::shape::Parts;
use crate::codegen::CodegenError;
use crate::kernel::{Block, Compare, For, If, KernelOp, Stmt, Val};
use graven_ir::DType;
use regalloc2::{RegClass, VReg};
use smallvec::smallvec;

impl<'k> Isel<'k> {
    /// Selects the instructions of a block; what it yields can be looked up afterwards.
    pub fn block(&mut self, block: &'k Block) -> Result<(), CodegenError> {
        self.block_number += 1;
        for stmt in &block.stmts {
            match stmt {
                Stmt::Op { result, op, args } => {
                    let parts = self.operation(*result, op, args)?;
                    self.define(*result, parts);
                }
                Stmt::Load { result, address, spread, mask } => {
                    let parts = self.load(*result, address, spread, *mask)?;
                    self.define(*result, parts);
                }
                Stmt::Store { value, address, spread, mask } => self.store(*value, address, spread, *mask)?,
                Stmt::Prefetch { address } => {
                    let mem = self.address(address)?;
                    self.b.effect(Op::Prefetch, Width::X, &[mem.into()], None);
                }
                Stmt::Check { condition, code } => self.check(*condition, *code)?,
                Stmt::For(nest) => self.nest(nest)?,
                Stmt::If(branch) => self.branch(branch)?,
            }
        }
        self.block_number += 1;
        Ok(())
    }

    /// Whether a value has been defined.
    pub fn is_defined(&self, value: Val) -> bool {
        !self.values[value].is_empty()
    }

    /// A loop with its test at the end; where zero trips are possible, a test before it skips it.
    fn nest(&mut self, nest: &'k For) -> Result<(), CodegenError> {
        let (lower, upper) = match nest.parallel {
            true => self.task_range(nest)?,
            false => (self.scalar(nest.lower)?, self.scalar(nest.upper)?),
        };
        let running = self.running_pointers(nest);
        let mut first: Vec<VReg> = vec![lower];
        first.extend(self.all_parts(nest.carried.iter().map(|carried| carried.init))?);
        let carried_end = first.len();
        for pointer in &running {
            first.push(self.first_address(nest, pointer, lower)?);
        }
        let (body, exit) = (self.b.block(), self.b.block());
        let var = self.b.param(body, RegClass::Int);
        for carried in &nest.carried {
            let param = self.params(body, carried.param)?;
            self.define(carried.param, param);
            let result = self.params(exit, carried.result)?;
            self.define(carried.result, result);
        }
        let pointers: Vec<VReg> = running.iter().map(|_| self.b.param(body, RegClass::Int)).collect();
        let bounds = (self.integer(nest.lower), self.integer(nest.upper));
        if !nest.parallel && matches!(bounds, (Some(low), Some(high)) if low < high) {
            self.b.jump(body, &first);
        } else {
            self.b.effect(Op::IntCmp, Width::W64, &[lower.into(), upper.into()], None);
            self.b.branch(Cond::Less, (body, &first), (exit, &first[1..carried_end]));
        }
        if !nest.body.stmts.iter().any(|stmt| matches!(stmt, Stmt::For(_))) {
            self.b.align(body);
        }
        self.b.begin(body);
        self.define(nest.var, smallvec![var]);
        self.depth += 1;
        let next = self.loop_body(nest, &running, &pointers)?;
        self.depth -= 1;
        let mut again = vec![self.b.def(Op::IntAddImm, Width::W64, &[var.into(), nest.step.into()])];
        if i32::try_from(nest.step).is_err() {
            let step = self.int(nest.step);
            again[0] = self.b.def(Op::IntAdd, Width::W64, &[var.into(), step.into()]);
        }
        again.extend(next);
        match bounds.1.map(i32::try_from) {
            Some(Ok(constant)) if !nest.parallel => {
                self.b.effect(
                    Op::IntCmpImm,
                    Width::W64,
                    &[again[0].into(), i64::from(constant).into()],
                    None,
                );
            }
            _ => self.b.effect(Op::IntCmp, Width::W64, &[again[0].into(), upper.into()], None),
        }
        self.b.branch(Cond::Less, (body, &again), (exit, &again[1..carried_end]));
        self.b.begin(exit);
        Ok(())
    }

    /// The body of a loop; gives what it carries to the next trip, then the pointers.
    fn loop_body(
        &mut self,
        nest: &'k For,
        running: &[Running],
        pointers: &[VReg],
    ) -> Result<Vec<VReg>, CodegenError> {
        for (running, pointer) in running.iter().zip(pointers) {
            self.pointers.insert(running.key, *pointer);
        }
        self.block(&nest.body)?;
        let mut next = self.all_parts(nest.body.yields.iter().copied())?;
        for (running, pointer) in running.iter().zip(pointers) {
            self.pointers.remove(&running.key);
            next.push(self.b.def(Op::IntAddImm, Width::W64, &[(*pointer).into(), running.step.into()]));
        }
        Ok(next)
    }

    /// The first trip of the task and the end of its trips, both as values of the loop's variable.
    fn task_range(&mut self, nest: &For) -> Result<(VReg, VReg), CodegenError> {
        let (lower, upper) = (self.scalar(nest.lower)?, self.scalar(nest.upper)?);
        let task = self.task;
        let tasks = self.argument(self.layout.tasks());
        let length = self.int_sub(upper, lower);
        let step = self.int(nest.step);
        let counted = if nest.step == 1 {
            length
        } else {
            let rounded = self.add_constant(length, nest.step - 1);
            self.int_division(rounded, step, Width::W64, true).0
        };
        let zero = self.int(0);
        self.b.effect(Op::IntCmpImm, Width::W64, &[counted.into(), 0i64.into()], None);
        let trips = self.b.select(Cond::Greater, counted, zero);
        let next = self.add_constant(task, 1);
        let bounds = [task, next].map(|bound| {
            let product = self.b.def(Op::IntMul, Width::W64, &[bound.into(), trips.into()]);
            let trip = self.int_division(product, tasks, Width::W64, false).0;
            let distance = match nest.step {
                1 => trip,
                _ => self.b.def(Op::IntMul, Width::W64, &[trip.into(), step.into()]),
            };
            self.b.def(Op::IntAdd, Width::W64, &[lower.into(), distance.into()])
        });
        Ok((bounds[0], bounds[1]))
    }

    fn branch(&mut self, branch: &'k If) -> Result<(), CodegenError> {
        let (then, otherwise, exit) = (self.b.block(), self.b.block(), self.b.block());
        for result in &branch.results {
            let params = self.params(exit, *result)?;
            self.define(*result, params);
        }
        let cond = self.condition(branch.condition)?;
        self.b.branch(cond, (then, &[]), (otherwise, &[]));
        for (label, body) in [(then, &branch.then), (otherwise, &branch.otherwise)] {
            self.b.begin(label);
            self.block(body)?;
            let yields = self.all_parts(body.yields.iter().copied())?;
            self.b.jump(exit, &yields);
        }
        self.b.begin(exit);
        Ok(())
    }

    /// Sets the flags for a scalar mask; gives the condition under which it is set. Nothing may come between this and what uses the flags.
    pub fn condition(&mut self, value: Val) -> Result<Cond, CodegenError> {
        if let Some(Stmt::Op { op: KernelOp::Compare(compare), args, .. }) = self.uses.definition(value)
            && let Some(cond) = self.compare_flags(*compare, args[0], args[1])?
        {
            return Ok(cond);
        }
        let truth = self.scalar(value)?;
        self.b.effect(Op::IntTest, Width::W32, &[truth.into(), truth.into()], None);
        Ok(Cond::NotEqual)
    }

    /// Compares two scalars by the flags, where one condition is enough.
    pub fn compare_flags(&mut self, compare: Compare, x: Val, y: Val) -> Result<Option<Cond>, CodegenError> {
        let ty = self.ty(x);
        let Some(dtype) = ty.dtype().filter(|_| ty.lanes == 1) else { return Ok(None) };
        match dtype {
            DType::F32 | DType::F64 => {
                let op = if dtype == DType::F32 { Op::CompareF32 } else { Op::CompareF64 };
                let (cond, x, y) = match float_condition(compare) {
                    Some((cond, false)) => (cond, x, y),
                    Some((cond, true)) => (cond, y, x),
                    None => return Ok(None),
                };
                let (x, y) = (self.scalar(x)?, self.scalar(y)?);
                self.b.effect(op, Width::X, &[x.into(), y.into()], None);
                Ok(Some(cond))
            }
            DType::F16 | DType::BF16 => Ok(None),
            _ => {
                let width = Isel::int_width(dtype);
                let left = self.scalar(x)?;
                match self.integer(y).map(i32::try_from) {
                    Some(Ok(constant)) => {
                        let constant = i64::from(constant);
                        self.b.effect(Op::IntCmpImm, width, &[left.into(), constant.into()], None);
                    }
                    _ => {
                        let right = self.scalar(y)?;
                        self.b.effect(Op::IntCmp, width, &[left.into(), right.into()], None);
                    }
                }
                Ok(Some(int_condition(compare, super::shape::is_signed(dtype))))
            }
        }
    }

    /// Reports `code` if the condition is clear.
    fn check(&mut self, condition: Val, code: i32) -> Result<(), CodegenError> {
        let (fails, holds) = (self.b.cold_block(), self.b.block());
        let cond = self.condition(condition)?;
        self.b.branch(cond, (holds, &[]), (fails, &[]));
        self.b.begin(fails);
        let status = self.argument(self.layout.status());
        let code = self.int32(code.into());
        self.b.effect(Op::IntStore, Width::W32, &[Mem::at(status, 0).into(), code.into()], None);
        self.b.jump(holds, &[]);
        self.b.begin(holds);
        Ok(())
    }

    /// Parameters of a block that hold a value.
    fn params(&mut self, block: super::super::vcode::Label, value: Val) -> Result<Parts, CodegenError> {
        let (class, count) = self.registers(self.ty(value))?;
        Ok((0..count).map(|_| self.b.param(block, class)).collect())
    }

    fn all_parts(&self, values: impl Iterator<Item = Val>) -> Result<Vec<VReg>, CodegenError> {
        let mut all = Vec::new();
        for value in values {
            all.extend(self.parts(value)?);
        }
        Ok(all)
    }
}

/// The condition of the flags after comparing integers.
fn int_condition(compare: Compare, signed: bool) -> Cond {
    match (compare, signed) {
        (Compare::Eq, _) => Cond::Equal,
        (Compare::Ne, _) => Cond::NotEqual,
        (Compare::Lt, true) => Cond::Less,
        (Compare::Le, true) => Cond::NotGreater,
        (Compare::Gt, true) => Cond::Greater,
        (Compare::Ge, true) => Cond::NotLess,
        (Compare::Lt, false) => Cond::Below,
        (Compare::Le, false) => Cond::NotAbove,
        (Compare::Gt, false) => Cond::Above,
        (Compare::Ge, false) => Cond::NotBelow,
    }
}
