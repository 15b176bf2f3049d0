//! `graven train`.
//!
//! * `data`: samples in files
//! * `rules`: optimisers and schedules in words
//! * `course`: the loop over epochs and batches
//! * `checkpoint`: states in files
//! * `plot`: the learning curve

mod checkpoint;
mod course;
mod data;
mod plot;
mod rules;

use super::arguments::{BackendName, ModelArguments, parse_bytes};
use super::failure::{Failure, Outcome};
use super::model::load;
use crate::api::{LoadedModel, Options};
use crate::train::{Clip, Loss, StepOptions, trainable};
use course::{Course, Data, Length};
use graven_ir::{ConstantId, DType, Module};
use rules::{OptimizerName, ScheduleName, parse_schedule};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Loss: mse, mae, cross-entropy, nll, bce, bce-with-logits, kl-div
    #[arg(long, value_name = "NAME")]
    loss: Loss,
    /// The output that the loss sees; the first one if not given
    #[arg(long, value_name = "NAME")]
    loss_input: Option<String>,
    /// Update rule
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: OptimizerName,
    /// Learning rate; 0.01 for gradient descent and Adagrad, 0.001 for the others if not given
    #[arg(long, value_name = "V")]
    lr: Option<f64>,
    /// Momentum of sgd, momentum, nesterov and rmsprop
    #[arg(long, value_name = "V")]
    momentum: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "V")]
    weight_decay: Option<f64>,
    /// How the learning rate changes: constant, step:EVERY:GAMMA, exponential:EVERY:GAMMA, cosine[:MINIMUM], warmup:STEPS,…
    #[arg(long, value_name = "SCHEDULE", value_parser = parse_schedule, default_value = "constant")]
    schedule: ScheduleName,
    /// Scale gradients down to this norm
    #[arg(long, value_name = "V", conflicts_with = "clip_value")]
    clip_norm: Option<f64>,
    /// Limit each element of the gradients
    #[arg(long, value_name = "V")]
    clip_value: Option<f64>,
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
    /// Train only parameters whose names match
    #[arg(long, value_name = "GLOB")]
    trainable: Vec<glob::Pattern>,
    /// Leave parameters as they are whose names match
    #[arg(long, value_name = "GLOB")]
    freeze: Vec<glob::Pattern>,
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
        let loaded = load(&self.model.model, options.clone())?;
        let first = data::read(&self.train_x)?;
        let samples = first.shape()[0];
        let batch = self.batch;
        if !(1..=samples).contains(&batch) {
            let reason = format!("--batch {batch}: `{}` has {samples} samples", self.train_x.display());
            return Err(Failure::usage(reason));
        }
        let bound = Bound::new(&loaded, batch)?;
        let steps = self.step_options(&bound.module)?;
        let data = self.data(&bound, &steps, first)?;
        let course = Course {
            bound,
            loaded,
            compile: Options { max_arena: self.train_memory, ..options },
            options: steps,
            batch,
            length: match (self.epochs, self.steps) {
                (_, Some(steps)) => Length::Steps(steps),
                (epochs, None) => Length::Epochs(epochs.unwrap_or(1)),
            },
            schedule: self.schedule,
            seed: self.seed,
            log: self.log,
            plot: self.plot,
            checkpoint: self.checkpoint,
            resume: self.resume,
            output: self.output,
        };
        course.run(&data)
    }

    fn step_options(&self, module: &Module) -> Result<StepOptions, Failure> {
        let trained = self.trained(module)?;
        let outputs = module.functions.first().map_or(&[][..], |function| &function.outputs);
        let prediction = match &self.loss_input {
            None => 0,
            Some(name) => outputs.iter().position(|output| **output == **name).ok_or_else(|| {
                let known = outputs.join(", ");
                Failure::usage(format!("--loss-input {name}: the model has no such output; it has {known}"))
            })?,
        };
        let clip = self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value));
        Ok(StepOptions {
            prediction,
            optimizer: self.optimizer.rule(self.momentum, self.weight_decay),
            learning_rate: self.lr.unwrap_or_else(|| self.optimizer.learning_rate()),
            clip,
            seed: self.seed,
            ..StepOptions::new(self.loss, trained)
        })
    }

    /// The parameters that `--trainable` and `--freeze` leave.
    fn trained(&self, module: &Module) -> Result<Vec<ConstantId>, Failure> {
        let all = trainable(module);
        let name = |id: &ConstantId| &*module.constants[*id].name;
        for pattern in self.trainable.iter().chain(&self.freeze) {
            if !all.iter().any(|id| pattern.matches(name(id))) {
                let known: Vec<&str> = all.iter().map(name).collect();
                return Err(Failure::usage(format!(
                    "no parameter matches `{pattern}`; there are {}",
                    known.join(", ")
                )));
            }
        }
        let chosen =
            |id: &ConstantId| self.trainable.is_empty() || self.trainable.iter().any(|p| p.matches(name(id)));
        let frozen = |id: &ConstantId| self.freeze.iter().any(|pattern| pattern.matches(name(id)));
        let left: Vec<ConstantId> = all.into_iter().filter(|id| chosen(id) && !frozen(id)).collect();
        match left.is_empty() {
            true => Err(Failure::usage("the model has no parameter to train: no float initialiser is left")),
            false => Ok(left),
        }
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

/// A model for batches of one size.
pub(super) struct Bound {
    module: Module,
    dtype: DType,
    /// The shape of one sample.
    shape: Vec<usize>,
}

impl Bound {
    /// The model with its only input's first extent set to `batch`.
    fn new(loaded: &LoadedModel, batch: usize) -> Result<Bound, Failure> {
        let names = loaded.input_names()?;
        let [name] = &names[..] else {
            return Err(Failure::usage(format!(
                "a model to train must have one input; this has {}",
                names.join(", ")
            )));
        };
        let shape = input_shape(loaded, batch)?;
        let shapes: BTreeMap<String, Vec<usize>> = [(name.clone(), shape)].into();
        let module = loaded.module_for(&shapes)?.module;
        let function = module.functions.first().ok_or_else(|| Failure::usage("the model has no function"))?;
        let ty = function.graph.ty(function.graph.params()[0]).clone();
        match ty.const_shape() {
            Some(shape) if shape.first() == Some(&batch) => {
                Ok(Bound { dtype: ty.dtype, shape: shape[1..].to_vec(), module })
            }
            _ => Err(Failure::usage(format!(
                "--batch {batch}: the model's input `{name}` is {ty}; its first extent must be the batch"
            ))),
        }
    }

    /// Dtype and shape of one target.
    fn target(&self, options: &StepOptions) -> Result<(DType, Vec<usize>), Failure> {
        let missing = || Failure::usage("the model has no output");
        let function = self.module.functions.first().ok_or_else(missing)?;
        let output = function.graph.results().get(options.prediction).ok_or_else(missing)?;
        let shape = function.graph.ty(*output).const_shape().unwrap_or_default();
        let skipped = if options.loss.has_classes() { 2 } else { 1 };
        let dtype =
            if options.loss.has_classes() { options.target_dtype } else { function.graph.ty(*output).dtype };
        Ok((dtype, shape.get(skipped..).unwrap_or(&[]).to_vec()))
    }
}

/// The input's shape with `batch` as its first extent.
fn input_shape(loaded: &LoadedModel, batch: usize) -> Result<Vec<usize>, Failure> {
    let unknown = || {
        Failure::usage("the extents of the model's input behind the first must be known; give --dim NAME=V")
    };
    let rest: Vec<usize> = match loaded.describe()? {
        Some(info) => {
            let shape = info.inputs.first().and_then(|input| input.shape.clone()).ok_or_else(unknown)?;
            shape
                .iter()
                .skip(1)
                .map(|extent| extent.parse().map_err(|_| unknown()))
                .collect::<Result<_, _>>()?
        }
        None => {
            let module = loaded.module()?.module;
            let function = module.functions.first().ok_or_else(unknown)?;
            let ty = function.graph.ty(function.graph.params()[0]);
            let extent =
                |dim: &graven_ir::Dim| dim.as_const().and_then(|extent| usize::try_from(extent).ok());
            ty.shape.iter().skip(1).map(|dim| extent(dim).ok_or_else(unknown)).collect::<Result<_, _>>()?
        }
    };
    Ok(std::iter::once(batch).chain(rest).collect())
}
