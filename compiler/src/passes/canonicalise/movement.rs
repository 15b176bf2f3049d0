//! Reshapes, transposes, broadcasts and reversals, alone and in chains. Nothing is computed, so every rule is exact.

use super::facts::definition;
use crate::passes::PassError;
use graven_ir::{Dim, GraphBuilder, Node, Op, Shape, ValueId};

type Rewritten = Result<Option<ValueId>, PassError>;

/// Two movement ops in one: reshape of reshape, transpose of transpose, broadcast of broadcast, reverse of reverse.
pub fn chain(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let Some(inner) = operands.first().and_then(|x| definition(builder, *x)) else { return Ok(None) };
    let Some(source) = inner.operands.first().copied() else { return Ok(None) };
    // The two may cancel each other.
    let value = match (&node.op, &inner.op) {
        (Op::Reshape { shape }, Op::Reshape { .. }) => builder.reshape(source, shape)?,
        (Op::Transpose { permutation: outer }, Op::Transpose { permutation }) => {
            let permutation: Vec<usize> = outer.iter().map(|axis| permutation[*axis]).collect();
            builder.transpose(source, &permutation)?
        }
        (Op::Broadcast { shape, dimensions: outer }, Op::Broadcast { dimensions, .. }) => {
            let dimensions = dimensions.iter().map(|axis| outer[*axis]).collect();
            builder.op(Op::Broadcast { shape: shape.clone(), dimensions }, &[source])?
        }
        (Op::Reverse { axes: outer }, Op::Reverse { axes }) => {
            let once = |axis: &usize| outer.contains(axis) != axes.contains(axis);
            let axes: Vec<usize> = (0..builder.ty(source).rank()).filter(once).collect();
            match axes.is_empty() {
                true => source,
                false => builder.op(Op::Reverse { axes }, &[source])?,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Transposes that move extents of 1 only, and broadcasts that add these only, are reshapes, which cost nothing.
pub fn as_reshape(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let [x] = operands else { return Ok(None) };
    let own = builder.shape(*x);
    match &node.op {
        Op::Transpose { permutation } => {
            let moved: Vec<usize> = permutation.iter().copied().filter(|axis| !own[*axis].is(1)).collect();
            match moved.is_sorted() {
                true => {
                    let shape: Vec<Dim> = permutation.iter().map(|axis| own[*axis].clone()).collect();
                    Ok(Some(builder.reshape(*x, &shape)?))
                }
                false => Ok(None),
            }
        }
        Op::Broadcast { shape, dimensions } => {
            let kept = |axis: usize| match dimensions.iter().position(|to| *to == axis) {
                Some(from) => own[from] == shape[axis],
                None => shape[axis].is(1),
            };
            match (0..shape.len()).all(kept) {
                true => Ok(Some(builder.reshape(*x, shape)?)),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// For each dimension of `to` the dimension of `from` with the same elements, where a reshape only adds extents of 1. `None` for other reshapes.
fn added_ones(from: &[Dim], to: &[Dim]) -> Option<Vec<usize>> {
    let places: Vec<usize> = (0..to.len()).filter(|axis| !to[*axis].is(1)).collect();
    let same = places.iter().map(|axis| &to[*axis]).eq(from.iter());
    same.then_some(places)
}

/// A broadcast reads through a reshape that only adds extents of 1, and repeats the transpose of a smaller tensor rather than being transposed.
pub fn broadcast_source(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let [x] = operands else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Some(source) = inner.operands.first().copied() else { return Ok(None) };
    match (&node.op, &inner.op) {
        (Op::Broadcast { shape, dimensions }, Op::Reshape { shape: middle }) => {
            let Some(places) = added_ones(&builder.shape(source), middle) else { return Ok(None) };
            let dimensions = places.into_iter().map(|axis| dimensions[axis]).collect();
            Ok(Some(builder.op(Op::Broadcast { shape: shape.clone(), dimensions }, &[source])?))
        }
        (Op::Transpose { permutation }, Op::Broadcast { shape, dimensions }) => {
            let (shape, dimensions) = (shape.clone(), dimensions.clone());
            transposed_broadcast(builder, source, &shape, &dimensions, permutation).map(Some)
        }
        (Op::Reshape { shape }, Op::Broadcast { .. }) if builder.ty(source).rank() == 0 => {
            let op = Op::Broadcast { shape: shape.clone(), dimensions: Vec::new() };
            Ok(Some(builder.op(op, &[source])?))
        }
        _ => Ok(None),
    }
}

/// The transpose of a broadcast as a broadcast of the source, transposed where its order changes.
pub fn transposed_broadcast(
    builder: &mut GraphBuilder,
    source: ValueId,
    shape: &[Dim],
    dimensions: &[usize],
    permutation: &[usize],
) -> Result<ValueId, PassError> {
    let new_shape: Vec<Dim> = permutation.iter().map(|axis| shape[*axis].clone()).collect();
    // Where each dimension of the source goes, in the order in which they are then.
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(dimensions.len());
    for (place, axis) in permutation.iter().enumerate() {
        places.extend(dimensions.iter().position(|to| to == axis).map(|from| (place, from)));
    }
    let order: Vec<usize> = places.iter().map(|(_, from)| *from).collect();
    let own = builder.shape(source);
    let moved: Vec<usize> = order.iter().copied().filter(|axis| !own[*axis].is(1)).collect();
    let turned = match moved.is_sorted() {
        true => {
            let shape: Vec<Dim> = order.iter().map(|axis| own[*axis].clone()).collect();
            builder.reshape(source, &shape)?
        }
        false => builder.transpose(source, &order)?,
    };
    let dimensions = places.into_iter().map(|(place, _)| place).collect();
    Ok(builder.op(Op::Broadcast { shape: new_shape, dimensions }, &[turned])?)
}

/// A slice of a broadcast repeats a slice of the source less often.
pub fn sliced_broadcast(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Slice { start, limit, stride }, [x]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Op::Broadcast { shape, dimensions } = &inner.op else { return Ok(None) };
    let (shape, dimensions, source) = (shape.clone(), dimensions.clone(), inner.operands[0]);
    let own: Shape = builder.shape(source);
    let mut op = (vec![Dim::ZERO; own.len()], own.to_vec(), vec![1; own.len()]);
    for (from, to) in dimensions.iter().enumerate() {
        if own[from] == shape[*to] {
            (op.0[from], op.1[from], op.2[from]) = (start[*to].clone(), limit[*to].clone(), stride[*to]);
        } else if !own[from].is(1) {
            return Ok(None);
        }
    }
    let whole =
        op.0.iter().all(|start| start.is(0)) && op.1 == own.to_vec() && op.2.iter().all(|step| *step == 1);
    let sliced = match whole {
        true => source,
        false => builder.op(Op::Slice { start: op.0, limit: op.1, stride: op.2 }, &[source])?,
    };
    let count = |axis: usize| (&limit[axis] - &start[axis]).ceil_div(&Dim::from(stride[axis]));
    let shape = (0..shape.len()).map(count).collect();
    Ok(Some(builder.op(Op::Broadcast { shape, dimensions }, &[sliced])?))
}
