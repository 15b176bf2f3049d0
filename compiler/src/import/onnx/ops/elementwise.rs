//! Functions of one, two or several elements.

use crate::import::onnx::context::{NodeContext, Output, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Op, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Abs`, `Neg`, … of any type that the IR's function takes.
pub(super) fn unary(c: &mut Context<'_, '_, '_>, op: UnaryOp) -> Result<Outputs> {
    let x = c.value(0)?;
    Ok(c.unary(op, x)?.into())
}

/// Functions of floats that ONNX also defines for integers, which are computed in f64.
pub(super) fn float_unary(c: &mut Context<'_, '_, '_>, op: UnaryOp) -> Result<Outputs> {
    let x = c.value(0)?;
    let dtype = c.dtype(x);
    if dtype.is_float() {
        return Ok(c.unary(op, x)?.into());
    }
    let wide = c.cast(x, DType::F64)?;
    let y = c.unary(op, wide)?;
    Ok(c.cast(y, dtype)?.into())
}

/// `Add`, `Sub`, … with broadcasting.
pub(super) fn binary(c: &mut Context<'_, '_, '_>, op: BinaryOp) -> Result<Outputs> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    Ok(c.binary(op, x, y)?.into())
}

/// `Equal`, `Less`, … with broadcasting.
pub(super) fn compare(c: &mut Context<'_, '_, '_>, op: CompareOp) -> Result<Outputs> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    Ok(c.compare(op, x, y)?.into())
}

/// `Max`, `Min`, `Sum` of any number of operands.
pub(super) fn variadic(c: &mut Context<'_, '_, '_>, op: BinaryOp) -> Result<Outputs> {
    Ok(fold(c, op)?.into())
}

fn fold(c: &mut Context<'_, '_, '_>, op: BinaryOp) -> Result<ValueId> {
    let values = c.values()?;
    let Some((first, rest)) = values.split_first() else { return bad_input("needs at least one input") };
    let mut result = *first;
    for value in rest {
        result = c.binary(op, result, *value)?;
    }
    Ok(result)
}

/// The mean of any number of operands.
pub(super) fn mean(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let sum = fold(c, BinaryOp::Add)?;
    let count = c.inputs.len() as f64;
    Ok(c.binary_scalar(BinaryOp::Div, sum, count)?.into())
}

/// `Pow`: the exponent may have another type; the result has the base's.
pub(super) fn pow(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    let (base, exponent) = (c.dtype(x), c.dtype(y));
    let common = match (base.is_float(), exponent.is_float()) {
        (true, _) => base,
        (false, true) => DType::F64,
        // The wider integer type decides, so that no exponent wraps.
        (false, false) if base.bytes() >= exponent.bytes() => base,
        (false, false) => exponent,
    };
    let (x, y) = (c.cast(x, common)?, c.cast(y, common)?);
    let result = c.binary(BinaryOp::Pow, x, y)?;
    Ok(c.cast(result, base)?.into())
}

/// `Mod`: the sign of the divisor, or with `fmod` that of the dividend.
pub(super) fn modulo(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let op = if c.flag("fmod", false)? { BinaryOp::Rem } else { BinaryOp::Mod };
    binary(c, op)
}

/// `BitShift`.
pub(super) fn bit_shift(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    match c.text_or("direction", "")? {
        "LEFT" => binary(c, BinaryOp::ShiftLeft),
        "RIGHT" => binary(c, BinaryOp::ShiftRight),
        other => bad_input(format!("the direction `{other}` is neither LEFT nor RIGHT")),
    }
}

/// `Clip`: bounds are attributes before opset 11, optional inputs from then on. Of crossed bounds the upper one wins.
pub(super) fn clip(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let (low, high) = if c.opset < 11 {
        let dtype = c.dtype(x);
        let (low, high) = (c.float("min")?, c.float("max")?);
        (
            low.map(|low| c.scalar(dtype, low)).transpose()?,
            high.map(|high| c.scalar(dtype, high)).transpose()?,
        )
    } else {
        (c.optional(1)?, c.optional(2)?)
    };
    let mut result = x;
    for (bound, op) in [(low, BinaryOp::Max), (high, BinaryOp::Min)] {
        if let Some(bound) = bound {
            let bound = c.reshape(bound, &[])?;
            result = c.binary(op, result, bound)?;
        }
    }
    Ok(result.into())
}

/// `Where`.
pub(super) fn select(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (condition, x, y) = (c.value(0)?, c.value(1)?, c.value(2)?);
    Ok(c.select(condition, x, y)?.into())
}

/// `Cast`, whose `saturate` and `round_mode` matter for 8-bit floats only.
pub(super) fn cast(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let Some(to) = c.dtype_attribute("to")? else { return bad_input("attribute `to` is missing") };
    cast_to(c, to)
}

/// `CastLike`.
pub(super) fn cast_like(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let to = c.input_dtype(1)?;
    cast_to(c, to)
}

fn cast_to(c: &mut Context<'_, '_, '_>, to: DType) -> Result<Outputs> {
    if c.input_dtype(0)? == to {
        return identity(c);
    }
    let mut x = c.value(0)?;
    // Conversion to 4 bits keeps the lowest bits of the integer part instead of saturating.
    if to.bits() == 4 && c.dtype(x).is_float() {
        x = c.cast(x, DType::I32)?;
    }
    Ok(c.cast(x, to)?.into())
}

/// `BitCast`: the same bits as another type of equal size; a truth value is a byte of 0 or 1.
pub(super) fn bit_cast(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let Some(to) = c.dtype_attribute("to")? else { return bad_input("attribute `to` is missing") };
    let mut x = c.value(0)?;
    if c.dtype(x) == DType::Bool && to.bits() == 8 {
        x = c.cast(x, DType::U8)?;
    }
    if c.dtype(x).bits() != to.bits() {
        return unsupported(format!("reinterprets {} as {to}, which has another size", c.dtype(x)));
    }
    Ok(c.op(Op::Bitcast { to }, &[x])?.into())
}

/// `Identity`, also of sequences and optionals.
pub(super) fn identity(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    Ok(Output::Same(c.arg(0)?).into())
}

/// `IsInf`, perhaps of one sign only.
pub(super) fn is_inf(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let (negative, positive) = (c.flag("detect_negative", true)?, c.flag("detect_positive", true)?);
    let infinite = match (negative, positive) {
        (true, true) => c.unary(UnaryOp::IsInf, x)?,
        (true, false) => compare_scalar(c, CompareOp::Eq, x, f64::NEG_INFINITY)?,
        (false, true) => compare_scalar(c, CompareOp::Eq, x, f64::INFINITY)?,
        (false, false) => {
            let (no, shape) = (c.scalar(DType::Bool, 0.0)?, c.shape(x));
            c.broadcast_to(no, &shape)?
        }
    };
    Ok(infinite.into())
}

/// A comparison with a constant.
pub(super) fn compare_scalar(
    c: &mut Context<'_, '_, '_>,
    op: CompareOp,
    x: ValueId,
    value: f64,
) -> Result<ValueId> {
    let scalar = c.scalar_like(x, value)?;
    Ok(c.compare(op, x, scalar)?)
}
