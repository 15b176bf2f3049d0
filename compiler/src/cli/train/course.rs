//! The course of a training: epochs of shuffled batches, validation, logs.

use super::super::failure::{Failure, Outcome};
use super::super::output;
use super::checkpoint::{self, Checkpoints};
use super::data::Samples;
use super::plot::Curves;
use super::step::{Bound, input_shape};
use crate::api::{Evaluator, LoadedModel, Options, StepReport, TensorView, Trainer};
use crate::error::{Error, Place};
use crate::import::BatchNorm;
use crate::train::StepOptions;
use graven_ir::{Constant, Tensor};
use graven_runtime::arena::Arena;
use graven_runtime::shuffle::shuffled;
use graven_runtime::sys::file::{OutputFile, Sink};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// How long to train.
#[derive(Clone, Copy)]
pub(super) enum Length {
    Epochs(u64),
    Steps(u64),
}

impl Length {
    /// The number of steps over so many samples.
    pub(super) fn steps(self, samples: usize, batch: usize) -> u64 {
        match self {
            Length::Epochs(epochs) => epochs.saturating_mul((samples / batch) as u64),
            Length::Steps(steps) => steps,
        }
    }
}

/// Inputs and targets.
pub(super) struct Data {
    pub(super) train: (Samples, Samples),
    pub(super) valid: Option<(Samples, Samples)>,
}

/// A training.
pub(super) struct Course {
    pub(super) bound: Bound,
    pub(super) loaded: LoadedModel,
    pub(super) compile: Options,
    pub(super) options: StepOptions,
    pub(super) batch: usize,
    pub(super) length: Length,
    pub(super) seed: u64,
    pub(super) log: Option<PathBuf>,
    pub(super) plot: Option<PathBuf>,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) resume: Option<PathBuf>,
    pub(super) output: PathBuf,
    pub(super) onnx: Option<PathBuf>,
}

/// A line of the log.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Line {
    Step { step: u64, epoch: u64, loss: f64, accuracy: Option<f64> },
    Validation { step: u64, epoch: u64, loss: f64, accuracy: Option<f64> },
}

/// The mean over an epoch.
#[derive(Default)]
struct Mean {
    samples: usize,
    loss: f64,
    correct: Option<u64>,
}

impl Mean {
    fn add(&mut self, report: StepReport, samples: usize) {
        self.samples += samples;
        self.loss += report.loss * samples as f64;
        if let Some(correct) = report.correct {
            *self.correct.get_or_insert(0) += correct;
        }
    }

    fn loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    fn accuracy(&self) -> Option<f64> {
        self.correct.map(|correct| correct as f64 / self.samples.max(1) as f64)
    }

    /// `loss 0.0314, accuracy 98.76 %`.
    fn summary(&self) -> String {
        let accuracy =
            self.accuracy().map_or_else(String::new, |share| format!(", accuracy {:.2} %", share * 100.0));
        format!("loss {:.4}{accuracy}", self.loss())
    }
}

/// Memory of a batch at the alignment of compiled code.
struct Batch {
    x: Arena,
    y: Arena,
    x_shape: Vec<usize>,
    y_shape: Vec<usize>,
}

impl Batch {
    fn new((x, y): &(Samples, Samples), count: usize) -> Result<Batch, Failure> {
        let arena = |bytes| Arena::new(bytes).map_err(|error| Failure::usage(error.message()));
        Ok(Batch {
            x: arena(x.batch_bytes(count))?,
            y: arena(y.batch_bytes(count))?,
            x_shape: x.batch_shape(count),
            y_shape: y.batch_shape(count),
        })
    }

    fn fill<'b>(
        &'b mut self,
        (x, y): &(Samples, Samples),
        order: &[usize],
    ) -> Result<(TensorView<'b>, TensorView<'b>), Failure> {
        x.fill(order, &mut self.x);
        y.fill(order, &mut self.y);
        let wrong = |error: crate::emit::jit::SessionError| Failure::usage(error.to_string());
        let input = TensorView::new(x.dtype(), &self.x_shape, &self.x[..x.batch_bytes(order.len())]);
        let target = TensorView::new(y.dtype(), &self.y_shape, &self.y[..y.batch_bytes(order.len())]);
        Ok((input.map_err(wrong)?, target.map_err(wrong)?))
    }
}

/// The log, if one is asked for.
struct Log(Option<OutputFile>);

impl Log {
    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut text = serde_json::to_string(line).map_err(|error| Failure::usage(error.to_string()))?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
    }
}

