//! Functions of quantised tensors: the operands are dequantised and the result is quantised.

use super::through;
use crate::import::onnx::context::{Handler, NodeContext, Outputs, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use crate::import::onnx::ops::conv::along_axis;
use crate::import::onnx::ops::quantize::{dequantize, dynamic_quantize_of, integer_product, quantize};
use crate::import::onnx::ops::slice::concat_of;
use graven_ir::{BinaryOp, DType, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The zero point of input `place`, 0 where it is left out.
fn zero_point(c: &mut Context<'_, '_, '_>, place: usize, dtype: DType) -> Result<ValueId> {
    match c.optional(place)? {
        Some(zero_point) => Ok(zero_point),
        None => Ok(c.scalar(dtype, 0.0)?),
    }
}

/// The tensor of inputs `place` (elements), `place + 1` (scale) and `place + 2` (zero point).
fn dequantized(c: &mut Context<'_, '_, '_>, place: usize) -> Result<ValueId> {
    let (x, scale) = (c.value(place)?, c.value(place + 1)?);
    let dtype = c.dtype(x);
    let zero_point = zero_point(c, place + 2, dtype)?;
    dequantize(c, x, scale, zero_point, 0)
}

/// `y` with the scale and zero point of inputs `place` and `place + 1`.
fn quantized(c: &mut Context<'_, '_, '_>, y: ValueId, place: usize, dtype: DType) -> Result<ValueId> {
    let scale = c.value(place)?;
    let zero_point = zero_point(c, place + 1, dtype)?;
    quantize(c, y, scale, zero_point, 0)
}

/// `QLinearAdd`, `QLinearMul`.
pub(in crate::import::onnx::ops) fn binary(c: &mut Context<'_, '_, '_>, op: BinaryOp) -> Result<Outputs> {
    let dtype = c.input_dtype(0)?;
    let (a, b) = (dequantized(c, 0)?, dequantized(c, 3)?);
    let y = c.binary(op, a, b)?;
    Ok(quantized(c, y, 6, dtype)?.into())
}

/// `QLinearSigmoid`, `QLinearLeakyRelu`, `QLinearAveragePool`, … of one tensor with features second.
pub(in crate::import::onnx::ops) fn unary(c: &mut Context<'_, '_, '_>, handler: Handler) -> Result<Outputs> {
    if c.flag("channels_last", false)? {
        return unsupported("features in the last dimension");
    }
    let dtype = c.input_dtype(0)?;
    let x = dequantized(c, 0)?;
    let y = through(c, &[x], handler)?;
    Ok(quantized(c, y, 3, dtype)?.into())
}

/// `QLinearConcat`: the scale and zero point of the result stand before the tensors.
pub(in crate::import::onnx::ops) fn concat(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let dtype = c.input_dtype(2)?;
    let count = c.inputs.len();
    if count < 5 || !(count - 2).is_multiple_of(3) {
        return bad_input(format!("has {count} inputs"));
    }
    let parts = (2..count).step_by(3).map(|place| dequantized(c, place)).collect::<Result<Vec<ValueId>>>()?;
    let Some(axis) = c.int("axis")? else { return bad_input("attribute `axis` is missing") };
    let axis = normalize_axis(axis, c.shape(parts[0]).len())?;
    let y = concat_of(c, &parts, axis)?;
    Ok(quantized(c, y, 0, dtype)?.into())
}

/// An integer product times the scales of both sides, plus a bias.
fn scaled_product(
    c: &mut Context<'_, '_, '_>,
    product: ValueId,
    scales: [ValueId; 2],
    bias: Option<ValueId>,
) -> Result<ValueId> {
    let rank = c.shape(product).len();
    let dtype = c.dtype(scales[0]);
    let [a, b] = scales;
    // A vector of scales belongs to the rows of a, or to the columns of b.
    let a = along_axis(c, a, rank.saturating_sub(2), rank)?;
    let b = along_axis(c, b, rank.saturating_sub(1), rank)?;
    let factor = c.binary(BinaryOp::Mul, a, b)?;
    let y = c.cast(product, dtype)?;
    let y = c.binary(BinaryOp::Mul, y, factor)?;
    match bias {
        Some(bias) => Ok(c.binary(BinaryOp::Add, y, bias)?),
        None => Ok(y),
    }
}

/// `MatMulIntegerToFloat`.
pub(in crate::import::onnx::ops) fn float_matmul(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b, scales) = (c.value(0)?, c.value(1)?, [c.value(2)?, c.value(3)?]);
    let (zero_points, bias) = ([c.optional(4)?, c.optional(5)?], c.optional(6)?);
    let product = integer_product(c, [a, b], zero_points)?;
    Ok(scaled_product(c, product, scales, bias)?.into())
}

/// `DynamicQuantizeMatMul`: the left side is quantised by its own range.
pub(in crate::import::onnx::ops) fn dynamic_matmul(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b, scale) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let (zero_point, bias) = (c.optional(3)?, c.optional(4)?);
    let [quantized, a_scale, a_zero] = dynamic_quantize_of(c, a)?;
    let product = integer_product(c, [quantized, b], [Some(a_zero), zero_point])?;
    Ok(scaled_product(c, product, [a_scale, scale], bias)?.into())
}
