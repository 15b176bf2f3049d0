//! Short forms for what gradient rules build.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, GraphBuilder, Op, ReduceOp, Tensor, UnaryOp, ValueId};

type Built = Result<ValueId, InferError>;

pub(super) fn add(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    b.binary(BinaryOp::Add, x, y)
}

pub(super) fn sub(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    b.binary(BinaryOp::Sub, x, y)
}

pub(super) fn mul(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    b.binary(BinaryOp::Mul, x, y)
}

pub(super) fn div(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    b.binary(BinaryOp::Div, x, y)
}

pub(super) fn neg(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    b.unary(UnaryOp::Neg, x)
}

/// x · factor.
pub(super) fn scale(b: &mut GraphBuilder<'_>, x: ValueId, factor: f64) -> Built {
    b.binary_scalar(BinaryOp::Mul, x, factor)
}

/// x + term.
pub(super) fn shift(b: &mut GraphBuilder<'_>, x: ValueId, term: f64) -> Built {
    b.binary_scalar(BinaryOp::Add, x, term)
}

pub(super) fn square(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    mul(b, x, x)
}

/// Whether x = y, element by element.
pub(super) fn equal(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    b.compare(CompareOp::Eq, x, y)
}

/// A number in every element of a shape.
pub(super) fn full(b: &mut GraphBuilder<'_>, shape: &[Dim], dtype: DType, value: f64) -> Built {
    let scalar = b.scalar(dtype, value)?;
    broadcast(b, scalar, shape, &[])
}

/// The same number in the place of every element of `x`.
pub(super) fn full_like(b: &mut GraphBuilder<'_>, x: ValueId, value: f64) -> Built {
    let (shape, dtype) = (b.shape(x), b.dtype(x));
    full(b, &shape, dtype, value)
}

/// x where the condition holds, else 0.
pub(super) fn where_or_zero(b: &mut GraphBuilder<'_>, condition: ValueId, x: ValueId) -> Built {
    let zero = full_like(b, x, 0.0)?;
    b.op(Op::Select, &[condition, x, zero])
}

/// `broadcast`; nothing where the shape stays.
pub(super) fn broadcast(b: &mut GraphBuilder<'_>, x: ValueId, shape: &[Dim], dimensions: &[usize]) -> Built {
    if b.shape(x).as_slice() == shape && dimensions.iter().copied().eq(0..shape.len()) {
        return Ok(x);
    }
    b.op(Op::Broadcast { shape: shape.to_vec(), dimensions: dimensions.to_vec() }, &[x])
}

/// `x`, whose `axes` have been reduced away, repeated along them to `shape`.
pub(super) fn unreduce(b: &mut GraphBuilder<'_>, x: ValueId, shape: &[Dim], axes: &[usize]) -> Built {
    let dimensions: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    broadcast(b, x, shape, &dimensions)
}

/// The sum over `axes`, which disappear; nothing for none.
pub(super) fn sum(b: &mut GraphBuilder<'_>, x: ValueId, axes: &[usize]) -> Built {
    match axes.is_empty() {
        true => Ok(x),
        false => b.reduce(ReduceOp::Sum, x, axes, false),
    }
}

/// The sum of all elements.
pub(super) fn sum_all(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    let axes: Vec<usize> = (0..b.shape(x).len()).collect();
    sum(b, x, &axes)
}

/// 0, 1, 2 … along `axis` of a shape.
pub(super) fn iota(b: &mut GraphBuilder<'_>, shape: &[Dim], axis: usize) -> Built {
    b.op(Op::Iota { shape: shape.to_vec(), axis, dtype: DType::I64 }, &[])
}

/// `pad` with zeros; nothing where there is nothing to pad.
pub(super) fn pad_zeros(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    low: Vec<Dim>,
    high: Vec<Dim>,
    interior: Vec<i64>,
) -> Built {
    let nothing = low.iter().chain(&high).all(|amount| amount.is(0)) && interior.iter().all(|n| *n == 0);
    if nothing {
        return Ok(x);
    }
    let zero = b.scalar(b.dtype(x), 0.0)?;
    b.op(Op::Pad { low, high, interior }, &[x, zero])
}

/// Every `stride`-th element from the first on; nothing where all strides are 1.
pub(super) fn every(b: &mut GraphBuilder<'_>, x: ValueId, stride: Vec<i64>) -> Built {
    if stride.iter().all(|step| *step == 1) {
        return Ok(x);
    }
    let limit = b.shape(x).to_vec();
    b.op(Op::Slice { start: vec![Dim::ZERO; limit.len()], limit, stride }, &[x])
}

pub(super) fn reverse(b: &mut GraphBuilder<'_>, x: ValueId, axes: Vec<usize>) -> Built {
    match axes.is_empty() {
        true => Ok(x),
        false => b.op(Op::Reverse { axes }, &[x]),
    }
}

/// The permutation that undoes `permutation`.
pub(super) fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; permutation.len()];
    for (place, axis) in permutation.iter().enumerate() {
        inverse[*axis] = place;
    }
    inverse
}

/// The permutation of `rank` dimensions that moves `axis` to the front and keeps the order of the others.
pub(super) fn to_front(rank: usize, axis: usize) -> Vec<usize> {
    std::iter::once(axis).chain((0..rank).filter(|other| *other != axis)).collect()
}

/// The only number in a constant value, looking through broadcasts and reshapes.
pub(super) fn splat_constant(b: &GraphBuilder<'_>, mut value: ValueId) -> Option<f64> {
    loop {
        if let Some(tensor) = b.constant_value(value) {
            return Tensor::splat_value(tensor);
        }
        let node = b.graph().node(b.graph().defining_node(value)?);
        match (&node.op, node.operands.as_slice()) {
            (Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. }, [operand]) => value = *operand,
            _ => return None,
        }
    }
}
