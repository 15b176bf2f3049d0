//! Composites in primitives: one function per row.
//!
//! Passes use these where no schedule takes the composite as a whole, and the gradient of a composite is that of its decomposition. Halves are
//! computed in f32, as the sums and squares in norms and softmax need, and rounded to their dtype at the end.

use crate::infer::{InferError, infer};
use crate::{BinaryOp, CompareOp, DType, Dim, GraphBuilder, Op, ReduceOp, TensorType, UnaryOp, ValueId};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

type Built = Result<ValueId, InferError>;

/// The result of a composite, or of `quantize` or `dequantize`, built from primitives on the same operands.
///
/// # Errors
/// The op has no decomposition (see [`is_decomposed`]), or the operands do not fit it.
pub fn decompose(b: &mut GraphBuilder<'_>, op: &Op, operands: &[ValueId]) -> Result<ValueId, InferError> {
    let types: Vec<&TensorType> = operands.iter().map(|operand| b.ty(*operand)).collect();
    infer(b.constants(), op, &types, &[])?;
    match (op, operands) {
        (Op::Softmax { axis }, [x]) => in_f32(b, *x, |b, x| softmax(b, x, *axis)),
        (Op::LogSoftmax { axis }, [x]) => in_f32(b, *x, |b, x| log_softmax(b, x, *axis)),
        (Op::LayerNorm { axis, epsilon }, [x, affine @ ..]) => {
            in_f32(b, *x, |b, x| layer_norm(b, x, affine, *axis, epsilon.0))
        }
        (Op::RmsNorm { axis, epsilon }, [x, affine @ ..]) => {
            in_f32(b, *x, |b, x| rms_norm(b, x, affine, *axis, epsilon.0))
        }
        (Op::Gelu { tanh: true }, [x]) => in_f32(b, *x, gelu_tanh),
        (Op::Gelu { tanh: false }, [x]) => in_f32(b, *x, gelu_erf),
        (Op::Silu, [x]) => in_f32(b, *x, silu),
        (Op::Attention { scale, causal }, [q, k, v, mask @ ..]) => {
            in_f32(b, *q, |b, q| attention(b, [q, *k, *v], mask.first().copied(), scale.0, *causal))
        }
        (Op::Quantize { axis }, [x, scale, zero_point]) => quantize(b, *x, *scale, *zero_point, *axis),
        (Op::Dequantize { axis }, [x, scale, zero_point]) => dequantize(b, *x, *scale, *zero_point, *axis),
        _ => Err(InferError { op: op.name(), reason: "has no decomposition".into() }),
    }
}

/// Whether [`decompose`] builds the op.
pub fn is_decomposed(op: &Op) -> bool {
    match op {
        Op::Softmax { .. }
        | Op::LogSoftmax { .. }
        | Op::LayerNorm { .. }
        | Op::RmsNorm { .. }
        | Op::Gelu { .. }
        | Op::Silu
        | Op::Attention { .. }
        | Op::Quantize { .. }
        | Op::Dequantize { .. } => true,

        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast { .. } | Op::Bitcast { .. } => {
            false
        }
        Op::Constant { .. } | Op::Extent { .. } | Op::Iota { .. } | Op::RandomBits { .. } => false,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice { .. } => false,
        Op::Pad { .. } | Op::Concat { .. } | Op::Reverse { .. } | Op::Relayout => false,
        Op::BindExtent { .. } => false,
        Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => false,
        Op::ScatterElements { .. } | Op::ScatterNd { .. } => false,
        Op::DynamicSlice { .. } | Op::DynamicUpdateSlice => false,
        Op::DotGeneral { .. } | Op::Conv { .. } | Op::ReduceWindow { .. } | Op::ArgMaxWindow { .. } => false,
        Op::Reduce { .. } | Op::ArgReduce { .. } | Op::Cumulative { .. } => false,
        Op::Sort { .. } | Op::TopK { .. } => false,
        Op::If | Op::While { .. } | Op::Scan { .. } | Op::Fuse { .. } | Op::CustomCall { .. } => false,
    }
}

/// The dtype in which floats of `dtype` are computed.
fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// `build` on x in the dtype that its floats are computed in, and the result in x's dtype.
fn in_f32<'m>(
    b: &mut GraphBuilder<'m>,
    x: ValueId,
    build: impl FnOnce(&mut GraphBuilder<'m>, ValueId) -> Built,
) -> Built {
    let dtype = b.dtype(x);
    let x = b.cast(x, wide(dtype))?;
    let y = build(b, x)?;
    b.cast(y, dtype)
}

