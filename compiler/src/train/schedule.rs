//! Learning rates over the steps, as factors of the base rate.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, DType, GraphBuilder, UnaryOp, ValueId};
use std::f64::consts::PI;

type Built = Result<ValueId, InferError>;

/// How the learning rate changes. Steps count from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// The base rate always.
    Constant,
    /// base · gamma^⌊step ÷ every⌋.
    Step {
        /// Steps between two changes, ≥ 1.
        every: u64,
        /// Factor at each.
        gamma: f64,
    },
    /// base · gamma^(step ÷ every).
    Exponential {
        /// Steps in which the rate changes by `gamma`, ≥ 1.
        every: u64,
        /// Factor over these.
        gamma: f64,
    },
    /// base · (minimum + (1 − minimum) · ½(1 + cos(π · step ÷ steps))), and base · minimum from `steps` on (Loshchilov and Hutter, 2017).
    Cosine {
        /// Steps down to the minimum, ≥ 1.
        steps: u64,
        /// The last factor.
        minimum: f64,
    },
    /// base · (step + 1) ÷ steps for the first steps; then another schedule that starts there.
    Warmup {
        /// Steps up to the base rate, ≥ 1.
        steps: u64,
        /// What follows.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// The factor at `step`, an i64 scalar, as an f64 scalar.
    pub fn factor(&self, b: &mut GraphBuilder<'_>, step: ValueId) -> Built {
        let count = b.cast(step, DType::F64)?;
        self.factor_at(b, count)
    }

    /// The same from the step as an f64 scalar.
    fn factor_at(&self, b: &mut GraphBuilder<'_>, step: ValueId) -> Built {
        match self {
            Schedule::Constant => b.scalar(DType::F64, 1.0),
            Schedule::Step { every, gamma } => {
                let periods = b.binary_scalar(BinaryOp::Div, step, *every as f64)?;
                let periods = b.unary(UnaryOp::Floor, periods)?;
                power(b, *gamma, periods)
            }
            Schedule::Exponential { every, gamma } => {
                let periods = b.binary_scalar(BinaryOp::Div, step, *every as f64)?;
                power(b, *gamma, periods)
            }
            Schedule::Cosine { steps, minimum } => {
                let done = b.binary_scalar(BinaryOp::Min, step, *steps as f64)?;
                let angle = b.binary_scalar(BinaryOp::Mul, done, PI / *steps as f64)?;
                let cosine = b.unary(UnaryOp::Cos, angle)?;
                let height = b.binary_scalar(BinaryOp::Add, cosine, 1.0)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, height, (1.0 - minimum) / 2.0)?;
                b.binary_scalar(BinaryOp::Add, scaled, *minimum)
            }
            Schedule::Warmup { steps, then } => {
                let next = b.binary_scalar(BinaryOp::Add, step, 1.0)?;
                let rising = b.binary_scalar(BinaryOp::Div, next, *steps as f64)?;
                let behind = b.binary_scalar(BinaryOp::Add, step, -(*steps as f64))?;
                let falling = then.factor_at(b, behind)?;
                let zero = b.scalar(DType::F64, 0.0)?;
                let warm = b.compare(CompareOp::Ge, behind, zero)?;
                b.select(warm, falling, rising)
            }
        }
    }
}

/// base to the power of an f64 scalar.
fn power(b: &mut GraphBuilder<'_>, base: f64, exponent: ValueId) -> Built {
    let base = b.scalar(DType::F64, base)?;
    b.binary(BinaryOp::Pow, base, exponent)
}
