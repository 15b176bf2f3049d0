//! Update rules: new parameters from gradients.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, DType, GraphBuilder, UnaryOp, ValueId};

type Built = Result<ValueId, InferError>;

/// An update rule with its constants. `p` is a parameter, `g` its gradient, η the learning rate, t the step, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// g ← g + λp; v ← μv + g; p ← p − ηv, or p − η(g + μv) for Nesterov's form (Sutskever et al., 2013). With μ = 0 plain gradient descent.
    Sgd {
        /// μ.
        momentum: f64,
        /// Nesterov's form.
        nesterov: bool,
        /// λ.
        weight_decay: f64,
    },
    /// g ← g + λp; s ← s + g²; p ← p − ηg ÷ (√s + ε) (Duchi et al., 2011).
    Adagrad {
        /// ε.
        epsilon: f64,
        /// λ.
        weight_decay: f64,
    },
    /// g ← g + λp; s ← αs + (1 − α)g²; v ← μv + g ÷ (√s + ε); p ← p − ηv (Hinton, 2012).
    RmsProp {
        /// α.
        decay: f64,
        /// ε.
        epsilon: f64,
        /// μ.
        momentum: f64,
        /// λ.
        weight_decay: f64,
    },
    /// m ← β₁m + (1 − β₁)g; s ← β₂s + (1 − β₂)g²; p ← p − η · m ÷ (1 − β₁ᵗ) ÷ (√(s ÷ (1 − β₂ᵗ)) + ε) (Kingma and Ba, 2015). Weight decay is part of the
    /// gradient, or taken off the parameter if decoupled: p ← p − ηλp (AdamW; Loshchilov and Hutter, 2019).
    Adam {
        /// β₁ and β₂.
        betas: [f64; 2],
        /// ε.
        epsilon: f64,
        /// λ.
        weight_decay: f64,
        /// AdamW.
        decoupled: bool,
    },
}

/// What all parameters of a step have in common.
#[derive(Clone, Copy)]
pub struct Rate {
    /// η, an f64 scalar.
    pub learning_rate: ValueId,
    /// t, an f64 scalar, counted from 1.
    pub step: ValueId,
}

