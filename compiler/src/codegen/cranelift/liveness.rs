//! Where values are used for the last time.
//!
//! Statements are numbered in the order in which they are translated. An operation may overwrite an operand that dies there, which saves a
//! move on x86-64, whose fused multiply-add always overwrites one of its operands.

use crate::kernel::{Block, Kernel, Spread, Stmt, Val};
use cranelift_entity::SecondaryMap;

/// The number of the statement where each value dies.
pub(super) struct Liveness {
    definitions: SecondaryMap<Val, u32>,
    last_uses: SecondaryMap<Val, u32>,
    position: u32,
}

impl Liveness {
    /// Looks at all statements of a kernel.
    pub fn of(kernel: &Kernel) -> Liveness {
        let mut liveness =
            Liveness { definitions: SecondaryMap::new(), last_uses: SecondaryMap::new(), position: 0 };
        liveness.block(&kernel.body, 0);
        liveness
    }

    /// Whether the value is not needed after the statement of this number.
    pub fn dies_at(&self, value: Val, position: u32) -> bool {
        self.last_uses[value] == position
    }

    fn define(&mut self, value: Val) {
        self.definitions[value] = self.position;
    }

    /// A value that is defined before the innermost loop begins is needed again by the next trip, so it doesn't die inside.
    fn used(&mut self, value: Val, loop_start: u32) {
        let inside = self.definitions[value] >= loop_start;
        self.last_uses[value] = if inside { self.position.max(self.last_uses[value]) } else { u32::MAX };
    }

    fn block(&mut self, block: &Block, loop_start: u32) {
        for stmt in &block.stmts {
            self.position += 1;
            self.stmt(stmt, loop_start);
        }
        self.position += 1;
        block.yields.iter().for_each(|value| self.used(*value, loop_start));
    }

    fn stmt(&mut self, stmt: &Stmt, loop_start: u32) {
        match stmt {
            Stmt::Op { result, args, .. } => {
                args.iter().for_each(|value| self.used(*value, loop_start));
                self.define(*result);
            }
            Stmt::Load { result, address, spread, mask } => {
                self.memory_operands(address.index, spread, *mask, loop_start);
                self.define(*result);
            }
            Stmt::Store { value, address, spread, mask } => {
                self.used(*value, loop_start);
                self.memory_operands(address.index, spread, *mask, loop_start);
            }
            Stmt::Prefetch { address } => self.used(address.index, loop_start),
            Stmt::Check { condition, .. } => self.used(*condition, loop_start),
            Stmt::For(nest) => {
                [nest.lower, nest.upper].into_iter().for_each(|value| self.used(value, loop_start));
                nest.carried.iter().for_each(|carried| self.used(carried.init, loop_start));
                self.define(nest.var);
                nest.carried.iter().for_each(|carried| self.define(carried.param));
                self.block(&nest.body, self.position);
                nest.carried.iter().for_each(|carried| self.define(carried.result));
            }
            Stmt::If(branch) => {
                self.used(branch.condition, loop_start);
                self.block(&branch.then, loop_start);
                self.block(&branch.otherwise, loop_start);
                branch.results.iter().for_each(|value| self.define(*value));
            }
        }
    }

    fn memory_operands(&mut self, index: Val, spread: &Spread, mask: Option<Val>, loop_start: u32) {
        self.used(index, loop_start);
        if let Spread::Gathered(indices) = spread {
            self.used(*indices, loop_start);
        }
        if let Some(mask) = mask {
            self.used(mask, loop_start);
        }
    }
}
