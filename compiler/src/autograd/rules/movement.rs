//! Elements that move: their cotangents move back, and those of repeated elements are summed.

use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::{every, inverse, pad_zeros, sub, sum, sum_all};
use graven_ir::{Dim, GraphBuilder, Op, ValueId};
use smallvec::smallvec;

type Cotangents = Result<OperandCotangents, GradError>;

pub(super) fn reshape(b: &mut GraphBuilder<'_>, site: Site<'_>, g: ValueId) -> Cotangents {
    let shape = b.shape(site.operand(0));
    Ok(smallvec![Some(b.reshape(g, &shape)?)])
}

pub(super) fn transpose(b: &mut GraphBuilder<'_>, permutation: &[usize], g: ValueId) -> Cotangents {
    Ok(smallvec![Some(b.transpose(g, &inverse(permutation))?)])
}

/// The sum over the repetitions.
pub(super) fn broadcast(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    dimensions: &[usize],
    g: ValueId,
) -> Cotangents {
    let operand = b.shape(site.operand(0));
    let result = b.shape(g);
    let stays = |axis: usize| {
        dimensions.iter().position(|d| *d == axis).is_some_and(|place| operand[place] == result[axis])
    };
    let repeated: Vec<usize> = (0..result.len()).filter(|axis| !stays(*axis)).collect();
    let total = sum(b, g, &repeated)?;
    Ok(smallvec![Some(b.reshape(total, &operand)?)])
}

/// Zeros where nothing was taken.
pub(super) fn slice(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    start: &[Dim],
    stride: &[i64],
    g: ValueId,
) -> Cotangents {
    let operand = b.shape(site.operand(0));
    let taken = b.shape(g);
    let mut high = Vec::with_capacity(operand.len());
    for axis in 0..operand.len() {
        // The last element that was taken stands at start + (taken − 1)·stride. Nothing is added for an empty slice.
        let span = (&taken[axis] - &Dim::ONE) * Dim::from(stride[axis]) + Dim::ONE;
        let span = if taken[axis].is(0) { Dim::ZERO } else { span };
        high.push(&operand[axis] - &start[axis] - span);
    }
    let interior = stride.iter().map(|step| step - 1).collect();
    Ok(smallvec![Some(pad_zeros(b, g, start.to_vec(), high, interior)?)])
}

/// Zeros where elements were cut off.
pub(super) fn bind_extent(b: &mut GraphBuilder<'_>, site: Site<'_>, axes: &[usize]) -> Cotangents {
    let mut cotangents: OperandCotangents = smallvec![None];
    for (n, axis) in axes.iter().enumerate() {
        let Some(g) = site.cotangents.get(n).copied().flatten().filter(|_| site.wants(n + 1)) else {
            cotangents.push(None);
            continue;
        };
        let (operand, taken) = (b.shape(site.operand(n + 1)), b.shape(g));
        let mut high = vec![Dim::ZERO; taken.len()];
        high[*axis] = &operand[*axis] - &taken[*axis];
        let zeros = vec![Dim::ZERO; taken.len()];
        cotangents.push(Some(pad_zeros(b, g, zeros, high, vec![0; taken.len()])?));
    }
    Ok(cotangents)
}

/// What lies at the operand's elements, and for the value the sum of the rest.
pub(super) fn pad(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    [low, high]: [&[Dim]; 2],
    interior: &[i64],
    g: ValueId,
) -> Cotangents {
    let negate = |amounts: &[Dim]| amounts.iter().map(|amount| Dim::ZERO - amount).collect();
    let cut = pad_zeros(b, g, negate(low), negate(high), vec![0; low.len()])?;
    let x = every(b, cut, interior.iter().map(|n| n + 1).collect())?;
    let mut cotangents: OperandCotangents = smallvec![Some(x), None];
    if site.wants(1) {
        let (all, inside) = (sum_all(b, g)?, sum_all(b, x)?);
        cotangents[1] = Some(sub(b, all, inside)?);
    }
    Ok(cotangents)
}

pub(super) fn concat(b: &mut GraphBuilder<'_>, site: Site<'_>, axis: usize, g: ValueId) -> Cotangents {
    let mut cotangents = OperandCotangents::new();
    let shape = b.shape(g).to_vec();
    let mut begin = Dim::ZERO;
    for (place, operand) in site.node.operands.iter().enumerate() {
        let end = &begin + &b.shape(*operand)[axis];
        if !site.wants(place) {
            cotangents.push(None);
        } else {
            let (mut start, mut limit) = (vec![Dim::ZERO; shape.len()], shape.clone());
            (start[axis], limit[axis]) = (begin, end.clone());
            cotangents.push(Some(b.op(Op::Slice { start, limit, stride: vec![1; shape.len()] }, &[g])?));
        }
        begin = end;
    }
    Ok(cotangents)
}

pub(super) fn reverse(b: &mut GraphBuilder<'_>, axes: &[usize], g: ValueId) -> Cotangents {
    Ok(smallvec![Some(b.op(Op::Reverse { axes: axes.to_vec() }, &[g])?)])
}