impl Course {
    pub(super) fn run(self, data: &Data) -> Outcome {
        let samples = data.train.0.len();
        let per_epoch = (samples / self.batch) as u64;
        let total = self.length.steps(samples, self.batch);
        // Before the work, so that unwritable paths are noticed now.
        let mut log = Log(self.log.as_deref().map(output::create).transpose()?);
        let checkpoints = self.checkpoint.as_deref().map(Checkpoints::new).transpose()?;
        for path in [Some(&self.output), self.onnx.as_ref()].into_iter().flatten() {
            drop(output::create(path)?);
        }

        let mut trainer = Trainer::new(&self.bound.module, &self.options, self.compile.clone())?;
        if let Some(folder) = &self.resume {
            checkpoint::resume(folder, &mut trainer)?;
        }
        let mut step = trainer.steps()?;
        let mut curves = Curves::default();
        let mut batch = Batch::new(&data.train, self.batch)?;
        let mut validation = match &data.valid {
            Some(valid) => Some(Validation::new(&self, valid, &trainer.state_dict()?)?),
            None => None,
        };
        while step < total {
            let epoch = step / per_epoch;
            let order = shuffled(samples, self.seed, epoch);
            let end = total.min((epoch + 1) * per_epoch);
            let bar = progress(end - epoch * per_epoch);
            let mut mean = Mean::default();
            while step < end {
                let within = step - epoch * per_epoch;
                let chosen = &order[within as usize * self.batch..][..self.batch];
                let (x, y) = batch.fill(&data.train, chosen)?;
                let report = trainer.step(&[x], y)?;
                step += 1;
                if !report.loss.is_finite() {
                    let reason = format!(
                        "the loss is {} in step {step} (epoch {}): a smaller --lr or --clip-norm may help",
                        report.loss,
                        epoch + 1
                    );
                    return Err(Error::bad_input(Place::new("training"), reason).into());
                }
                mean.add(report, self.batch);
                let accuracy = report.correct.map(|correct| correct as f64 / self.batch as f64);
                log.write(&Line::Step { step, epoch: epoch + 1, loss: report.loss, accuracy })?;
                curves.loss.push((step as f64, report.loss));
                bar.set_position(within + 1);
                bar.set_message(mean.summary());
            }
            bar.finish_and_clear();
            let mut line = format!("epoch {}: {}", epoch + 1, mean.summary());
            if let Some(validation) = &mut validation {
                let mean = validation.run(&trainer.state_dict()?)?;
                line = format!("{line}; validation {}", mean.summary());
                log.write(&Line::Validation {
                    step,
                    epoch: epoch + 1,
                    loss: mean.loss(),
                    accuracy: mean.accuracy(),
                })?;
                curves.valid_loss.push((step as f64, mean.loss()));
            }
            println!("{line}");
            if let Some(checkpoints) = &checkpoints {
                checkpoints.save(&mut trainer)?;
            }
        }
        let states = trainer.state_dict()?;
        checkpoint::write_tensors(&self.output, &states)?;
        if let Some(onnx) = &self.onnx {
            self.loaded.write_onnx(&states, onnx)?;
        }
        if let Some(file) = log.0 {
            file.commit().map_err(|error| Failure::output(&error))?;
        }
        match &self.plot {
            Some(path) => curves.write(path),
            None => Ok(()),
        }
    }
}

fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta})") {
        bar.set_style(style);
    }
    bar
}

/// Evaluation on samples that are not trained on: full batches, then one of what remains.
struct Validation<'d> {
    data: &'d (Samples, Samples),
    parts: Vec<(Evaluator, Batch, usize)>,
}

impl<'d> Validation<'d> {
    fn new(
        course: &Course,
        data: &'d (Samples, Samples),
        states: &[(Arc<str>, Tensor)],
    ) -> Result<Validation<'d>, Failure> {
        let loaded = course.loaded.clone().with_batch_norm(BatchNorm::Running);
        let (count, batch) = (data.0.len(), course.batch);
        let mut parts = Vec::new();
        for size in [batch, count % batch] {
            let needed = size > 0 && (size != batch || count >= batch);
            if needed {
                let shape = input_shape(&loaded, size)?;
                let name = loaded.input_names()?.swap_remove(0);
                let module = loaded.module_for(&[(name, shape)].into())?.module;
                let own =
                    |name: &Arc<str>| module.functions.iter().any(|function| function.states.contains(name));
                let is_state = |constant: &Constant| {
                    !own(&constant.name) && states.iter().any(|(name, _)| *name == constant.name)
                };
                let trained = module.constants.iter().filter(|(_, constant)| is_state(constant));
                let trainable = trained.map(|(id, _)| id).collect();
                let options = StepOptions { trainable, ..course.options.clone() };
                let evaluator = Evaluator::new(&module, &options, course.compile.clone())?;
                parts.push((evaluator, Batch::new(data, size)?, size));
            }
        }
        Ok(Validation { data, parts })
    }

    fn run(&mut self, states: &[(Arc<str>, Tensor)]) -> Result<Mean, Failure> {
        let order: Vec<usize> = (0..self.data.0.len()).collect();
        let mut mean = Mean::default();
        let mut rest = order.as_slice();
        for (evaluator, batch, size) in &mut self.parts {
            evaluator.set_states(states)?;
            while let Some((chosen, others)) = rest.split_at_checked(*size) {
                let (x, y) = batch.fill(self.data, chosen)?;
                mean.add(evaluator.evaluate(&[x], y)?, *size);
                rest = others;
            }
        }
        Ok(mean)
    }
}
