//! What a train step does, in words, and the model that it is made of.

use super::super::failure::Failure;
use super::rules::{OptimizerName, ScheduleName, parse_schedule};
use crate::api::LoadedModel;
use crate::import::{BatchNorm, Imported};
use crate::train::{Clip, Loss, Schedule, StepOptions, trainable};
use clap::ValueEnum;
use graven_ir::{ConstantId, DType, Module};
use std::collections::{BTreeMap, BTreeSet};

const HEADING: &str = "Train step";

/// Loss, update and what is trained.
#[derive(clap::Args)]
pub(in crate::cli) struct StepArguments {
    /// Loss: mse, mae, cross-entropy, nll, bce, bce-with-logits, kl-div. Cross-entropy is that of logits; a softmax before it becomes part of it
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    loss: Option<Loss>,
    /// The output that the loss sees; the first one if not given
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    loss_input: Option<String>,
    /// Update rule
    #[arg(long, help_heading = HEADING, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// Learning rate; 0.01 for gradient descent and Adagrad, 0.001 for the others if not given
    #[arg(long, help_heading = HEADING, value_name = "V")]
    lr: Option<f64>,
    /// Momentum of sgd, momentum, nesterov and rmsprop
    #[arg(long, help_heading = HEADING, value_name = "V")]
    momentum: Option<f64>,
    /// Weight decay
    #[arg(long, help_heading = HEADING, value_name = "V")]
    weight_decay: Option<f64>,
    /// How the learning rate changes: constant if not given, step:EVERY:GAMMA, exponential:EVERY:GAMMA, cosine[:MINIMUM], warmup:STEPS,…
    #[arg(long, help_heading = HEADING, value_name = "SCHEDULE", value_parser = parse_schedule)]
    schedule: Option<ScheduleName>,
    /// Scale gradients down to this norm
    #[arg(long, help_heading = HEADING, value_name = "V", conflicts_with = "clip_value")]
    clip_norm: Option<f64>,
    /// Limit each element of the gradients
    #[arg(long, help_heading = HEADING, value_name = "V")]
    clip_value: Option<f64>,
    /// Train only parameters whose names match
    #[arg(long, help_heading = HEADING, value_name = "GLOB")]
    trainable: Vec<glob::Pattern>,
    /// Leave parameters as they are whose names match
    #[arg(long, help_heading = HEADING, value_name = "GLOB")]
    freeze: Vec<glob::Pattern>,
    /// Statistics of batch normalisation in training; validation always uses the running ones; batch if not given
    #[arg(long, help_heading = HEADING, value_enum, value_name = "MODE")]
    bn: Option<BatchNormName>,
}

/// What batch normalisation does in training.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BatchNormName {
    /// Normalise by the batch and update the running statistics
    Batch,
    /// Normalise by the running statistics and leave them as they are
    Frozen,
}

impl From<BatchNormName> for BatchNorm {
    fn from(name: BatchNormName) -> BatchNorm {
        match name {
            BatchNormName::Batch => BatchNorm::Batch,
            BatchNormName::Frozen => BatchNorm::Running,
        }
    }
}

impl StepArguments {
    /// Which statistics batch normalisation uses in training.
    pub(in crate::cli) fn batch_norm(&self) -> BatchNorm {
        self.bn.unwrap_or(BatchNormName::Batch).into()
    }

    /// Whether the schedule depends on the number of steps.
    pub(in crate::cli) fn needs_length(&self) -> bool {
        self.schedule.as_ref().is_some_and(ScheduleName::needs_length)
    }

    /// The step for a model, with a schedule over so many steps.
    pub(in crate::cli) fn options(
        &self,
        bound: &Bound,
        steps: u64,
        seed: u64,
    ) -> Result<StepOptions, Failure> {
        let missing = |flag: &str| Failure::usage(format!("{flag} NAME is missing; see --help"));
        let loss = self.loss.ok_or_else(|| missing("--loss"))?;
        let optimizer = self.optimizer.ok_or_else(|| missing("--optimizer"))?;
        let trained = self.trained(bound)?;
        let outputs = bound.module.functions.first().map_or(&[][..], |function| &function.outputs);
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
            optimizer: optimizer.rule(self.momentum, self.weight_decay),
            learning_rate: self.lr.unwrap_or_else(|| optimizer.learning_rate()),
            schedule: self.schedule.as_ref().map_or(Schedule::Constant, |schedule| schedule.over(steps)),
            clip,
            seed,
            ..StepOptions::new(loss, trained)
        })
    }

    /// The parameters that `--trainable` and `--freeze` leave.
    fn trained(&self, bound: &Bound) -> Result<Vec<ConstantId>, Failure> {
        let name = |id: &ConstantId| &*bound.module.constants[*id].name;
        let mut all = trainable(&bound.module);
        all.retain(|id| !bound.statistics.contains(name(id)));
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
}

/// A model for batches of one size.
pub(in crate::cli) struct Bound {
    pub(in crate::cli) module: Module,
    /// Names of running statistics.
    statistics: BTreeSet<String>,
    pub(super) dtype: DType,
    /// The shape of one sample.
    pub(super) shape: Vec<usize>,
}

impl Bound {
    /// The model with its only input's first extent set to `batch`.
    pub(in crate::cli) fn new(loaded: &LoadedModel, batch: usize) -> Result<Bound, Failure> {
        let names = loaded.input_names()?;
        let [name] = &names[..] else {
            return Err(Failure::usage(format!(
                "a model to train must have one input; this has {}",
                names.join(", ")
            )));
        };
        let shape = input_shape(loaded, batch)?;
        let shapes: BTreeMap<String, Vec<usize>> = [(name.clone(), shape)].into();
        let Imported { module, report } = loaded.module_for(&shapes)?;
        let function = module.functions.first().ok_or_else(|| Failure::usage("the model has no function"))?;
        let ty = function.graph.ty(function.graph.params()[0]).clone();
        match ty.const_shape() {
            Some(shape) if shape.first() == Some(&batch) => {
                let shape = shape[1..].to_vec();
                Ok(Bound { dtype: ty.dtype, shape, module, statistics: report.statistics })
            }
            _ => Err(Failure::usage(format!(
                "--batch {batch}: the model's input `{name}` is {ty}; its first extent must be the batch"
            ))),
        }
    }

    /// Dtype and shape of one target.
    pub(super) fn target(&self, options: &StepOptions) -> Result<(DType, Vec<usize>), Failure> {
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
pub(super) fn input_shape(loaded: &LoadedModel, batch: usize) -> Result<Vec<usize>, Failure> {
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
