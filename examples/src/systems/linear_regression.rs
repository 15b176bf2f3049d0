//! Linear regression by gradient descent, y = Wx + b, which converges to the solution of the normal equations.

use super::ty;
use crate::Result;
use crate::data::Numbers;
use graven::api::{Options, TensorView, Trainer};
use graven::nn::{self, Dense, Layer};
use graven::train::{Loss, StepOptions, trainable};
use graven_ir::DType;

/// Samples and features.
const SHAPE: [usize; 2] = [64, 3];

/// Weights and bias.
pub type Line = [f64; 4];

/// What gradient descent and the normal equations find.
///
/// # Errors
/// Those of the compiler.
pub fn run(steps: usize) -> Result<[Line; 2]> {
    let mut numbers = Numbers(4);
    let x: Vec<f64> = (0..SHAPE[0] * SHAPE[1]).map(|_| numbers.normal()).collect();
    let of = |row: &[f64]| 1.5 * row[0] - 2.0 * row[1] + 0.25 * row[2] + 0.7;
    let y: Vec<f64> = x.chunks(SHAPE[1]).map(|row| of(row) + 0.3 * numbers.normal()).collect();
    Ok([descent(&x, &y, steps)?, normal_equations(&x, &y)])
}

fn descent(x: &[f64], y: &[f64], steps: usize) -> Result<Line> {
    let model =
        nn::model("line", 1, &[("x", ty(DType::F64, &SHAPE))], |f, x| Dense::new(1).forward(f, x[0]))?;
    let options = StepOptions {
        target_dtype: DType::F64,
        learning_rate: 0.1,
        ..StepOptions::new(Loss::MeanSquaredError, trainable(&model))
    };
    let mut trainer = Trainer::new(&model, &options, Options::default())?;
    let x = TensorView::new(DType::F64, &SHAPE, bytemuck::cast_slice(x))?;
    let y = TensorView::new(DType::F64, &[SHAPE[0], 1], bytemuck::cast_slice(y))?;
    for _ in 0..steps {
        trainer.step(&[x], y)?;
    }
    let parameters = trainer.parameters()?;
    let values: Vec<f64> = parameters.iter().flat_map(|(_, value)| value.to_f64s()).collect();
    Ok(values.try_into().map_err(|_| "three weights and a bias")?)
}

/// (XᵀX)⁻¹Xᵀy with a column of ones, by elimination.
fn normal_equations(x: &[f64], y: &[f64]) -> Line {
    let mut matrix = [[0.0; 5]; 4];
    for (row, y) in x.chunks(SHAPE[1]).zip(y) {
        let row = [row[0], row[1], row[2], 1.0, *y];
        for (line, left) in matrix.iter_mut().zip(row) {
            line.iter_mut().zip(row).for_each(|(sum, right)| *sum += left * right);
        }
    }
    for i in 0..4 {
        let pivot = matrix[i];
        for (_, row) in matrix.iter_mut().enumerate().filter(|(k, _)| *k != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    std::array::from_fn(|i| matrix[i][4] / matrix[i][i])
}
