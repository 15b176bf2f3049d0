//! Slices, concatenations, paddings and gathers. Nothing is computed, so every rule is exact.

use super::facts::{definition, repeated};
use crate::passes::PassError;
use graven_ir::{Dim, GraphBuilder, Node, Op, ValueId};
use smallvec::SmallVec;

type Rewritten = Result<Option<ValueId>, PassError>;

/// A slice of a slice is one slice.
pub fn slice_of_slice(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Slice { start, limit, stride }, [x]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Op::Slice { start: first, stride: step, .. } = &inner.op else { return Ok(None) };
    let source = inner.operands[0];
    let mut merged = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..start.len() {
        let count = (&limit[axis] - &start[axis]).ceil_div(&Dim::from(stride[axis]));
        let Some(together) = stride[axis].checked_mul(step[axis]) else { return Ok(None) };
        let begin = &first[axis] + &start[axis] * step[axis];
        // The last element, or none at all.
        let end = match (together, count.lower()) {
            (1, _) => &begin + &count,
            (_, 1..) => &begin + (&count - 1) * together + 1,
            _ => return Ok(None),
        };
        merged.0.push(begin);
        merged.1.push(end);
        merged.2.push(together);
    }
    let op = Op::Slice { start: merged.0, limit: merged.1, stride: merged.2 };
    match fits(builder, &op, source) {
        true => Ok(Some(builder.op(op, &[source])?)),
        false => Ok(None),
    }
}

/// Whether a slice has the bounds that are known to lie within its operand. Symbolic bounds may be right and yet not provably so.
fn fits(builder: &GraphBuilder, op: &Op, source: ValueId) -> bool {
    let Op::Slice { start, limit, .. } = op else { return false };
    let shape = &builder.ty(source).shape;
    let within = |axis: usize| start[axis].lower() >= 0 && (&shape[axis] - &limit[axis]).lower() >= 0;
    (0..shape.len()).all(within)
}

/// A slice of one part of a concatenation is a slice of that part.
pub fn slice_of_concat(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Slice { start, limit, stride }, [x]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Op::Concat { axis } = inner.op else { return Ok(None) };
    let parts = inner.operands.clone();
    let mut offset = Dim::ZERO;
    for part in parts {
        let extent = builder.ty(part).shape[axis].clone();
        let end = &offset + &extent;
        let inside = (&start[axis] - &offset).lower() >= 0 && (&end - &limit[axis]).lower() >= 0;
        if inside {
            let (mut start, mut limit) = (start.clone(), limit.clone());
            start[axis] = &start[axis] - &offset;
            limit[axis] = &limit[axis] - &offset;
            let op = Op::Slice { start, limit, stride: stride.clone() };
            return Ok(Some(builder.op(op, &[part])?));
        }
        offset = end;
    }
    Ok(None)
}

/// Concatenations of concatenations are one; neighbouring slices of one tensor are one slice.
pub fn concat(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let Op::Concat { axis } = node.op else { return Ok(None) };
    let mut parts: SmallVec<[ValueId; 4]> = SmallVec::new();
    for operand in operands {
        match definition(builder, *operand) {
            Some(inner) if inner.op == node.op => parts.extend(inner.operands.iter().copied()),
            _ => parts.push(*operand),
        }
    }
    let mut joined: SmallVec<[ValueId; 4]> = SmallVec::new();
    for part in &parts {
        let merged = match joined.last().copied() {
            Some(last) => join_slices(builder, last, *part, axis)?,
            None => None,
        };
        match merged {
            Some(merged) => {
                joined.pop();
                joined.push(merged);
            }
            None => joined.push(*part),
        }
    }
    match joined.as_slice() {
        [only] => Ok(Some(*only)),
        joined if joined != operands => Ok(Some(builder.op(node.op.clone(), joined)?)),
        _ => Ok(None),
    }
}

