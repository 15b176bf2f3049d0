//! Ops whose elements depend on each other: running reductions, scatters, updates. Each task takes one independent line or, for scatters, everything.

use super::pointwise::{self, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::domain::{close_nest, open_nest};
use crate::form::element::{checked, clamped, combiner, identity};
use crate::form::group::Group;
use crate::form::view::{View, store};
use crate::kernel::{Spread, Val, math};
use graven_ir::{BinaryOp, CumulativeOp, Dim, Node, Op, ReduceOp, ScatterOp, Shape, ValueId};

/// The kernel of a single op that this module schedules; `None` for others.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(node) = group.result_node(0) else { return Ok(None) };
    let mut draft = Draft::new(&pointwise::name(group), group, context);
    match &node.op {
        Op::Cumulative { .. } => {
            let view = draft.result(group, context, 0);
            cumulative(&mut draft, node, &view)?;
        }
        Op::ScatterElements { .. } | Op::ScatterNd { .. } | Op::DynamicUpdateSlice => {
            let view = draft.read_write_result(group, context, 0);
            copy(&mut draft, node.operands[0], &view)?;
            update(&mut draft, node, &view)?;
        }
        _ => return Ok(None),
    }
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}

fn shape_of(draft: &Draft, value: ValueId) -> Shape {
    draft.evaluator.graph.ty(value).shape.clone()
}

fn element(draft: &mut Draft, value: ValueId, index: &[Dim]) -> Result<Val, FormError> {
    let Draft { builder: b, evaluator, .. } = draft;
    evaluator.scope(|e| e.with_lane(None, |e| e.value(b, value, index)))
}

fn cumulative(draft: &mut Draft, node: &Node, view: &View) -> Result<(), FormError> {
    let Op::Cumulative { combine, axis, exclusive, reverse } = &node.op else { return Ok(()) };
    let combine = match combine {
        CumulativeOp::Sum => ReduceOp::Sum,
        CumulativeOp::Product => ReduceOp::Product,
        CumulativeOp::Max => ReduceOp::Max,
        CumulativeOp::Min => ReduceOp::Min,
    };
    let operand = node.operands[0];
    let dtype = draft.evaluator.dtype(operand);
    let mut lines = shape_of(draft, operand);
    let length = lines.remove(*axis);
    let count = lines.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&count);
    let line = unflatten(&parallel.index, &lines);
    let start = identity(&mut draft.builder, combine, dtype, 1);
    let nest = draft.builder.open_loop((&Dim::ZERO, &length, 1), &[start]);
    let mut index = line;
    index.insert(*axis, if *reverse { &length - 1 - &nest.index } else { nest.index.clone() });
    let x = element(draft, operand, &index)?;
    let total = nest.params[0];
    let next = math::binary(&mut draft.builder, combiner(combine), dtype, total, x);
    store(&mut draft.builder, view, &index, None, if *exclusive { total } else { next });
    draft.builder.close_loop(nest, vec![next]);
    draft.builder.close_loop(parallel, Vec::new());
    Ok(())
}

fn copy(draft: &mut Draft, value: ValueId, view: &View) -> Result<(), FormError> {
    let (loops, index) = open_nest(&mut draft.builder, &view.shape);
    let x = element(draft, value, &index)?;
    store(&mut draft.builder, view, &index, None, x);
    close_nest(&mut draft.builder, loops);
    Ok(())
}

/// Goes through the updates in row-major order, so that the last of several to one place wins.
fn update(draft: &mut Draft, node: &Node, view: &View) -> Result<(), FormError> {
    let (updates, combine) = match &node.op {
        Op::ScatterElements { combine, .. } | Op::ScatterNd { combine } => (node.operands[2], *combine),
        _ => (node.operands[1], ScatterOp::Replace),
    };
    let shape = shape_of(draft, updates);
    let (loops, place) = open_nest(&mut draft.builder, &shape);
    let target = target(draft, node, &place, &shape)?;
    let mut x = element(draft, updates, &place)?;
    if combine != ScatterOp::Replace {
        let dtype = draft.evaluator.dtype(updates);
        let address = view.address(&target);
        let b = &mut draft.builder;
        let there = math::load(b, view.buffer, &address, 1, Spread::Contiguous, None);
        x = math::binary(b, scatter_op(combine), dtype, there, x);
    }
    store(&mut draft.builder, view, &target, None, x);
    close_nest(&mut draft.builder, loops);
    Ok(())
}

fn scatter_op(combine: ScatterOp) -> BinaryOp {
    match combine {
        ScatterOp::Add | ScatterOp::Replace => BinaryOp::Add,
        ScatterOp::Mul => BinaryOp::Mul,
        ScatterOp::Max => BinaryOp::Max,
        ScatterOp::Min => BinaryOp::Min,
    }
}

/// Where an update goes.
fn target(
    draft: &mut Draft,
    node: &Node,
    place: &[Dim],
    update_shape: &Shape,
) -> Result<Vec<Dim>, FormError> {
    let shape = shape_of(draft, node.results[0]);
    match &node.op {
        Op::ScatterElements { axis, .. } => {
            let index = element(draft, node.operands[1], place)?;
            let dtype = draft.evaluator.dtype(node.operands[1]);
            let mut target = place.to_vec();
            target[*axis] = checked(&mut draft.builder, index, dtype, &shape[*axis]);
            Ok(target)
        }
        Op::ScatterNd { .. } => {
            let indices = node.operands[1];
            let index_shape = shape_of(draft, indices);
            let dtype = draft.evaluator.dtype(indices);
            let lead = index_shape.len() - 1;
            let count = index_shape[lead].as_const().unwrap_or(0);
            let mut target = Vec::with_capacity(shape.len());
            for (axis, k) in (0..count).enumerate() {
                let at: Vec<Dim> = place[..lead].iter().cloned().chain([Dim::from(k)]).collect();
                let index = element(draft, indices, &at)?;
                target.push(checked(&mut draft.builder, index, dtype, &shape[axis]));
            }
            target.extend_from_slice(&place[lead..]);
            Ok(target)
        }
        _ => {
            let starts = node.operands[2];
            let dtype = draft.evaluator.dtype(starts);
            let mut target = Vec::with_capacity(shape.len());
            for axis in 0..shape.len() {
                let start = element(draft, starts, &[Dim::from(axis)])?;
                let last = &shape[axis] - &update_shape[axis];
                target.push(&place[axis] + clamped(&mut draft.builder, start, dtype, &last));
            }
            Ok(target)
        }
    }
}
