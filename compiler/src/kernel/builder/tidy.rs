//! Drops what nothing uses and numbers values in the order of their definitions, so that equal computations give equal kernels.

use crate::kernel::{Block, For, If, Kernel, Spread, Stmt, Type, Val};
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};

/// The kernel without unused operations, loads, loops and branches, its values renumbered.
pub(super) fn tidy(mut kernel: Kernel) -> Kernel {
    let mut used = EntitySet::with_capacity(kernel.values.len());
    sweep(&mut kernel.body, &mut used);
    let mut renaming = Renaming { old: &kernel.values, new: PrimaryMap::new(), names: SecondaryMap::new() };
    for (_, value) in &mut kernel.extents {
        renaming.define(value);
    }
    renaming.block(&mut kernel.body);
    kernel.values = renaming.new;
    kernel
}

/// Goes backwards through the block; `used` are the values that what follows needs.
fn sweep(block: &mut Block, used: &mut EntitySet<Val>) {
    used.extend(block.yields.iter().copied());
    let mut kept = Vec::with_capacity(block.stmts.len());
    while let Some(mut stmt) = block.stmts.pop() {
        if is_needed(&stmt, used) {
            note_uses(&mut stmt, used);
            kept.push(stmt);
        }
    }
    kept.reverse();
    block.stmts = kept;
}

fn is_needed(stmt: &Stmt, used: &EntitySet<Val>) -> bool {
    match stmt {
        Stmt::Op { result, .. } | Stmt::Load { result, .. } => used.contains(*result),
        Stmt::Store { .. } | Stmt::Check { .. } | Stmt::Prefetch { .. } => true,
        Stmt::For(nest) => {
            nest.parallel || nest.carried.iter().any(|c| used.contains(c.result)) || has_effect(&nest.body)
        }
        Stmt::If(branch) => {
            let results = branch.results.iter().any(|result| used.contains(*result));
            results || has_effect(&branch.then) || has_effect(&branch.otherwise)
        }
    }
}

fn has_effect(block: &Block) -> bool {
    block.stmts.iter().any(|stmt| match stmt {
        Stmt::Op { .. } | Stmt::Load { .. } => false,
        Stmt::Store { .. } | Stmt::Check { .. } | Stmt::Prefetch { .. } => true,
        Stmt::For(nest) => has_effect(&nest.body),
        Stmt::If(branch) => has_effect(&branch.then) || has_effect(&branch.otherwise),
    })
}

fn note_uses(stmt: &mut Stmt, used: &mut EntitySet<Val>) {
    match stmt {
        Stmt::For(nest) => {
            let For { lower, upper, carried, body, .. } = &mut **nest;
            used.extend(carried.iter().map(|carried| carried.init));
            used.extend([*lower, *upper]);
            sweep(body, used);
        }
        Stmt::If(branch) => {
            let If { condition, then, otherwise, .. } = &mut **branch;
            used.insert(*condition);
            sweep(then, used);
            sweep(otherwise, used);
        }
        _ => for_each_operand(stmt, &mut |value| {
            used.insert(*value);
        }),
    }
}

/// The operands of a statement without blocks.
fn for_each_operand(stmt: &mut Stmt, visit: &mut dyn FnMut(&mut Val)) {
    let (address, spread, mask) = match stmt {
        Stmt::Op { args, .. } => return args.iter_mut().for_each(visit),
        Stmt::Check { condition, .. } => return visit(condition),
        Stmt::Prefetch { address } => return visit(&mut address.index),
        Stmt::Load { address, spread, mask, .. } => (address, spread, mask),
        Stmt::Store { value, address, spread, mask } => {
            visit(value);
            (address, spread, mask)
        }
        Stmt::For(_) | Stmt::If(_) => return,
    };
    visit(&mut address.index);
    if let Spread::Gathered(lanes) = spread {
        visit(lanes);
    }
    mask.iter_mut().for_each(visit);
}

struct Renaming<'k> {
    old: &'k PrimaryMap<Val, Type>,
    new: PrimaryMap<Val, Type>,
    names: SecondaryMap<Val, Option<Val>>,
}

impl Renaming<'_> {
    fn define(&mut self, value: &mut Val) {
        let ty = self.old[*value];
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
            match stmt {
                Stmt::For(nest) => self.nest(nest),
                Stmt::If(branch) => {
                    self.rename(&mut branch.condition);
                    self.block(&mut branch.then);
                    self.block(&mut branch.otherwise);
                    branch.results.iter_mut().for_each(|result| self.define(result));
                }
                _ => {
                    for_each_operand(stmt, &mut |value| self.rename(value));
                    if let Stmt::Op { result, .. } | Stmt::Load { result, .. } = stmt {
                        self.define(result);
                    }
                }
            }
        }
        block.yields.iter_mut().for_each(|value| self.rename(value));
    }

    fn nest(&mut self, nest: &mut For) {
        self.rename(&mut nest.lower);
        self.rename(&mut nest.upper);
        nest.carried.iter_mut().for_each(|carried| self.rename(&mut carried.init));
        self.define(&mut nest.var);
        nest.carried.iter_mut().for_each(|carried| self.define(&mut carried.param));
        self.block(&mut nest.body);
        nest.carried.iter_mut().for_each(|carried| self.define(&mut carried.result));
    }
}