/// One slice for two that follow each other along `axis`.
fn join_slices(builder: &mut GraphBuilder, a: ValueId, b: ValueId, axis: usize) -> Rewritten {
    let (Some(first), Some(second)) = (definition(builder, a), definition(builder, b)) else {
        return Ok(None);
    };
    let (Op::Slice { start, limit, stride }, Op::Slice { start: next, limit: end, stride: step }) =
        (&first.op, &second.op)
    else {
        return Ok(None);
    };
    let source = first.operands[0];
    let same = |n: usize| n == axis || (start[n] == next[n] && limit[n] == end[n]);
    if second.operands[0] != source
        || stride != step
        || stride[axis] != 1
        || limit[axis] != next[axis]
        || !(0..start.len()).all(same)
    {
        return Ok(None);
    }
    let (start, mut limit, stride) = (start.clone(), limit.clone(), stride.clone());
    limit[axis] = end[axis].clone();
    let shape = builder.shape(source);
    let whole = |n: usize| start[n].is(0) && limit[n] == shape[n] && stride[n] == 1;
    match (0..shape.len()).all(whole) {
        true => Ok(Some(source)),
        false => Ok(Some(builder.op(Op::Slice { start, limit, stride }, &[source])?)),
    }
}

/// Padding twice with the same value is padding once, as long as neither cuts.
pub fn pad_of_pad(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Pad { low, high, interior }, [x, value]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Op::Pad { low: first_low, high: first_high, interior: first_interior } = &inner.op else {
        return Ok(None);
    };
    let (source, first_value) = (inner.operands[0], inner.operands[1]);
    let same = first_value == *value
        || match (repeated(builder, first_value), repeated(builder, *value)) {
            (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        };
    let sides = low.iter().chain(high).chain(first_low).chain(first_high);
    let dense = interior.iter().chain(first_interior).all(|n| *n == 0);
    if !same || !dense || !sides.into_iter().all(|side| side.lower() >= 0) {
        return Ok(None);
    }
    let sum = |a: &[Dim], b: &[Dim]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<Dim>>();
    let op = Op::Pad { low: sum(low, first_low), high: sum(high, first_high), interior: interior.clone() };
    Ok(Some(builder.op(op, &[source, *value])?))
}

/// A gather of constant indices at equal steps is a slice: a view rather than a table.
pub fn gather_as_slice(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Gather { axis }, [x, indices]) = (&node.op, operands) else { return Ok(None) };
    let shape = builder.shape(*x);
    let Some(tensor) = builder.constant_value(*indices) else { return Ok(None) };
    let index_shape: Vec<Dim> = tensor.shape().iter().map(|extent| Dim::from(*extent)).collect();
    let (Some(extent), true) = (shape[*axis].as_const(), tensor.len() <= 1 << 16) else { return Ok(None) };
    let Some(places) = tensor.to_i64s() else { return Ok(None) };
    let (Some(first), Some(last)) = (places.first().copied(), places.last().copied()) else {
        return Ok(None);
    };
    let step = places.get(1).map_or(1, |second| second.saturating_sub(first));
    let even = places.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) == step);
    if !even || step < 1 || first < 0 || last >= extent {
        return Ok(None);
    }
    let (mut start, mut limit, mut stride) =
        (vec![Dim::ZERO; shape.len()], shape.to_vec(), vec![1; shape.len()]);
    (start[*axis], limit[*axis], stride[*axis]) = (Dim::from(first), Dim::from(last + 1), step);
    let sliced = builder.op(Op::Slice { start, limit, stride }, &[*x])?;
    let new_shape: Vec<Dim> =
        shape[..*axis].iter().chain(&index_shape).chain(&shape[axis + 1..]).cloned().collect();
    Ok(Some(builder.reshape(sliced, &new_shape)?))
}

/// A slice whose start is given at run time, but constant and within bounds, is a plain slice.
pub fn constant_dynamic_slice(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::DynamicSlice { shape }, [x, starts]) = (&node.op, operands) else { return Ok(None) };
    let Some(starts) = builder.constant_value(*starts).and_then(|tensor| tensor.to_i64s()) else {
        return Ok(None);
    };
    let own = builder.shape(*x);
    let mut start = Vec::with_capacity(own.len());
    for ((wanted, extent), size) in starts.iter().zip(&own).zip(shape) {
        // Clamped so that the slice lies within the operand.
        let (Some(extent), Some(size)) = (extent.as_const(), size.as_const()) else { return Ok(None) };
        start.push((*wanted).clamp(0, (extent - size).max(0)));
    }
    let limit = start.iter().zip(shape).map(|(start, size)| size + *start).collect();
    let start = start.into_iter().map(Dim::from).collect();
    let op = Op::Slice { start, limit, stride: vec![1; own.len()] };
    Ok(Some(builder.op(op, &[*x])?))
}