impl Optimizer {
    /// Gradient descent.
    pub const SGD: Optimizer = Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    /// Adam with the constants of its paper.
    pub const ADAM: Optimizer =
        Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0, decoupled: false };
    /// AdamW with λ = 0.01.
    pub const ADAMW: Optimizer =
        Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01, decoupled: true };
    /// Adagrad with ε = 10⁻¹⁰.
    pub const ADAGRAD: Optimizer = Optimizer::Adagrad { epsilon: 1e-10, weight_decay: 0.0 };
    /// RMSprop with α = 0.99.
    pub const RMSPROP: Optimizer =
        Optimizer::RmsProp { decay: 0.99, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0 };

    /// Names of what it keeps for each parameter. Each has the parameter's type and starts with zeros.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd { momentum: 0.0, .. } => &[],
            Optimizer::Sgd { .. } => &["momentum"],
            Optimizer::Adagrad { .. } => &["square_sum"],
            Optimizer::RmsProp { momentum: 0.0, .. } => &["square_average"],
            Optimizer::RmsProp { .. } => &["square_average", "momentum"],
            Optimizer::Adam { .. } => &["first_moment", "second_moment"],
        }
    }

    /// The new parameter, then the new moments, in the order of [`Optimizer::moments`].
    ///
    /// # Errors
    /// Values whose types differ from the parameter's.
    pub fn update(
        &self,
        b: &mut GraphBuilder<'_>,
        rate: Rate,
        [parameter, gradient]: [ValueId; 2],
        moments: &[ValueId],
    ) -> Result<Vec<ValueId>, InferError> {
        let learning_rate = b.cast(rate.learning_rate, b.dtype(parameter))?;
        match (*self, moments) {
            (Optimizer::Sgd { weight_decay, .. }, []) => {
                let g = decayed(b, gradient, parameter, weight_decay)?;
                Ok(vec![descend(b, parameter, learning_rate, g)?])
            }
            (Optimizer::Sgd { momentum, nesterov, weight_decay }, [velocity]) => {
                let g = decayed(b, gradient, parameter, weight_decay)?;
                let velocity = scaled_sum(b, *velocity, momentum, g)?;
                let direction = if nesterov { scaled_sum(b, velocity, momentum, g)? } else { velocity };
                Ok(vec![descend(b, parameter, learning_rate, direction)?, velocity])
            }
            (Optimizer::Adagrad { epsilon, weight_decay }, [sum]) => {
                let g = decayed(b, gradient, parameter, weight_decay)?;
                let square = b.binary(BinaryOp::Mul, g, g)?;
                let sum = b.binary(BinaryOp::Add, *sum, square)?;
                let direction = over_root(b, g, sum, epsilon)?;
                Ok(vec![descend(b, parameter, learning_rate, direction)?, sum])
            }
            (Optimizer::RmsProp { decay, epsilon, momentum, weight_decay }, [average, rest @ ..]) => {
                let g = decayed(b, gradient, parameter, weight_decay)?;
                let square = b.binary(BinaryOp::Mul, g, g)?;
                let average = moving_average(b, *average, square, decay)?;
                let direction = over_root(b, g, average, epsilon)?;
                let Some(velocity) = rest.first() else {
                    return Ok(vec![descend(b, parameter, learning_rate, direction)?, average]);
                };
                let velocity = scaled_sum(b, *velocity, momentum, direction)?;
                Ok(vec![descend(b, parameter, learning_rate, velocity)?, average, velocity])
            }
            (Optimizer::Adam { betas, epsilon, weight_decay, decoupled }, [first, second]) => {
                let mut p = parameter;
                let mut g = gradient;
                if decoupled {
                    let shrink = b.binary_scalar(BinaryOp::Mul, learning_rate, -weight_decay)?;
                    let kept = b.binary_scalar(BinaryOp::Add, shrink, 1.0)?;
                    p = b.binary(BinaryOp::Mul, p, kept)?;
                } else {
                    g = decayed(b, g, p, weight_decay)?;
                }
                let square = b.binary(BinaryOp::Mul, g, g)?;
                let first = moving_average(b, *first, g, betas[0])?;
                let second = moving_average(b, *second, square, betas[1])?;
                // η ÷ (1 − β₁ᵗ) and 1 ÷ √(1 − β₂ᵗ) are scalars.
                let first_correction = one_minus_power(b, betas[0], rate.step)?;
                let size = b.binary(BinaryOp::Div, rate.learning_rate, first_correction)?;
                let size = b.cast(size, b.dtype(p))?;
                let second_correction = one_minus_power(b, betas[1], rate.step)?;
                let factor = b.unary(UnaryOp::Rsqrt, second_correction)?;
                let factor = b.cast(factor, b.dtype(p))?;
                let root = b.unary(UnaryOp::Sqrt, second)?;
                let root = b.binary(BinaryOp::Mul, root, factor)?;
                let divisor = b.binary_scalar(BinaryOp::Add, root, epsilon)?;
                let direction = b.binary(BinaryOp::Div, first, divisor)?;
                Ok(vec![descend(b, p, size, direction)?, first, second])
            }
            (_, moments) => {
                let reason = format!("{} moments instead of {}", moments.len(), self.moments().len());
                Err(InferError { op: "optimizer", reason })
            }
        }
    }
}

/// g + λp; g for λ = 0.
fn decayed(b: &mut GraphBuilder<'_>, gradient: ValueId, parameter: ValueId, weight_decay: f64) -> Built {
    match weight_decay {
        0.0 => Ok(gradient),
        _ => scaled_sum(b, parameter, weight_decay, gradient),
    }
}

/// factor · x + y.
fn scaled_sum(b: &mut GraphBuilder<'_>, x: ValueId, factor: f64, y: ValueId) -> Built {
    let scaled = b.binary_scalar(BinaryOp::Mul, x, factor)?;
    b.binary(BinaryOp::Add, scaled, y)
}

/// decay · average + (1 − decay) · value.
fn moving_average(b: &mut GraphBuilder<'_>, average: ValueId, value: ValueId, decay: f64) -> Built {
    let new = b.binary_scalar(BinaryOp::Mul, value, 1.0 - decay)?;
    scaled_sum(b, average, decay, new)
}

/// g ÷ (√s + ε).
fn over_root(b: &mut GraphBuilder<'_>, g: ValueId, s: ValueId, epsilon: f64) -> Built {
    let root = b.unary(UnaryOp::Sqrt, s)?;
    let divisor = b.binary_scalar(BinaryOp::Add, root, epsilon)?;
    b.binary(BinaryOp::Div, g, divisor)
}

/// p − η · direction.
fn descend(b: &mut GraphBuilder<'_>, p: ValueId, rate: ValueId, direction: ValueId) -> Built {
    let change = b.binary(BinaryOp::Mul, direction, rate)?;
    b.binary(BinaryOp::Sub, p, change)
}

/// 1 − βᵗ, an f64 scalar.
fn one_minus_power(b: &mut GraphBuilder<'_>, beta: f64, step: ValueId) -> Built {
    let beta = b.scalar(DType::F64, beta)?;
    let power = b.binary(BinaryOp::Pow, beta, step)?;
    let negative = b.unary(UnaryOp::Neg, power)?;
    b.binary_scalar(BinaryOp::Add, negative, 1.0)
}
