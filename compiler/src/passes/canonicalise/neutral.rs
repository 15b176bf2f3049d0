//! Ops that give an operand back.

use super::facts::repeated;
use crate::passes::PassError;
use graven_ir::{BinaryOp, DType, GraphBuilder, Node, Op, ValueId};

/// Ops that give their operand back.
pub fn no_effect(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Some(x) = operands.first().copied() else { return Ok(None) };
    let ty = builder.ty(x);
    let same = match &node.op {
        Op::Reshape { shape } | Op::Broadcast { shape, .. } => ty.shape.as_slice() == shape.as_slice(),
        Op::Transpose { permutation } => permutation.iter().copied().eq(0..permutation.len()),
        Op::Cast { to } | Op::Bitcast { to } => ty.dtype == *to,
        Op::Slice { start, limit, stride } => {
            let whole = |axis: usize| start[axis].is(0) && limit[axis] == ty.shape[axis] && stride[axis] == 1;
            (0..ty.rank()).all(whole)
        }
        Op::Pad { low, high, interior } => {
            low.iter().chain(high).all(|pad| pad.is(0)) && interior.iter().all(|n| *n == 0)
        }
        Op::Concat { .. } => operands.len() == 1,
        Op::Reverse { axes } => axes.iter().all(|axis| ty.shape[*axis].is(1)),
        Op::Reduce { axes, .. } => axes.is_empty(),
        _ => false,
    };
    Ok(same.then_some(x))
}

/// x + 0, x − 0, x · 1, x ÷ 1, x¹, and the largest and smallest elements of minima and maxima. Not 0 + x for floats' −0, which x + (−0) alone would keep: adding +0 turns −0 to +0, so only −0 is dropped there.
pub fn neutral_operand(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Op::Binary(op) = node.op else { return Ok(None) };
    let (x, y) = (operands[0], operands[1]);
    let float = builder.dtype(x).is_float();
    let is = |value: Option<f64>, wanted: f64| value.is_some_and(|value| value == wanted);
    let is_zero = |value: Option<f64>, negative: bool| {
        value.is_some_and(|value| value == 0.0 && (!float || value.is_sign_negative() == negative))
    };
    let (left, right) = (repeated(builder, x), repeated(builder, y));
    let boolean = builder.dtype(x) == DType::Bool;
    let (lowest, highest) = match builder.dtype(x).int_range() {
        // Beyond the integers that f64 holds, the comparison could meet a neighbour.
        Some(_) if builder.dtype(x).bits() > 32 => (f64::NAN, f64::NAN),
        Some((lowest, highest)) => (lowest as f64, highest as f64),
        None => (f64::NEG_INFINITY, f64::INFINITY),
    };
    let keep = match op {
        BinaryOp::Add if is_zero(right, true) => Some(x),
        BinaryOp::Add if is_zero(left, true) => Some(y),
        BinaryOp::Sub if is_zero(right, false) => Some(x),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow if is(right, 1.0) => Some(x),
        BinaryOp::Mul if is(left, 1.0) => Some(y),
        BinaryOp::Max if is(right, lowest) => Some(x),
        BinaryOp::Min if is(right, highest) => Some(x),
        BinaryOp::And if boolean && is(right, 1.0) => Some(x),
        BinaryOp::Or if boolean && is(right, 0.0) => Some(x),
        _ => None,
    };
    Ok(keep)
}

/// A select that has no choice: the condition is the same everywhere, or both values are the same.
pub fn no_choice(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let (Op::Select, [condition, x, y]) = (&node.op, operands) else { return Ok(None) };
    if x == y {
        return Ok(Some(*x));
    }
    Ok(repeated(builder, *condition).map(|truth| if truth != 0.0 { *x } else { *y }))
}
