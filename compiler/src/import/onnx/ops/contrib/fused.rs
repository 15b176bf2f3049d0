//! Products and activations that were fused.

use super::through;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use crate::import::onnx::ops::conv::{add_bias, conv_of};
use crate::import::onnx::ops::matmul::{gemm, matmul_of, scaled};
use graven_ir::{BinaryOp, Op, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Gelu`, `FastGelu` and `BiasGelu`: gelu(x + bias).
pub(in crate::import::onnx::ops) fn activated_gelu(
    c: &mut Context<'_, '_, '_>,
    tanh: bool,
) -> Result<Outputs> {
    let (mut x, bias) = (c.value(0)?, c.optional(1)?);
    if let Some(bias) = bias {
        x = c.binary(BinaryOp::Add, x, bias)?;
    }
    Ok(c.op(Op::Gelu { tanh }, &[x])?.into())
}

/// `QuickGelu`: x · sigmoid(α·x).
pub(in crate::import::onnx::ops) fn quick_gelu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, alpha) = (c.value(0)?, c.float_or("alpha", f64::from(1.702f32))?);
    let scaled = c.binary_scalar(BinaryOp::Mul, x, alpha)?;
    let gate = c.unary(UnaryOp::Sigmoid, scaled)?;
    Ok(c.binary(BinaryOp::Mul, x, gate)?.into())
}

/// A matrix with its last two dimensions exchanged.
fn transposed(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
    let rank = c.shape(x).len();
    if rank < 2 {
        return Ok(x);
    }
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 1, rank - 2);
    Ok(c.transpose(x, &permutation)?)
}

/// `FusedMatMul`: α · a · b with the matrices transposed as asked.
pub(in crate::import::onnx::ops) fn fused_matmul(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (mut a, mut b) = (c.value(0)?, c.value(1)?);
    if c.flag("transBatchA", false)? || c.flag("transBatchB", false)? {
        return unsupported("transposed batches");
    }
    if c.flag("transA", false)? {
        a = transposed(c, a)?;
    }
    if c.flag("transB", false)? {
        b = transposed(c, b)?;
    }
    let alpha = c.float_or("alpha", 1.0)?;
    let product = matmul_of(c, a, b)?;
    Ok(scaled(c, product, alpha)?.into())
}

/// The function that the attribute `activation` names.
fn activated(c: &mut Context<'_, '_, '_>, x: ValueId, parameters: &[f64]) -> Result<ValueId> {
    let parameter = |place: usize, default: f64| parameters.get(place).copied().unwrap_or(default);
    Ok(match c.text_or("activation", "")? {
        "" => x,
        "Relu" => c.binary_scalar(BinaryOp::Max, x, 0.0)?,
        "Tanh" => c.unary(UnaryOp::Tanh, x)?,
        "Sigmoid" => c.unary(UnaryOp::Sigmoid, x)?,
        "LeakyRelu" => {
            let small = c.binary_scalar(BinaryOp::Mul, x, parameter(0, 0.01))?;
            let zero = c.scalar_like(x, 0.0)?;
            let is_negative = c.compare(graven_ir::CompareOp::Lt, x, zero)?;
            c.select(is_negative, small, x)?
        }
        "Clip" => {
            let low = c.binary_scalar(BinaryOp::Max, x, parameter(0, f64::from(f32::MIN)))?;
            c.binary_scalar(BinaryOp::Min, low, parameter(1, f64::from(f32::MAX)))?
        }
        "HardSigmoid" => {
            let line = c.binary_scalar(BinaryOp::Mul, x, parameter(0, 0.2))?;
            let line = c.binary_scalar(BinaryOp::Add, line, parameter(1, 0.5))?;
            let low = c.binary_scalar(BinaryOp::Max, line, 0.0)?;
            c.binary_scalar(BinaryOp::Min, low, 1.0)?
        }
        other => return unsupported(format!("the activation `{other}`")),
    })
}

/// `FusedConv`: activation(convolution + bias + addend).
pub(in crate::import::onnx::ops) fn fused_conv(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel, bias, addend) = (c.value(0)?, c.value(1)?, c.optional(2)?, c.optional(3)?);
    let y = conv_of(c, x, kernel)?;
    let mut y = add_bias(c, y, bias)?;
    if let Some(addend) = addend {
        y = c.binary(BinaryOp::Add, y, addend)?;
    }
    let parameters: Vec<f64> =
        c.floats("activation_params")?.unwrap_or(&[]).iter().map(|x| f64::from(*x)).collect();
    Ok(activated(c, y, &parameters)?.into())
}

/// `FusedGemm`: activation of a `Gemm`.
pub(in crate::import::onnx::ops) fn fused_gemm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let inputs = c.values()?;
    if inputs.len() < 2 {
        return bad_input("needs two matrices");
    }
    let y = through(c, &inputs, gemm)?;
    let parameters: Vec<f64> =
        [c.float("activation_alpha")?, c.float("activation_beta")?].into_iter().flatten().collect();
    Ok(activated(c, y, &parameters)?.into())
}
