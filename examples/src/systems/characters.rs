//! A model of characters: embedding, LSTM with 128 units, scores of the next character.

use super::ty;
use crate::Result;
use crate::data::Numbers;
use graven::api::{Evaluator, Options, TensorView, Trainer};
use graven::nn::{self, Dense, Embedding, Forward, Layer, Recurrent};
use graven::train::{Clip, Loss, Optimizer, StepOptions, trainable};
use graven_ir::{DType, ValueId};
use std::path::Path;

const BATCH: usize = 32;
const LENGTH: usize = 64;

/// Nats per character of the last tenth of the text, after training on the rest.
///
/// # Errors
/// A file that can't be read; those of the compiler.
pub fn run(path: &Path, steps: usize, report: &mut dyn FnMut(usize, f64)) -> Result<f64> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut known: Vec<u8> = text.clone();
    known.sort_unstable();
    known.dedup();
    let indices: Vec<i64> = text
        .iter()
        .map(|byte| known.binary_search(byte).map(|place| place as i64))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| "a character appeared")?;
    if indices.len() < 20 * LENGTH {
        return Err("the text is too short".into());
    }
    let (train, valid) = indices.split_at(indices.len() / 10 * 9);
    let count = known.len();
    let characters = |f: &mut Forward<'_>, x: &[ValueId]| {
        let embedded = f.scope("embedding", |f| Embedding::new(count, 64).forward(f, x[0]))?;
        let hidden = f.scope("lstm", |f| Recurrent::lstm(128).batch_first().forward(f, embedded))?;
        let scores = f.scope("head", |f| Dense::new(count).forward(f, hidden))?;
        Ok(f.transpose(scores, &[0, 2, 1])?)
    };
    let model = nn::model("characters", 1, &[("text", ty(DType::I64, &[BATCH, LENGTH]))], characters)?;
    let options = StepOptions {
        optimizer: Optimizer::ADAM,
        learning_rate: 3e-3,
        clip: Some(Clip::Norm(1.0)),
        ..StepOptions::new(Loss::CrossEntropy, trainable(&model))
    };
    let mut trainer = Trainer::new(&model, &options, Options::default())?;
    let mut numbers = Numbers(1);
    for step in 0..steps {
        let starts = numbers.places(BATCH, train.len() - LENGTH - 1);
        let [x, y] = windows(train, &starts);
        report(step, trainer.step(&[view(&x)?], view(&y)?)?.loss);
    }
    let mut evaluator = Evaluator::new(&model, &options, Options::default())?;
    evaluator.set_states(&trainer.state_dict()?)?;
    let starts: Vec<usize> = (0..(valid.len() - 1) / LENGTH).map(|n| n * LENGTH).collect();
    let (mut sum, mut batches) = (0.0, 0);
    for starts in starts.chunks_exact(BATCH).take(20) {
        let [x, y] = windows(valid, starts);
        sum += evaluator.evaluate(&[view(&x)?], view(&y)?)?.loss;
        batches += 1;
    }
    Ok(sum / f64::from(batches.max(1)))
}

/// Characters from each start on, and those that follow them.
fn windows(text: &[i64], starts: &[usize]) -> [Vec<i64>; 2] {
    [0, 1].map(|offset| {
        starts.iter().flat_map(|start| &text[start + offset..start + offset + LENGTH]).copied().collect()
    })
}

fn view(values: &[i64]) -> Result<TensorView<'_>> {
    Ok(TensorView::new(DType::I64, &[BATCH, LENGTH], bytemuck::cast_slice(values))?)
}
