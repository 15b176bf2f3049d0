//! Activation functions.

use super::elementwise::compare_scalar;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{BinaryOp, CompareOp, Op, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Relu`: max(x, 0).
pub(super) fn relu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    Ok(c.binary_scalar(BinaryOp::Max, x, 0.0)?.into())
}

/// `positive` where x > 0, else `negative`.
fn by_sign(c: &mut Context<'_, '_, '_>, x: ValueId, positive: ValueId, negative: ValueId) -> Result<Outputs> {
    let is_positive = compare_scalar(c, CompareOp::Gt, x, 0.0)?;
    Ok(c.select(is_positive, positive, negative)?.into())
}

/// `LeakyRelu`: αx for negative x.
pub(super) fn leaky_relu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", 0.01)?);
    let scaled = c.binary_scalar(BinaryOp::Mul, x, alpha)?;
    by_sign(c, x, x, scaled)
}

/// `PRelu`: slope · x for negative x.
pub(super) fn prelu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, slope) = (c.value(0)?, c.value(1)?);
    let scaled = c.binary(BinaryOp::Mul, x, slope)?;
    by_sign(c, x, x, scaled)
}

/// `Elu`: α(eˣ − 1) for negative x.
pub(super) fn elu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", 1.0)?);
    let curve = c.unary(UnaryOp::Expm1, x)?;
    let scaled = c.binary_scalar(BinaryOp::Mul, curve, alpha)?;
    by_sign(c, x, x, scaled)
}

/// `Selu`: γx, or γα(eˣ − 1) for negative x (Klambauer et al., 2017).
pub(super) fn selu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let alpha = c.float_or("alpha", 1.673_263_192_176_818_8)?;
    let gamma = c.float_or("gamma", 1.050_701_022_148_132_3)?;
    let curve = c.unary(UnaryOp::Expm1, x)?;
    let negative = c.binary_scalar(BinaryOp::Mul, curve, alpha * gamma)?;
    let positive = c.binary_scalar(BinaryOp::Mul, x, gamma)?;
    by_sign(c, x, positive, negative)
}

/// `Celu`: x, or α(e^(x ÷ α) − 1) for negative x.
pub(super) fn celu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", 1.0)?);
    let quotient = c.binary_scalar(BinaryOp::Div, x, alpha)?;
    let curve = c.unary(UnaryOp::Expm1, quotient)?;
    let negative = c.binary_scalar(BinaryOp::Mul, curve, alpha)?;
    by_sign(c, x, x, negative)
}

/// `Gelu`.
pub(super) fn gelu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let tanh = match c.text_or("approximate", "none")? {
        "none" => false,
        "tanh" => true,
        other => return bad_input(format!("there is no approximation `{other}`")),
    };
    Ok(c.op(Op::Gelu { tanh }, &[x])?.into())
}

/// αx + β within 0..1.
fn hard_sigmoid_of(c: &mut Context<'_, '_, '_>, x: ValueId, alpha: f64, beta: f64) -> Result<ValueId> {
    let scaled = c.binary_scalar(BinaryOp::Mul, x, alpha)?;
    let shifted = c.binary_scalar(BinaryOp::Add, scaled, beta)?;
    let low = c.binary_scalar(BinaryOp::Max, shifted, 0.0)?;
    Ok(c.binary_scalar(BinaryOp::Min, low, 1.0)?)
}

/// `HardSigmoid`.
pub(super) fn hard_sigmoid(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let (alpha, beta) = (c.float_or("alpha", 0.2)?, c.float_or("beta", 0.5)?);
    Ok(hard_sigmoid_of(c, x, alpha, beta)?.into())
}

/// `HardSwish`: x · hard_sigmoid(x) with α = 1/6 and β = 1/2.
pub(super) fn hard_swish(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let gate = hard_sigmoid_of(c, x, 1.0 / 6.0, 0.5)?;
    Ok(c.binary(BinaryOp::Mul, x, gate)?.into())
}

/// ln(1 + eˣ) without overflow: max(x, 0) + ln(1 + e^−|x|).
pub(super) fn softplus_of(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
    let magnitude = c.unary(UnaryOp::Abs, x)?;
    let negated = c.unary(UnaryOp::Neg, magnitude)?;
    let decay = c.unary(UnaryOp::Exp, negated)?;
    let tail = c.unary(UnaryOp::Log1p, decay)?;
    let positive = c.binary_scalar(BinaryOp::Max, x, 0.0)?;
    Ok(c.binary(BinaryOp::Add, positive, tail)?)
}

/// `Softplus`.
pub(super) fn softplus(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    Ok(softplus_of(c, x)?.into())
}

/// `Mish`: x · tanh(softplus(x)) (Misra, 2019).
pub(super) fn mish(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let softplus = softplus_of(c, x)?;
    let gate = c.unary(UnaryOp::Tanh, softplus)?;
    Ok(c.binary(BinaryOp::Mul, x, gate)?.into())
}

/// `Softsign`: x ÷ (1 + |x|).
pub(super) fn softsign(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let magnitude = c.unary(UnaryOp::Abs, x)?;
    let divisor = c.binary_scalar(BinaryOp::Add, magnitude, 1.0)?;
    Ok(c.binary(BinaryOp::Div, x, divisor)?.into())
}

fn swish_of(c: &mut Context<'_, '_, '_>, x: ValueId, alpha: f64) -> Result<ValueId> {
    if alpha == 1.0 {
        return Ok(c.op(Op::Silu, &[x])?);
    }
    let scaled = c.binary_scalar(BinaryOp::Mul, x, alpha)?;
    let gate = c.unary(UnaryOp::Sigmoid, scaled)?;
    Ok(c.binary(BinaryOp::Mul, x, gate)?)
}

/// `Swish`: x · sigmoid(αx).
pub(super) fn swish(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", 1.0)?);
    Ok(swish_of(c, x, alpha)?.into())
}

/// `ThresholdedRelu`: x where x > α, else 0.
pub(super) fn thresholded_relu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", 1.0)?);
    let above = compare_scalar(c, CompareOp::Gt, x, alpha)?;
    let zero = c.scalar_like(x, 0.0)?;
    Ok(c.select(above, x, zero)?.into())
}

/// `Shrink`: x + bias below −λ, x − bias above λ, else 0.
pub(super) fn shrink(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let (lambda, bias) = (c.float_or("lambd", 0.5)?, c.float_or("bias", 0.0)?);
    let below = compare_scalar(c, CompareOp::Lt, x, -lambda)?;
    let above = compare_scalar(c, CompareOp::Gt, x, lambda)?;
    let (raised, lowered) =
        (c.binary_scalar(BinaryOp::Add, x, bias)?, c.binary_scalar(BinaryOp::Sub, x, bias)?);
    let zero = c.scalar_like(x, 0.0)?;
    let right = c.select(above, lowered, zero)?;
    Ok(c.select(below, raised, right)?.into())
}

/// `SwiGLU`: swish(a) · b (Shazeer, 2020).
pub(super) fn swiglu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b, alpha) = (c.value(0)?, c.value(1)?, c.float_or("alpha", 1.0)?);
    let gate = swish_of(c, a, alpha)?;
    Ok(c.binary(BinaryOp::Mul, gate, b)?.into())
}
