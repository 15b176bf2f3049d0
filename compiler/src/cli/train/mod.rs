//! `graven train`.
//!
//! * `data`: samples in files
//! * `rules`: optimisers and schedules in words
//! * `step`: what a step does, and the model for batches of one size
//! * `course`: the loop over epochs and batches
//! * `checkpoint`: states in files
//! * `plot`: the learning curve

mod checkpoint;
mod course;
mod data;
mod plot;
mod rules;
mod step;

use super::arguments::{BackendName, ModelArguments, parse_bytes};
use super::failure::{Failure, Outcome};
use super::model::load;
use crate::api::Options;
use crate::train::StepOptions;
use course::{Course, Data, Length};
use graven_ir::DType;
use std::path::PathBuf;
pub(super) use step::{Bound, StepArguments};

/// Train a model
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Inputs: npy, npz with one array, IDX or csv (the last two also with gzip), one sample per first index
    #[arg(long, value_name = "FILE")]
    train_x: PathBuf,
    /// Targets, one per sample
    #[arg(long, value_name = "FILE")]
    train_y: PathBuf,
    /// Inputs that are only evaluated, after each epoch
    #[arg(long, value_name = "FILE", requires = "valid_y")]
    valid_x: Option<PathBuf>,
    /// Targets of these
    #[arg(long, value_name = "FILE", requires = "valid_x")]
    valid_y: Option<PathBuf>,
    /// Factor of the inputs, such as 0.00392156862745098 for bytes
    #[arg(long, value_name = "F")]
    x_scale: Option<f64>,
    #[command(flatten)]
    step: StepArguments,
    /// How often to go through the samples
    #[arg(long, value_name = "N", conflicts_with = "steps", required_unless_present = "steps")]
    epochs: Option<u64>,
    /// Number of steps
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Samples per step; what remains of an epoch is left out
    #[arg(long, value_name = "N")]
    batch: usize,
    /// Seed of the order of the samples
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The most memory that a step may take for what it computes, in bytes or with a unit: 64MB. Where it would take more, values are computed twice
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    train_memory: Option<u64>,
    /// Write a line of JSON for each step and epoch
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Draw the losses, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Save all states here after each epoch and at the end
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Option<PathBuf>,
    /// Go on from the states that were saved here
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// What makes the code
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
    /// Also write the model with its new values as ONNX
    #[arg(long, value_name = "OUT.onnx")]
    onnx: Option<PathBuf>,
    /// The safetensors file of trained parameters to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        if let Some(plot) = self.plot.as_ref().filter(|plot| plot.extension().is_none_or(|end| end != "svg"))
        {
            return Err(Failure::file(plot, "curves are drawn as SVG: the name must end with .svg"));
        }
        let _limits = self.model.limits();
        let options = self.model.options(self.backend)?;
        let loaded = load(&self.model.model, options.clone())?.with_batch_norm(self.step.batch_norm());
        if let Some(onnx) = self.onnx.as_ref().filter(|_| !loaded.is_onnx()) {
            return Err(Failure::file(onnx, "can only be written where the model to train is an ONNX file"));
        }
        let first = data::read(&self.train_x)?;
        let samples = first.shape()[0];
        let batch = self.batch;
        if !(1..=samples).contains(&batch) {
            let reason = format!("--batch {batch}: `{}` has {samples} samples", self.train_x.display());
            return Err(Failure::usage(reason));
        }
        let bound = Bound::new(&loaded, batch)?;
        let length = match (self.epochs, self.steps) {
            (_, Some(steps)) => Length::Steps(steps),
            (epochs, None) => Length::Epochs(epochs.unwrap_or(1)),
        };
        let steps = self.step.options(&bound, length.steps(samples, batch), self.seed)?;
        let data = self.data(&bound, &steps, first)?;
        let course = Course {
            bound,
            loaded,
            compile: Options { max_arena: self.train_memory, ..options },
            options: steps,
            batch,
            length,
            seed: self.seed,
            log: self.log,
            plot: self.plot,
            checkpoint: self.checkpoint,
            resume: self.resume,
            output: self.output,
            onnx: self.onnx,
        };
        course.run(&data)
    }

    fn data(&self, bound: &Bound, options: &StepOptions, first: graven_ir::Tensor) -> Result<Data, Failure> {
        let target = bound.target(options)?;
        let samples = |path: &PathBuf,
                       array: &graven_ir::Tensor,
                       (dtype, shape): (DType, &[usize]),
                       scale| { data::Samples::new(path, array, dtype, shape, scale) };
        let input = (bound.dtype, bound.shape.as_slice());
        let train_x = samples(&self.train_x, &first, input, self.x_scale)?;
        let target_of =
            |path: &PathBuf| samples(path, &data::read(path)?, (target.0, target.1.as_slice()), None);
        let train_y = target_of(&self.train_y)?;
        equal_counts(&self.train_y, &train_x, &train_y)?;
        let valid = match (&self.valid_x, &self.valid_y) {
            (Some(x), Some(y)) => {
                let (inputs, targets) = (samples(x, &data::read(x)?, input, self.x_scale)?, target_of(y)?);
                equal_counts(y, &inputs, &targets)?;
                Some((inputs, targets))
            }
            _ => None,
        };
        Ok(Data { train: (train_x, train_y), valid })
    }
}

fn equal_counts(path: &std::path::Path, x: &data::Samples, y: &data::Samples) -> Result<(), Failure> {
    match x.len() == y.len() {
        true => Ok(()),
        false => Err(Failure::file(path, format!("has {} targets for {} inputs", y.len(), x.len()))),
    }
}
