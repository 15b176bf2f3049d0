//! Activations and dropout.

use super::{Built, Forward, Layer};
use graven_ir::{BinaryOp, CompareOp, Op, UnaryOp, ValueId};

/// Functions of elements, softmax included. Constants are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x, or slope · x for x < 0.
    LeakyRelu {
        /// The slope below 0.
        slope: f64,
    },
    /// x, or α(eˣ − 1) for x ≤ 0 (Clevert et al., 2016).
    Elu {
        /// α.
        alpha: f64,
    },
    /// x · Φ(x) (Hendrycks and Gimpel, 2016).
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// x · sigmoid(x).
    Silu,
    /// 1 ÷ (1 + e⁻ˣ).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// ln(1 + eˣ).
    Softplus,
    /// min(max(x + 3, 0), 6) ÷ 6.
    HardSigmoid,
    /// x · min(max(x + 3, 0), 6) ÷ 6.
    HardSwish,
    /// eˣ ÷ Σ eˣ over the last dimension.
    Softmax,
    /// Its logarithm.
    LogSoftmax,
}

impl Layer for Activation {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let axis = f.ty(x).rank().saturating_sub(1);
        Ok(match *self {
            Activation::Relu => f.binary_scalar(BinaryOp::Max, x, 0.0)?,
            Activation::LeakyRelu { slope } => {
                let below = f.binary_scalar(BinaryOp::Mul, x, slope)?;
                where_positive(f, x, x, below)?
            }
            Activation::Elu { alpha } => {
                // The other side of the selection must not overflow, or its gradient would be 0 · ∞.
                let negative = f.binary_scalar(BinaryOp::Min, x, 0.0)?;
                let exponential = f.unary(UnaryOp::Expm1, negative)?;
                let below = f.binary_scalar(BinaryOp::Mul, exponential, alpha)?;
                where_positive(f, x, x, below)?
            }
            Activation::Gelu => f.op(Op::Gelu { tanh: false }, &[x])?,
            Activation::GeluTanh => f.op(Op::Gelu { tanh: true }, &[x])?,
            Activation::Silu => f.op(Op::Silu, &[x])?,
            Activation::Sigmoid => f.unary(UnaryOp::Sigmoid, x)?,
            Activation::Tanh => f.unary(UnaryOp::Tanh, x)?,
            Activation::Softplus => {
                // max(x, 0) + ln(1 + e^(−|x|)).
                let magnitude = f.unary(UnaryOp::Abs, x)?;
                let exponent = f.unary(UnaryOp::Neg, magnitude)?;
                let power = f.unary(UnaryOp::Exp, exponent)?;
                let log = f.unary(UnaryOp::Log1p, power)?;
                let positive = f.binary_scalar(BinaryOp::Max, x, 0.0)?;
                f.binary(BinaryOp::Add, positive, log)?
            }
            Activation::HardSigmoid => hard_sigmoid(f, x)?,
            Activation::HardSwish => {
                let gate = hard_sigmoid(f, x)?;
                f.binary(BinaryOp::Mul, x, gate)?
            }
            Activation::Softmax => f.op(Op::Softmax { axis }, &[x])?,
            Activation::LogSoftmax => f.op(Op::LogSoftmax { axis }, &[x])?,
        })
    }
}

fn where_positive(f: &mut Forward<'_>, x: ValueId, above: ValueId, below: ValueId) -> Built {
    let dtype = f.dtype(x);
    let zero = f.scalar(dtype, 0.0)?;
    let positive = f.compare(CompareOp::Gt, x, zero)?;
    Ok(f.select(positive, above, below)?)
}

fn hard_sigmoid(f: &mut Forward<'_>, x: ValueId) -> Built {
    let shifted = f.binary_scalar(BinaryOp::Add, x, 3.0)?;
    let low = f.binary_scalar(BinaryOp::Max, shifted, 0.0)?;
    let bounded = f.binary_scalar(BinaryOp::Min, low, 6.0)?;
    Ok(f.binary_scalar(BinaryOp::Mul, bounded, 1.0 / 6.0)?)
}

/// Inverted dropout (Srivastava et al., 2014): in training, each element is 0 with a probability p and else divided by 1 − p. The gradient passes where the
/// element did.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    probability: f64,
}

impl Dropout {
    /// With the probability of a zero.
    pub fn new(probability: f64) -> Dropout {
        Dropout { probability }
    }
}

impl Layer for Dropout {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        if !(0.0..1.0).contains(&self.probability) {
            return f.refuse(format!("a probability of {} to drop: must be in 0..1", self.probability));
        }
        if self.probability == 0.0 || !f.is_training() {
            return Ok(x);
        }
        let kept = 1.0 - self.probability;
        let shape = f.shape(x);
        let mask = f.bernoulli(&shape, kept)?;
        let scaled = f.binary_scalar(BinaryOp::Mul, x, 1.0 / kept)?;
        let dtype = f.dtype(x);
        let zero = f.scalar(dtype, 0.0)?;
        Ok(f.select(mask, scaled, zero)?)
    }
}
