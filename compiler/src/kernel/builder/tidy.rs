//! Drops what nothing uses and orders index constants and numbers, so that equal computations give equal kernels.

use crate::kernel::{Block, Kernel, KernelOp, Number, Stmt, Type, Val};
use cranelift_entity::{EntitySet, SecondaryMap};

/// The kernel without unused operations, loads, loops and branches, with its index constants first, in the order of their first use, and
/// its values renumbered.
pub(super) fn tidy(mut kernel: Kernel) -> Kernel {
    let mut used = EntitySet::with_capacity(kernel.values.len());
    sweep(&mut kernel.body, &mut used);
    let constants = take_index_constants(&mut kernel);
    kernel.body.stmts.splice(0..0, constants);
    kernel.renumbered()
}

/// Removes the index constants of the outermost block; gives them in the order of their first use.
fn take_index_constants(kernel: &mut Kernel) -> Vec<Stmt> {
    let mut taken: SecondaryMap<Val, Option<i64>> = SecondaryMap::new();
    let values = &kernel.values;
    kernel.body.stmts.retain(|stmt| match stmt {
        Stmt::Op { result, op: KernelOp::Constant(Number::Int(number)), .. }
            if values[*result] == Type::INDEX =>
        {
            taken[*result] = Some(*number);
            false
        }
        _ => true,
    });
    let mut ordered = Vec::new();
    kernel.body.for_each_use(&mut |value| {
        if let Some(number) = taken[value].take() {
            let op = KernelOp::Constant(Number::Int(number));
            ordered.push(Stmt::Op { result: value, op, args: Default::default() });
        }
    });
    ordered
}

/// Goes backwards through the block; `used` are the values that what follows needs.
fn sweep(block: &mut Block, used: &mut EntitySet<Val>) {
    used.extend(block.yields.iter().copied());
    let mut kept = Vec::with_capacity(block.stmts.len());
    while let Some(mut stmt) = block.stmts.pop() {
        if !is_needed(&stmt, used) {
            continue;
        }
        match &mut stmt {
            Stmt::For(nest) => sweep(&mut nest.body, used),
            Stmt::If(branch) => {
                sweep(&mut branch.then, used);
                sweep(&mut branch.otherwise, used);
            }
            _ => {}
        }
        stmt.for_each_operand(&mut |value| {
            used.insert(value);
        });
        kept.push(stmt);
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
        Stmt::For(_) | Stmt::If(_) => stmt.blocks().iter().any(|block| has_effect(block)),
    })
}
