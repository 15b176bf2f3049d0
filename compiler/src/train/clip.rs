//! Bounds on gradients.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, DType, GraphBuilder, ReduceOp, UnaryOp, ValueId};

/// How gradients are bounded before an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// All gradients are scaled by min(1, bound ÷ (‖g‖ + 10⁻⁶)), with the Euclidean norm over all of them (Pascanu et al., 2013).
    Norm(f64),
    /// Each element is limited to −bound..bound.
    Value(f64),
}

impl Clip {
    /// The bounded gradients.
    pub fn build(self, b: &mut GraphBuilder<'_>, gradients: &[ValueId]) -> Result<Vec<ValueId>, InferError> {
        match self {
            Clip::Norm(bound) => by_norm(b, gradients, bound),
            Clip::Value(bound) => gradients
                .iter()
                .map(|gradient| {
                    let above = b.binary_scalar(BinaryOp::Max, *gradient, -bound)?;
                    b.binary_scalar(BinaryOp::Min, above, bound)
                })
                .collect(),
        }
    }
}

fn by_norm(b: &mut GraphBuilder<'_>, gradients: &[ValueId], bound: f64) -> Result<Vec<ValueId>, InferError> {
    let mut total = b.scalar(DType::F64, 0.0)?;
    for gradient in gradients {
        let square = b.binary(BinaryOp::Mul, *gradient, *gradient)?;
        let axes: Vec<usize> = (0..b.shape(square).len()).collect();
        let sum = b.reduce(ReduceOp::Sum, square, &axes, false)?;
        let sum = b.cast(sum, DType::F64)?;
        total = b.binary(BinaryOp::Add, total, sum)?;
    }
    let norm = b.unary(UnaryOp::Sqrt, total)?;
    let divisor = b.binary_scalar(BinaryOp::Add, norm, 1e-6)?;
    let bound = b.scalar(DType::F64, bound)?;
    let factor = b.binary(BinaryOp::Div, bound, divisor)?;
    let factor = b.binary_scalar(BinaryOp::Min, factor, 1.0)?;
    gradients
        .iter()
        .map(|gradient| {
            let factor = b.cast(factor, b.dtype(*gradient))?;
            b.binary(BinaryOp::Mul, *gradient, factor)
        })
        .collect()
}
