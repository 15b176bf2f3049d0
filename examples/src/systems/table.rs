//! A feed-forward net with 3 inputs, 4 hidden units and 1 output, all sigmoid, learns the exclusive or of the first two inputs.

use super::ty;
use crate::Result;
use graven::api::{Options, TensorView, Trainer};
use graven::nn::{self, Activation, Dense, Layer, Sequential};
use graven::train::{Initializer, Loss, Optimizer, StepOptions, trainable};
use graven_ir::DType;

/// Rows of the table.
pub static INPUTS: [[f32; 3]; 4] = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
/// What is to be learned.
pub static LABELS: [f32; 4] = [0.0, 1.0, 1.0, 0.0];

/// The predictions after so many epochs.
///
/// # Errors
/// Those of the compiler.
pub fn run(epochs: usize) -> Result<Vec<f64>> {
    let wide = Initializer::Uniform { low: -1.0, high: 1.0 };
    let layers = Sequential::new()
        .then(Dense::new(4).initialized(wide))
        .then(Activation::Sigmoid)
        .then(Dense::new(1).initialized(wide))
        .then(Activation::Sigmoid);
    let x = [("x", ty(DType::F32, &[4, 3]))];
    let mut model = nn::model("table", 1, &x, |f, x| layers.forward(f, x[0]))?;
    let options = StepOptions {
        optimizer: Optimizer::SGD,
        learning_rate: 5.0,
        ..StepOptions::new(Loss::MeanSquaredError, trainable(&model))
    };
    let mut trainer = Trainer::new(&model, &options, Options::default())?;
    let x = TensorView::f32(&[4, 3], INPUTS.as_flattened())?;
    let y = TensorView::f32(&[4, 1], &LABELS)?;
    for _ in 0..epochs {
        trainer.step(&[x], y)?;
    }
    nn::load_state_dict(&mut model, &trainer.state_dict()?, true)?;
    let input = graven_ir::Tensor::from_f32s(vec![4, 3], INPUTS.as_flattened())?;
    Ok(graven_ir::interp::evaluate(&model, "main", &[input])?.remove(0).to_f64s())
}
