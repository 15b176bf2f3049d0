//! A perceptron with 784 inputs, 100 hidden units and 10 classes on MNIST: SGD at rate 0.1 on batches of 100.

use super::ty;
use crate::Result;
use crate::data::{Digits, Numbers};
use graven::api::{Evaluator, Options, TensorView, Trainer};
use graven::nn::{self, Activation, Dense, Layer, Sequential};
use graven::train::{Loss, StepOptions, trainable};
use graven_ir::{DType, Module};
use std::path::Path;

const BATCH: usize = 100;

fn model() -> Result<Module> {
    let layers = Sequential::new().then(Dense::new(100)).then(Activation::Relu).then(Dense::new(10));
    let x = [("image", ty(DType::F32, &[BATCH, 784]))];
    Ok(nn::model("digits", 1, &x, |f, x| layers.forward(f, x[0]))?)
}

/// The share of right answers on the test images after so many steps. `folder` holds the files of MNIST.
///
/// # Errors
/// Files that can't be read; those of the compiler.
pub fn run(folder: &Path, steps: usize, report: &mut dyn FnMut(usize, f64)) -> Result<f64> {
    let (train, test) = (Digits::read(folder, "train")?, Digits::read(folder, "t10k")?);
    let model = model()?;
    let options = StepOptions::new(Loss::CrossEntropy, trainable(&model));
    let mut trainer = Trainer::new(&model, &options, Options::default())?;
    let mut numbers = Numbers(1);
    let mut order = Vec::new();
    for step in 0..steps {
        if order.len() < BATCH {
            order = numbers.permutation(train.len());
        }
        let (images, labels) = train.batch(&order.split_off(order.len() - BATCH));
        let image = TensorView::f32(&[BATCH, 784], &images)?;
        let label = TensorView::new(DType::I64, &[BATCH], bytemuck::cast_slice(&labels))?;
        report(step, trainer.step(&[image], label)?.loss);
    }
    let mut evaluator = Evaluator::new(&model, &options, Options::default())?;
    evaluator.set_states(&trainer.state_dict()?)?;
    let mut right = 0;
    let places: Vec<usize> = (0..test.len()).collect();
    for chosen in places.chunks_exact(BATCH) {
        let (images, labels) = test.batch(chosen);
        let image = TensorView::f32(&[BATCH, 784], &images)?;
        let label = TensorView::new(DType::I64, &[BATCH], bytemuck::cast_slice(&labels))?;
        right += evaluator.evaluate(&[image], label)?.correct.unwrap_or(0);
    }
    Ok(right as f64 / test.len() as f64)
}
