//! A transformer's encoder reverses sequences of digits.

use super::ty;
use crate::Result;
use crate::data::Numbers;
use graven::api::{Evaluator, Options, TensorView, Trainer};
use graven::nn::{
    self, Dense, Embedding, Forward, Layer, Sequential, SinusoidalPosition, TransformerEncoderLayer,
};
use graven::train::{Loss, Optimizer, Schedule, StepOptions, trainable};
use graven_ir::{DType, ValueId};

const BATCH: usize = 32;
const LENGTH: usize = 6;
const DIGITS: usize = 8;

/// The share of digits that are right in new sequences.
///
/// # Errors
/// Those of the compiler.
pub fn run(steps: usize, report: &mut dyn FnMut(usize, f64)) -> Result<f64> {
    let layers = Sequential::new()
        .named("embedding", Embedding::new(DIGITS, 32))
        .named("position", SinusoidalPosition)
        .named("0", TransformerEncoderLayer::new(4, 64).dropout(0.0))
        .named("1", TransformerEncoderLayer::new(4, 64).dropout(0.0))
        .named("head", Dense::new(DIGITS));
    let x = [("digits", ty(DType::I64, &[BATCH, LENGTH]))];
    let scores = |f: &mut Forward<'_>, x: &[ValueId]| {
        let scores = layers.forward(f, x[0])?;
        Ok(f.transpose(scores, &[0, 2, 1])?)
    };
    let model = nn::model("reverse", 1, &x, scores)?;
    let options = StepOptions {
        optimizer: Optimizer::ADAM,
        learning_rate: 3e-3,
        schedule: Schedule::Warmup { steps: 20, then: Box::new(Schedule::Constant) },
        ..StepOptions::new(Loss::CrossEntropy, trainable(&model))
    };
    let mut trainer = Trainer::new(&model, &options, Options::default())?;
    let mut numbers = Numbers(1);
    for step in 0..steps {
        let [x, y] = batch(&mut numbers);
        report(step, trainer.step(&[view(&x)?], view(&y)?)?.loss);
    }
    let mut evaluator = Evaluator::new(&model, &options, Options::default())?;
    evaluator.set_states(&trainer.state_dict()?)?;
    let mut right = 0;
    for _ in 0..10 {
        let [x, y] = batch(&mut numbers);
        right += evaluator.evaluate(&[view(&x)?], view(&y)?)?.correct.unwrap_or(0);
    }
    Ok(right as f64 / (10 * BATCH * LENGTH) as f64)
}

/// Random sequences and their reverses.
fn batch(numbers: &mut Numbers) -> [Vec<i64>; 2] {
    let x: Vec<i64> = (0..BATCH * LENGTH).map(|_| numbers.below(DIGITS) as i64).collect();
    let y = x.chunks(LENGTH).flat_map(|row| row.iter().rev().copied()).collect();
    [x, y]
}

fn view(values: &[i64]) -> Result<TensorView<'_>> {
    Ok(TensorView::new(DType::I64, &[BATCH, LENGTH], bytemuck::cast_slice(values))?)
}
