//! Walks over statements. Operands come in the order of the text form.

use super::ir::{Block, Kernel, Spread, Stmt, Val};
use super::types::Type;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use smallvec::SmallVec;

impl Stmt {
    /// The blocks within a loop or branch.
    pub fn blocks(&self) -> SmallVec<[&Block; 2]> {
        match self {
            Stmt::For(nest) => SmallVec::from_slice(&[&nest.body]),
            Stmt::If(branch) => SmallVec::from_slice(&[&branch.then, &branch.otherwise]),
            _ => SmallVec::new(),
        }
    }

    /// Calls `visit` for the statement's own operands: those of its blocks are not among them, the initial values of a loop are.
    pub fn for_each_operand(&self, visit: &mut dyn FnMut(Val)) {
        let (address, spread, mask) = match self {
            Stmt::Op { args, .. } => return args.iter().copied().for_each(visit),
            Stmt::Check { condition, .. } => return visit(*condition),
            Stmt::Prefetch { address } => return visit(address.index),
            Stmt::For(nest) => {
                visit(nest.lower);
                visit(nest.upper);
                return nest.carried.iter().for_each(|carried| visit(carried.init));
            }
            Stmt::If(branch) => return visit(branch.condition),
            Stmt::Load { address, spread, mask, .. } => (address, spread, mask),
            Stmt::Store { value, address, spread, mask } => {
                visit(*value);
                (address, spread, mask)
            }
        };
        visit(address.index);
        if let Spread::Gathered(lanes) = spread {
            visit(*lanes);
        }
        mask.iter().copied().for_each(visit);
    }

    /// The same, for changes.
    pub fn for_each_operand_mut(&mut self, visit: &mut dyn FnMut(&mut Val)) {
        let (address, spread, mask) = match self {
            Stmt::Op { args, .. } => return args.iter_mut().for_each(visit),
            Stmt::Check { condition, .. } => return visit(condition),
            Stmt::Prefetch { address } => return visit(&mut address.index),
            Stmt::For(nest) => {
                visit(&mut nest.lower);
                visit(&mut nest.upper);
                return nest.carried.iter_mut().for_each(|carried| visit(&mut carried.init));
            }
            Stmt::If(branch) => return visit(&mut branch.condition),
            Stmt::Load { address, spread, mask, .. } => (address, spread, mask),
            Stmt::Store { value, address, spread, mask } => {
                visit(value);
                (address, spread, mask)
            }
        };
        visit(&mut address.index);
        if let Spread::Gathered(lanes) = spread {
            visit(lanes);
        }
        mask.iter_mut().for_each(visit);
    }
}

impl Block {
    /// Calls `visit` for every operand and yielded value within the block, in the order of the text form.
    pub fn for_each_use(&self, visit: &mut dyn FnMut(Val)) {
        for stmt in &self.stmts {
            stmt.for_each_operand(visit);
            stmt.blocks().iter().for_each(|block| block.for_each_use(visit));
        }
        self.yields.iter().copied().for_each(visit);
    }
}

impl Kernel {
    /// The kernel with its values numbered in the order of their definitions: extents, then the statements as they stand, a loop's
    /// variable and parameters before its body, results after. Kernels that compute the same in the same way become equal.
    pub fn renumbered(mut self) -> Kernel {
        let mut renaming = Renaming { old: &self.values, new: PrimaryMap::new(), names: SecondaryMap::new() };
        for (_, value) in &mut self.extents {
            renaming.define(value);
        }
        renaming.block(&mut self.body);
        self.values = renaming.new;
        self
    }
}

struct Renaming<'k> {
    old: &'k PrimaryMap<Val, Type>,
    new: PrimaryMap<Val, Type>,
    names: SecondaryMap<Val, Option<Val>>,
}

impl Renaming<'_> {
    fn define(&mut self, value: &mut Val) {
        let ty = self.old.get(*value).copied().unwrap_or(Type::INDEX);
        let name = self.new.push(ty);
        self.names[*value] = Some(name);
        *value = name;
    }

    /// A value without a definition gets a name too: the verifier reports it.
    fn rename(&mut self, value: &mut Val) {
        match self.names[*value] {
            Some(name) => *value = name,
            None => self.define(value),
        }
    }

    fn block(&mut self, block: &mut Block) {
        for stmt in &mut block.stmts {
            stmt.for_each_operand_mut(&mut |value| self.rename(value));
            match stmt {
                Stmt::Op { result, .. } | Stmt::Load { result, .. } => self.define(result),
                Stmt::For(nest) => {
                    self.define(&mut nest.var);
                    nest.carried.iter_mut().for_each(|carried| self.define(&mut carried.param));
                    self.block(&mut nest.body);
                    nest.carried.iter_mut().for_each(|carried| self.define(&mut carried.result));
                }
                Stmt::If(branch) => {
                    self.block(&mut branch.then);
                    self.block(&mut branch.otherwise);
                    branch.results.iter_mut().for_each(|result| self.define(result));
                }
                Stmt::Store { .. } | Stmt::Prefetch { .. } | Stmt::Check { .. } => {}
            }
        }
        block.yields.iter_mut().for_each(|value| self.rename(value));
    }
}
