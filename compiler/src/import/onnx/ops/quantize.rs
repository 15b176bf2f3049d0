//! Quantised arithmetic.

use super::conv::{add_bias, along_axis, centered, conv_of};
use super::matmul::matmul_of;
use crate::import::onnx::context::{NodeContext, Outputs, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, DType, Dim, Op, ReduceOp, Shape, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// A scale or zero point as a scalar or a vector along the axis; blocked ones are repeated to the shape of `x`.
fn spread(
    c: &mut Context<'_, '_, '_>,
    value: ValueId,
    x: ValueId,
    axis: usize,
    block: i64,
) -> Result<ValueId> {
    let (own, shape) = (c.shape(value), c.shape(x));
    if own.len() < 2 && own.len() != shape.len() || block == 0 {
        return along_axis(c, value, axis, shape.len());
    }
    if own.len() != shape.len() || block < 1 {
        return bad_input(format!("blocks of {block} elements do not fit {} and {}", c.ty(x), c.ty(value)));
    }
    let mut repeated: Shape = own.clone();
    repeated.insert(axis + 1, Dim::from(block));
    let dimensions = (0..=own.len()).filter(|place| *place != axis + 1).collect();
    let value = c.op(Op::Broadcast { shape: repeated.to_vec(), dimensions }, &[value])?;
    let mut joined = own;
    joined[axis] = &joined[axis] * &Dim::from(block);
    let value = c.reshape(value, &joined)?;
    super::slice::slice_axis(c, value, axis, Dim::ZERO, shape[axis].clone())
}

/// The axis of vector scales; scalars have none.
fn quantized_axis(c: &Context<'_, '_, '_>, x: ValueId, scale: ValueId) -> Result<usize> {
    let axis = c.int_or("axis", 1)?;
    let is_single = c.ty(scale).elements().is(1);
    match c.shape(x).len() {
        rank if is_single => Ok(normalize_axis(axis, rank).unwrap_or(0)),
        rank => normalize_axis(axis, rank),
    }
}

/// Whether scales are one number or a vector, for which the IR has an op.
fn is_plain(c: &Context<'_, '_, '_>, scale: ValueId, block: i64) -> bool {
    block == 0 && c.shape(scale).len() < 2
}

/// A single element as a scalar.
fn scalar_or_vector(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
    match c.shape(x).as_slice() {
        [one] if one.is(1) => Ok(c.reshape(x, &[])?),
        _ => Ok(x),
    }
}

/// `QuantizeLinear`.
pub(super) fn quantize_linear(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale) = (c.value(0)?, c.value(1)?);
    let zero_point = c.optional(2)?;
    let declared = c.dtype_attribute("output_dtype")?;
    let to = zero_point.map(|zero_point| c.dtype(zero_point)).or(declared).unwrap_or(DType::U8);
    if !to.is_int() {
        return unsupported(format!("quantises to {to}"));
    }
    let axis = quantized_axis(c, x, scale)?;
    let block = c.int_or("block_size", 0)?;
    let wide = c.dtype_attribute("precision")?.unwrap_or(if c.dtype(x).is_float() {
        c.dtype(x)
    } else {
        DType::F32
    });
    // Halves divide in f32 unless asked otherwise, as their scales have too few digits.
    let wide = if wide.bytes() < 4 && c.attribute("precision").is_none() { DType::F32 } else { wide };
    let (x, scale) = (c.cast(x, wide)?, c.cast(scale, wide)?);
    if is_plain(c, scale, block) {
        let zero_point = zero_point.map_or_else(|| zeros_like(c, scale, to), Ok)?;
        return Ok(quantize(c, x, scale, zero_point, axis)?.into());
    }
    let scale = spread(c, scale, x, axis, block)?;
    let quotient = c.binary(BinaryOp::Div, x, scale)?;
    let mut rounded = c.unary(UnaryOp::Round, quotient)?;
    if let Some(zero_point) = zero_point {
        let zero_point = c.cast(zero_point, wide)?;
        let zero_point = spread(c, zero_point, x, axis, block)?;
        rounded = c.binary(BinaryOp::Add, rounded, zero_point)?;
    }
    // Conversion to integers saturates.
    Ok(c.cast(rounded, to)?.into())
}

/// The zero point of nodes that give none.
fn zeros_like(c: &mut Context<'_, '_, '_>, scale: ValueId, dtype: DType) -> Result<ValueId> {
    let (zero, shape) = (c.scalar(dtype, 0.0)?, c.shape(scale));
    Ok(c.broadcast_to(zero, &shape)?)
}

/// saturate(round(x ÷ scale) + zero point).
pub(super) fn quantize(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    scale: ValueId,
    zero_point: ValueId,
    axis: usize,
) -> Result<ValueId> {
    let (scale, zero_point) = (scalar_or_vector(c, scale)?, scalar_or_vector(c, zero_point)?);
    Ok(c.op(Op::Quantize { axis }, &[x, scale, zero_point])?)
}

/// `DequantizeLinear`.
pub(super) fn dequantize_linear(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale) = (c.value(0)?, c.value(1)?);
    let zero_point = c.optional(2)?;
    let to = c.dtype_attribute("output_dtype")?.unwrap_or(c.dtype(scale));
    let axis = quantized_axis(c, x, scale)?;
    let block = c.int_or("block_size", 0)?;
    if is_plain(c, scale, block) {
        let dtype = c.dtype(x);
        let zero_point = zero_point.map_or_else(|| zeros_like(c, scale, dtype), Ok)?;
        let y = dequantize(c, x, scale, zero_point, axis)?;
        return Ok(c.cast(y, to)?.into());
    }
    let dtype = c.dtype(scale);
    let scale = spread(c, scale, x, axis, block)?;
    let mut difference = c.cast(x, dtype)?;
    if let Some(zero_point) = zero_point {
        let zero_point = c.cast(zero_point, dtype)?;
        let zero_point = spread(c, zero_point, x, axis, block)?;
        difference = c.binary(BinaryOp::Sub, difference, zero_point)?;
    }
    let y = c.binary(BinaryOp::Mul, difference, scale)?;
    Ok(c.cast(y, to)?.into())
}

