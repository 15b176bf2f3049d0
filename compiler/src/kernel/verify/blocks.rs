//! Statements, control flow and tasks.

use super::{Checker, PathStep, VerifyErrorKind};
use crate::kernel::{Block, For, If, KernelOp, Stmt, Type, Unary, Val};
use smallvec::SmallVec;

impl Checker<'_> {
    /// P1 to P4, but for P1 within blocks.
    pub(super) fn tasks(&mut self) {
        let stmts = &self.kernel.body.stmts;
        let is_parallel = |stmt: &Stmt| matches!(stmt, Stmt::For(nest) if nest.parallel);
        let Some(place) = stmts.iter().position(is_parallel) else { return };
        for (index, stmt) in stmts.iter().enumerate() {
            self.path.0.push(PathStep::Stmt(index as u32));
            match stmt {
                _ if index == place => {}
                Stmt::For(nest) if nest.parallel => self.error(VerifyErrorKind::SecondParallel),
                Stmt::For(_) if index > place => self.error(VerifyErrorKind::BesideParallel("loop after it")),
                Stmt::If(_) if index > place => {
                    self.error(VerifyErrorKind::BesideParallel("branch after it"))
                }
                _ if stores(stmt) => self.error(VerifyErrorKind::BesideParallel("store")),
                _ => {}
            }
            self.path.0.pop();
        }
    }

    /// Checks a block; its definitions are visible in it and until the caller drops those added to `scope`.
    pub(super) fn block(&mut self, block: &Block, scope: &mut Vec<Val>) {
        for (index, stmt) in block.stmts.iter().enumerate() {
            self.path.0.push(PathStep::Stmt(index as u32));
            self.stmt(stmt, scope);
            self.path.0.pop();
        }
        for value in &block.yields {
            self.used(*value);
        }
    }

    fn inner_block(&mut self, step: PathStep, block: &Block, mut scope: Vec<Val>) {
        self.path.0.push(step);
        self.block(block, &mut scope);
        self.path.0.pop();
        for value in scope {
            self.visible.remove(value);
        }
    }

    /// A definition in a block.
    fn define_in(&mut self, value: Val, scope: &mut Vec<Val>) {
        // A second definition of an outer value must not end the first one's visibility.
        if !self.visible.contains(value) {
            scope.push(value);
        }
        self.define(value);
    }

    fn stmt(&mut self, stmt: &Stmt, scope: &mut Vec<Val>) {
        match stmt {
            Stmt::Op { result, op, args } => {
                self.op(*result, op, args);
                self.define_in(*result, scope);
            }
            Stmt::Load { result, address, spread, mask } => {
                self.load(*result, address, spread, *mask);
                self.define_in(*result, scope);
            }
            Stmt::Store { value, address, spread, mask } => self.store(*value, address, spread, *mask),
            Stmt::Prefetch { address } => self.address(address),
            Stmt::Check { condition, .. } => self.used_as(*condition, "a condition", Type::TRUTH),
            Stmt::For(nest) => self.nest(nest, scope),
            Stmt::If(branch) => self.branch(branch, scope),
        }
    }

    fn op(&mut self, result: Val, op: &KernelOp, args: &[Val]) {
        let types: Option<SmallVec<[Type; 3]>> = args.iter().map(|arg| self.used(*arg)).collect();
        let features = self.limits.features;
        let lacking = match op {
            KernelOp::Fma => !features.fma,
            KernelOp::Unary(Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round) => !features.rounding,
            _ => false,
        };
        if lacking {
            self.error(VerifyErrorKind::Feature(op.name()));
        }
        let (Some(types), Some(declared)) = (types, self.ty(result)) else { return };
        match op.result_type(&types, declared) {
            Err(error) => self.error(error.into()),
            Ok(ty) if ty != declared => {
                self.error(VerifyErrorKind::WrongType {
                    what: "the result",
                    expected: ty.to_string(),
                    found: declared,
                });
            }
            Ok(_) => {}
        }
    }

    fn nest(&mut self, nest: &For, scope: &mut Vec<Val>) {
        if nest.parallel && self.path.0.len() > 1 {
            self.error(VerifyErrorKind::NestedParallel);
        }
        if nest.parallel && !nest.carried.is_empty() {
            self.error(VerifyErrorKind::ParallelCarries);
        }
        if nest.step < 1 {
            self.error(VerifyErrorKind::Step(nest.step));
        }
        self.used_as(nest.lower, "the lower bound of a loop", Type::INDEX);
        self.used_as(nest.upper, "the upper bound of a loop", Type::INDEX);
        let mut inner = Vec::new();
        self.define_in(nest.var, &mut inner);
        self.has_type(nest.var, "the variable of a loop", Type::INDEX);
        for carried in &nest.carried {
            if let Some(ty) = self.used(carried.init) {
                self.has_type(carried.param, "the parameter of a carried value", ty);
                self.has_type(carried.result, "the result of a carried value", ty);
            }
            self.define_in(carried.param, &mut inner);
        }
        self.inner_block(PathStep::Body, &nest.body, inner);
        let expected: Vec<Val> = nest.carried.iter().map(|carried| carried.param).collect();
        self.yields(&nest.body, &expected);
        for carried in &nest.carried {
            self.define_in(carried.result, scope);
        }
    }

    fn branch(&mut self, branch: &If, scope: &mut Vec<Val>) {
        self.used_as(branch.condition, "a condition", Type::TRUTH);
        self.inner_block(PathStep::Then, &branch.then, Vec::new());
        self.inner_block(PathStep::Else, &branch.otherwise, Vec::new());
        self.yields(&branch.then, &branch.results);
        self.yields(&branch.otherwise, &branch.results);
        for result in &branch.results {
            self.define_in(*result, scope);
        }
    }

    /// Count and types of what a block yields; that the values are visible was checked in the block.
    fn yields(&mut self, block: &Block, expected: &[Val]) {
        if block.yields.len() != expected.len() {
            let (expected, found) = (expected.len(), block.yields.len());
            return self.error(VerifyErrorKind::YieldCount { expected, found });
        }
        for (value, like) in block.yields.iter().zip(expected) {
            if let Some(ty) = self.ty(*like) {
                self.has_type(*value, "a yielded value", ty);
            }
        }
    }

    fn has_type(&mut self, value: Val, what: &'static str, expected: Type) {
        if let Some(found) = self.ty(value)
            && found != expected
        {
            self.error(VerifyErrorKind::WrongType { what, expected: expected.to_string(), found });
        }
    }
}

/// Whether a store is in the statement.
fn stores(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Store { .. } => true,
        _ => stmt.blocks().into_iter().flat_map(|block| &block.stmts).any(stores),
    }
}
