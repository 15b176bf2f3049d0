//! Composites in terms of primitives.

use crate::infer::InferError;
use crate::{BinaryOp, CompareOp, DType, Dim, GraphBuilder, Op, ReduceOp, UnaryOp, ValueId};

type Result = std::result::Result<ValueId, InferError>;

/// The value of a composite, or of `quantize` and `dequantize`, built from primitives on the same operands.
///
/// # Errors
/// The op is no composite, or does not fit its operands.
pub fn decompose(b: &mut GraphBuilder, op: &Op, operands: &[ValueId]) -> Result {
    let x = operands.first().copied().ok_or_else(|| not_composite(op))?;
    match op {
        Op::Softmax { axis } => softmax(b, x, *axis),
        Op::LogSoftmax { axis } => log_softmax(b, x, *axis),
        Op::LayerNorm { axis, epsilon } => layer_norm(b, operands, *axis, epsilon.0),
        Op::RmsNorm { axis, epsilon } => rms_norm(b, operands, *axis, epsilon.0),
        Op::Gelu { tanh } => gelu(b, x, *tanh),
        Op::Silu => {
            let gate = b.unary(UnaryOp::Sigmoid, x)?;
            b.binary(BinaryOp::Mul, x, gate)
        }
        Op::Attention { scale, causal } => attention(b, operands, scale.0, *causal),
        Op::Quantize { axis } => quantize(b, operands, *axis),
        Op::Dequantize { axis } => dequantize(b, operands, *axis),
        _ => Err(not_composite(op)),
    }
}

fn not_composite(op: &Op) -> InferError {
    InferError { op: op.name(), reason: "has no decomposition".into() }
}

/// x − max x, which leaves softmax as it is and keeps the exponentials in range.
fn centred(b: &mut GraphBuilder, x: ValueId, axis: usize) -> Result {
    let highest = b.reduce(ReduceOp::Max, x, &[axis], true)?;
    b.binary(BinaryOp::Sub, x, highest)
}

fn softmax(b: &mut GraphBuilder, x: ValueId, axis: usize) -> Result {
    let centred = centred(b, x, axis)?;
    let exponentials = b.unary(UnaryOp::Exp, centred)?;
    let sum = b.reduce(ReduceOp::Sum, exponentials, &[axis], true)?;
    b.binary(BinaryOp::Div, exponentials, sum)
}

fn log_softmax(b: &mut GraphBuilder, x: ValueId, axis: usize) -> Result {
    let centred = centred(b, x, axis)?;
    let exponentials = b.unary(UnaryOp::Exp, centred)?;
    let sum = b.reduce(ReduceOp::Sum, exponentials, &[axis], true)?;
    let log = b.unary(UnaryOp::Log, sum)?;
    b.binary(BinaryOp::Sub, centred, log)
}

/// The mean over the dimensions from `axis` on, which keep extent 1.
fn mean(b: &mut GraphBuilder, x: ValueId, axis: usize) -> Result {
    let shape = b.shape(x);
    let axes: Vec<usize> = (axis..shape.len()).collect();
    let count = shape[axis..].iter().fold(Dim::ONE, |product, extent| product * extent);
    let sum = b.reduce(ReduceOp::Sum, x, &axes, true)?;
    let count = match count.as_const() {
        Some(count) => b.scalar(b.dtype(x), count as f64)?,
        None => {
            let extent = b.op(Op::Extent { dim: count }, &[])?;
            b.cast(extent, b.dtype(x))?
        }
    };
    b.binary(BinaryOp::Div, sum, count)
}

/// x ÷ √(moment + ε) · scale + bias.
fn normalise(b: &mut GraphBuilder, x: ValueId, moment: ValueId, epsilon: f64, affine: &[ValueId]) -> Result {
    let shifted = b.binary_scalar(BinaryOp::Add, moment, epsilon)?;
    let factor = b.unary(UnaryOp::Rsqrt, shifted)?;
    let mut y = b.binary(BinaryOp::Mul, x, factor)?;
    for (parameter, op) in affine.iter().zip([BinaryOp::Mul, BinaryOp::Add]) {
        y = b.binary(op, y, *parameter)?;
    }
    Ok(y)
}

fn layer_norm(b: &mut GraphBuilder, operands: &[ValueId], axis: usize, epsilon: f64) -> Result {
    let x = operands[0];
    let mean_x = mean(b, x, axis)?;
    let centred = b.binary(BinaryOp::Sub, x, mean_x)?;
    let square = b.binary(BinaryOp::Mul, centred, centred)?;
    let variance = mean(b, square, axis)?;
    normalise(b, centred, variance, epsilon, &operands[1..])
}

fn rms_norm(b: &mut GraphBuilder, operands: &[ValueId], axis: usize, epsilon: f64) -> Result {
    let x = operands[0];
    let square = b.binary(BinaryOp::Mul, x, x)?;
    let moment = mean(b, square, axis)?;
    normalise(b, x, moment, epsilon, &operands[1..])
}