/// (x − zero point) · scale.
pub(super) fn dequantize(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    scale: ValueId,
    zero_point: ValueId,
    axis: usize,
) -> Result<ValueId> {
    let (scale, zero_point) = (scalar_or_vector(c, scale)?, scalar_or_vector(c, zero_point)?);
    Ok(c.op(Op::Dequantize { axis }, &[x, scale, zero_point])?)
}

/// `DynamicQuantizeLinear`: u8 with scale and zero point from the range of the data, which includes 0.
pub(super) fn dynamic_quantize(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    Ok(Outputs::values(dynamic_quantize_of(c, x)?))
}

/// Elements, scale and zero point.
pub(super) fn dynamic_quantize_of(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<[ValueId; 3]> {
    let axes: Vec<usize> = (0..c.shape(x).len()).collect();
    let low = c.reduce(ReduceOp::Min, x, &axes, false)?;
    let low = c.binary_scalar(BinaryOp::Min, low, 0.0)?;
    let high = c.reduce(ReduceOp::Max, x, &axes, false)?;
    let high = c.binary_scalar(BinaryOp::Max, high, 0.0)?;
    let range = c.binary(BinaryOp::Sub, high, low)?;
    let scale = c.binary_scalar(BinaryOp::Div, range, 255.0)?;
    let is_zero = super::elementwise::compare_scalar(c, graven_ir::CompareOp::Eq, scale, 0.0)?;
    let one = c.scalar_like(x, 1.0)?;
    let scale = c.select(is_zero, one, scale)?;
    let quotient = c.binary(BinaryOp::Div, low, scale)?;
    let negated = c.unary(UnaryOp::Neg, quotient)?;
    let rounded = c.unary(UnaryOp::Round, negated)?;
    let zero_point = c.cast(rounded, DType::U8)?;
    let y = quantize(c, x, scale, zero_point, 0)?;
    Ok([y, scale, zero_point])
}

/// `MatMulInteger`: zero points are scalars, or one for each row of a and column of b.
pub(super) fn matmul_integer(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b, a_zero, b_zero) = (c.value(0)?, c.value(1)?, c.optional(2)?, c.optional(3)?);
    Ok(integer_product(c, [a, b], [a_zero, b_zero])?.into())
}

/// The product of integers less their zero points, in i32.
pub(super) fn integer_product(
    c: &mut Context<'_, '_, '_>,
    [a, b]: [ValueId; 2],
    [a_zero, b_zero]: [Option<ValueId>; 2],
) -> Result<ValueId> {
    let (rows, columns) = (c.shape(a).len().saturating_sub(2), c.shape(b).len().saturating_sub(1));
    let a = centered(c, a, a_zero, rows)?;
    let b = centered(c, b, b_zero, columns)?;
    matmul_of(c, a, b)
}

/// An i32 accumulator times its scales, quantised to the output's.
fn requantize(
    c: &mut Context<'_, '_, '_>,
    accumulator: ValueId,
    scales: [ValueId; 2],
    [scale, zero_point]: [ValueId; 2],
) -> Result<ValueId> {
    let [a, b] = scales;
    let dtype = c.dtype(scale);
    let wide = if dtype.bytes() < 4 { DType::F32 } else { dtype };
    let value = c.cast(accumulator, wide)?;
    let (a, b, scale) = (c.cast(a, wide)?, c.cast(b, wide)?, c.cast(scale, wide)?);
    let factor = c.binary(BinaryOp::Mul, a, b)?;
    let value = c.binary(BinaryOp::Mul, value, factor)?;
    quantize(c, value, scale, zero_point, 0)
}

/// `QLinearMatMul`.
pub(super) fn qlinear_matmul(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let v = c.values()?;
    let [a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero] = v[..] else {
        return bad_input("needs eight inputs");
    };
    let (rows, columns) = (c.shape(a).len().saturating_sub(2), c.shape(b).len().saturating_sub(1));
    let rank = c.shape(a).len().max(c.shape(b).len());
    let product = integer_product(c, [a, b], [Some(a_zero), Some(b_zero)])?;
    let a_scale = along_axis(c, a_scale, rank.saturating_sub(2).max(rows), rank)?;
    let b_scale = along_axis(c, b_scale, (rank - 1).max(columns), rank)?;
    Ok(requantize(c, product, [a_scale, b_scale], [y_scale, y_zero])?.into())
}

/// `QLinearConv`.
pub(super) fn qlinear_conv(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let mut v = Vec::with_capacity(8);
    for place in 0..8 {
        v.push(c.value(place)?);
    }
    let [x, x_scale, x_zero, kernel, kernel_scale, kernel_zero, y_scale, y_zero] = v[..] else {
        return bad_input("needs eight inputs");
    };
    let bias = c.optional(8)?;
    let rank = c.shape(x).len();
    let x = centered(c, x, Some(x_zero), 1)?;
    let kernel = centered(c, kernel, Some(kernel_zero), 0)?;
    let sum = conv_of(c, x, kernel)?;
    let sum = add_bias(c, sum, bias)?;
    let x_scale = along_axis(c, x_scale, 1, rank)?;
    let kernel_scale = along_axis(c, kernel_scale, 1, rank)?;
    Ok(requantize(c, sum, [x_scale, kernel_scale], [y_scale, y_zero])?.into())
}