/// x − max along `axis`.
fn shifted(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize) -> Built {
    let largest = b.reduce(ReduceOp::Max, x, &[axis], true)?;
    b.binary(BinaryOp::Sub, x, largest)
}

fn softmax(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize) -> Built {
    let shifted = shifted(b, x, axis)?;
    let powers = b.unary(UnaryOp::Exp, shifted)?;
    let sum = b.reduce(ReduceOp::Sum, powers, &[axis], true)?;
    // One division per sum; the sum is at least 1.
    let factor = b.unary(UnaryOp::Reciprocal, sum)?;
    b.binary(BinaryOp::Mul, powers, factor)
}

fn log_softmax(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize) -> Built {
    let shifted = shifted(b, x, axis)?;
    let powers = b.unary(UnaryOp::Exp, shifted)?;
    let sum = b.reduce(ReduceOp::Sum, powers, &[axis], true)?;
    let log = b.unary(UnaryOp::Log, sum)?;
    b.binary(BinaryOp::Sub, shifted, log)
}

/// A number that is an extent: a constant where it is known.
fn extent(b: &mut GraphBuilder<'_>, dim: &Dim, dtype: DType) -> Built {
    match dim.as_const() {
        Some(value) => b.scalar(dtype, value as f64),
        None => {
            let extent = b.op(Op::Extent { dim: dim.clone() }, &[])?;
            b.cast(extent, dtype)
        }
    }
}

/// The mean over the dimensions from `axis` on, which stay with extent 1.
fn mean(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize) -> Built {
    let shape = b.shape(x);
    let axes: Vec<usize> = (axis..shape.len()).collect();
    let sum = b.reduce(ReduceOp::Sum, x, &axes, true)?;
    let count = shape.iter().skip(axis).fold(Dim::ONE, |product, dim| product * dim);
    let count = extent(b, &count, b.dtype(x))?;
    b.binary(BinaryOp::Div, sum, count)
}

/// x ÷ √(mean(x²) + ε).
fn over_root_mean_square(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize, epsilon: f64) -> Built {
    let squares = b.binary(BinaryOp::Mul, x, x)?;
    let mean = mean(b, squares, axis)?;
    let sum = b.binary_scalar(BinaryOp::Add, mean, epsilon)?;
    let factor = b.unary(UnaryOp::Rsqrt, sum)?;
    b.binary(BinaryOp::Mul, x, factor)
}

/// x · scale + bias, where they are given.
fn affine(b: &mut GraphBuilder<'_>, x: ValueId, parameters: &[ValueId]) -> Built {
    let functions = [BinaryOp::Mul, BinaryOp::Add];
    functions.into_iter().zip(parameters).try_fold(x, |x, (function, parameter)| {
        let parameter = b.cast(*parameter, b.dtype(x))?;
        b.binary(function, x, parameter)
    })
}

fn layer_norm(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    parameters: &[ValueId],
    axis: usize,
    epsilon: f64,
) -> Built {
    let mean = mean(b, x, axis)?;
    let centred = b.binary(BinaryOp::Sub, x, mean)?;
    let normal = over_root_mean_square(b, centred, axis, epsilon)?;
    affine(b, normal, parameters)
}

fn rms_norm(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    parameters: &[ValueId],
    axis: usize,
    epsilon: f64,
) -> Built {
    let normal = over_root_mean_square(b, x, axis, epsilon)?;
    affine(b, normal, parameters)
}

/// ½x(1 + y).
fn half_of_one_plus(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId) -> Built {
    let factor = b.binary_scalar(BinaryOp::Add, y, 1.0)?;
    let half = b.binary_scalar(BinaryOp::Mul, x, 0.5)?;
    b.binary(BinaryOp::Mul, half, factor)
}

fn gelu_erf(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    let scaled = b.binary_scalar(BinaryOp::Mul, x, FRAC_1_SQRT_2)?;
    let erf = b.unary(UnaryOp::Erf, scaled)?;
    half_of_one_plus(b, x, erf)
}

fn gelu_tanh(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    // √(2/π)(x + 0.044715x³) = √(2/π)x(1 + 0.044715x²)
    let square = b.binary(BinaryOp::Mul, x, x)?;
    let scaled = b.binary_scalar(BinaryOp::Mul, square, 0.044715)?;
    let factor = b.binary_scalar(BinaryOp::Add, scaled, 1.0)?;
    let linear = b.binary_scalar(BinaryOp::Mul, x, FRAC_2_PI.sqrt())?;
    let inner = b.binary(BinaryOp::Mul, linear, factor)?;
    let tanh = b.unary(UnaryOp::Tanh, inner)?;
    half_of_one_plus(b, x, tanh)
}