fn gelu(b: &mut GraphBuilder, x: ValueId, tanh: bool) -> Result {
    let inner = if tanh {
        let square = b.binary(BinaryOp::Mul, x, x)?;
        let cube = b.binary(BinaryOp::Mul, square, x)?;
        let cube = b.binary_scalar(BinaryOp::Mul, cube, 0.044715)?;
        let sum = b.binary(BinaryOp::Add, x, cube)?;
        let argument = b.binary_scalar(BinaryOp::Mul, sum, (2.0 / std::f64::consts::PI).sqrt())?;
        b.unary(UnaryOp::Tanh, argument)?
    } else {
        let argument = b.binary_scalar(BinaryOp::Mul, x, std::f64::consts::FRAC_1_SQRT_2)?;
        b.unary(UnaryOp::Erf, argument)?
    };
    let shifted = b.binary_scalar(BinaryOp::Add, inner, 1.0)?;
    let halved = b.binary_scalar(BinaryOp::Mul, x, 0.5)?;
    b.binary(BinaryOp::Mul, halved, shifted)
}

fn attention(b: &mut GraphBuilder, operands: &[ValueId], scale: f64, causal: bool) -> Result {
    let [q, k, v, mask @ ..] = operands else {
        return Err(InferError { op: "attention", reason: "needs query, key and value".into() });
    };
    let rank = b.shape(*q).len();
    let batch: Vec<usize> = (0..rank - 2).collect();
    let dot = |lhs: usize, rhs: usize| Op::DotGeneral {
        lhs_batch: batch.clone(),
        rhs_batch: batch.clone(),
        lhs_contract: vec![lhs],
        rhs_contract: vec![rhs],
    };
    let scores = b.op(dot(rank - 1, rank - 1), &[*q, *k])?;
    let mut scores = b.binary_scalar(BinaryOp::Mul, scores, scale)?;
    if let [mask] = mask {
        scores = b.binary(BinaryOp::Add, scores, *mask)?;
    }
    if causal {
        scores = causal_scores(b, scores)?;
    }
    let weights = softmax(b, scores, rank - 1)?;
    b.op(dot(rank - 1, rank - 2), &[weights, *v])
}

/// −∞ where key j comes after query i + (s − l).
fn causal_scores(b: &mut GraphBuilder, scores: ValueId) -> Result {
    let shape = b.shape(scores);
    let rank = shape.len();
    let square = [shape[rank - 2].clone(), shape[rank - 1].clone()];
    let iota = |axis: usize| Op::Iota { shape: square.to_vec(), axis, dtype: DType::I64 };
    let (query, key) = (b.op(iota(0), &[])?, b.op(iota(1), &[])?);
    let offset = b.op(Op::Extent { dim: &square[1] - &square[0] }, &[])?;
    let last = b.binary(BinaryOp::Add, query, offset)?;
    let visible = b.compare(CompareOp::Le, key, last)?;
    let hidden = b.scalar(b.dtype(scores), f64::NEG_INFINITY)?;
    b.select(visible, scores, hidden)
}

/// A scalar, or a vector along `axis`, repeated to the shape of `x`.
fn along_axis(b: &mut GraphBuilder, parameter: ValueId, x: ValueId, axis: usize) -> Result {
    let shape = b.shape(x);
    match b.shape(parameter).len() {
        1 => b.op(Op::Broadcast { shape: shape.to_vec(), dimensions: vec![axis] }, &[parameter]),
        _ => b.broadcast_to(parameter, &shape),
    }
}

fn quantize(b: &mut GraphBuilder, operands: &[ValueId], axis: usize) -> Result {
    let (x, target) = (operands[0], b.dtype(operands[2]));
    let scale = along_axis(b, operands[1], x, axis)?;
    let quotient = b.binary(BinaryOp::Div, x, scale)?;
    let rounded = b.unary(UnaryOp::Round, quotient)?;
    let zero_point = b.cast(operands[2], b.dtype(x))?;
    let zero_point = along_axis(b, zero_point, x, axis)?;
    let shifted = b.binary(BinaryOp::Add, rounded, zero_point)?;
    // The conversion from float to integer saturates.
    b.cast(shifted, target)
}

fn dequantize(b: &mut GraphBuilder, operands: &[ValueId], axis: usize) -> Result {
    let (x, to) = (operands[0], b.dtype(operands[1]));
    let wide = b.cast(x, DType::I32)?;
    let zero_point = b.cast(operands[2], DType::I32)?;
    let zero_point = along_axis(b, zero_point, x, axis)?;
    let difference = b.binary(BinaryOp::Sub, wide, zero_point)?;
    let difference = b.cast(difference, to)?;
    let scale = along_axis(b, operands[1], x, axis)?;
    b.binary(BinaryOp::Mul, difference, scale)
}