fn silu(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    let sigmoid = b.unary(UnaryOp::Sigmoid, x)?;
    b.binary(BinaryOp::Mul, x, sigmoid)
}

/// Products over the leading dimensions as batch.
fn batched_dot(b: &mut GraphBuilder<'_>, x: ValueId, y: ValueId, contract: [usize; 2]) -> Built {
    let batch: Vec<usize> = (0..b.shape(x).len().saturating_sub(2)).collect();
    let op = Op::DotGeneral {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: vec![contract[0]],
        rhs_contract: vec![contract[1]],
    };
    b.op(op, &[x, y])
}

fn attention(
    b: &mut GraphBuilder<'_>,
    [q, k, v]: [ValueId; 3],
    mask: Option<ValueId>,
    scale: f64,
    causal: bool,
) -> Built {
    let (dtype, rank) = (b.dtype(q), b.shape(q).len());
    let (k, v) = (b.cast(k, dtype)?, b.cast(v, dtype)?);
    let products = batched_dot(b, q, k, [rank - 1, rank - 1])?;
    let mut scores = b.binary_scalar(BinaryOp::Mul, products, scale)?;
    if let Some(mask) = mask {
        let mask = b.cast(mask, dtype)?;
        scores = b.binary(BinaryOp::Add, scores, mask)?;
    }
    if causal {
        let visible = causal_mask(b, scores)?;
        let hidden = b.scalar(dtype, f64::NEG_INFINITY)?;
        scores = b.select(visible, scores, hidden)?;
    }
    let weights = softmax(b, scores, rank - 1)?;
    batched_dot(b, weights, v, [rank - 1, rank - 2])
}

/// Whether key j ≤ query i + (keys − queries), for the last two dimensions of the scores.
fn causal_mask(b: &mut GraphBuilder<'_>, scores: ValueId) -> Built {
    let shape = b.shape(scores);
    let [.., queries, keys] = shape.as_slice() else { return Ok(scores) };
    let iota = |axis| Op::Iota { shape: vec![queries.clone(), keys.clone()], axis, dtype: DType::I64 };
    let (query, key) = (b.op(iota(0), &[])?, b.op(iota(1), &[])?);
    let offset = extent(b, &(keys - queries), DType::I64)?;
    let last = b.binary(BinaryOp::Add, query, offset)?;
    b.compare(CompareOp::Le, key, last)
}

/// A scalar, or a vector along `axis`, repeated to the shape of `x`.
fn channels(b: &mut GraphBuilder<'_>, parameter: ValueId, x: ValueId, axis: usize) -> Built {
    let dimensions = if b.ty(parameter).rank() == 0 { vec![] } else { vec![axis] };
    b.op(Op::Broadcast { shape: b.shape(x).to_vec(), dimensions }, &[parameter])
}

/// The zero point is added in f32, in f64 if it has more than 16 bits: beyond the integers that these hold exactly the result saturates. (Zero points of 64 bits
/// are rounded to f64.)
fn quantize(b: &mut GraphBuilder<'_>, x: ValueId, scale: ValueId, zero_point: ValueId, axis: usize) -> Built {
    let to = b.dtype(zero_point);
    let sums = if to.bits() > 16 { DType::F64 } else { wide(b.dtype(x)) };
    let divisor = channels(b, scale, x, axis)?;
    let quotient = b.binary(BinaryOp::Div, x, divisor)?;
    let rounded = b.unary(UnaryOp::Round, quotient)?;
    let rounded = b.cast(rounded, sums)?;
    let zero_point = b.cast(zero_point, sums)?;
    let offset = channels(b, zero_point, x, axis)?;
    let sum = b.binary(BinaryOp::Add, rounded, offset)?;
    b.cast(sum, to)
}

/// The difference is exact in the next wider integers, and in f64 for 64 bits below 2⁵³.
fn dequantize(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    scale: ValueId,
    zero_point: ValueId,
    axis: usize,
) -> Built {
    let to = b.dtype(scale);
    let differences = match b.dtype(x).bits() {
        0..=16 => DType::I32,
        17..=32 => DType::I64,
        _ => DType::F64,
    };
    let wide_x = b.cast(x, differences)?;
    let zero_point = b.cast(zero_point, differences)?;
    let offset = channels(b, zero_point, x, axis)?;
    let difference = b.binary(BinaryOp::Sub, wide_x, offset)?;
    let products = wide(to);
    let difference = b.cast(difference, products)?;
    let scale = b.cast(scale, products)?;
    let factor = channels(b, scale, x, axis)?;
    let product = b.binary(BinaryOp::Mul, difference, factor)?;
    b.cast(product, to)
}
