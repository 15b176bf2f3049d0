//! The train step: one function from batch and states to loss and new states.
//!
//! Inputs are the model's, then the targets. States are, in this order, the parameters, the model's own states, the optimiser's moments and the number of
//! steps. Outputs are the loss and, for losses over classes, the number of right predictions.
//!
//! A model that behaves differently in training has a function [`TRAIN`] beside the one for evaluation, which comes first. What it keeps from step to
//! step, such as running statistics, are states there and constants of the same name in the other; the constants are the first values. The
//! state [`RANDOM_KEY`] begins with the seed of the options; states without constant begin with zeros.

use super::optimizer::Rate;
use super::random::{self, RANDOM_KEY};
use super::signature::{self, Signature};
use super::{Clip, Loss, Optimizer, Schedule, logits};
use crate::autograd::{GradError, grad, keep_for_gradient};
use graven_ir::infer::InferError;
use graven_ir::{
    BinaryOp, Constant, ConstantId, Constants, DType, Function, GraphBuilder, Module, Tensor, TensorType,
    ValueId,
};
use std::sync::Arc;

/// What a train step does.
#[derive(Clone, Debug)]
pub struct StepOptions {
    /// The loss.
    pub loss: Loss,
    /// Index of the model's output that the loss sees.
    pub prediction: usize,
    /// Element type of the targets.
    pub target_dtype: DType,
    /// The update rule.
    pub optimizer: Optimizer,
    /// The base learning rate.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Bounds on gradients.
    pub clip: Option<Clip>,
    /// The constants that become parameters; others stay constants, and no gradient is computed for them.
    pub trainable: Vec<ConstantId>,
    /// What the model's random numbers depend on.
    pub seed: u64,
}

impl StepOptions {
    /// Plain gradient descent at rate 0.1 on the first output, with class indices as i64 where the loss has classes and f32 otherwise.
    pub fn new(loss: Loss, trainable: Vec<ConstantId>) -> StepOptions {
        StepOptions {
            loss,
            prediction: 0,
            target_dtype: if loss.has_classes() { DType::I64 } else { DType::F32 },
            optimizer: Optimizer::SGD,
            learning_rate: 0.1,
            schedule: Schedule::Constant,
            clip: None,
            trainable,
            seed: 0,
        }
    }
}

/// Name of the function that stands for the model in training, where it is another than in evaluation.
pub const TRAIN: &str = "train";

/// The function of a model that is trained: [`TRAIN`], or else the first.
pub fn training_function(model: &Module) -> Option<&Function> {
    model.functions.iter().find(|function| function.name == TRAIN).or_else(|| model.functions.first())
}

/// The constants that a model trains if nothing else is said: all float ones with a name, but for those that stand for states in evaluation. An importer
/// says which others are statistics ([`ImportReport::statistics`](crate::import::ImportReport::statistics)).
pub fn trainable(model: &Module) -> Vec<ConstantId> {
    let states: Vec<&Arc<str>> = model.functions.iter().flat_map(|function| &function.states).collect();
    let is_parameter = |constant: &Constant| {
        !constant.name.is_empty() && constant.tensor.dtype().is_float() && !states.contains(&&constant.name)
    };
    model.constants.iter().filter(|(_, constant)| is_parameter(constant)).map(|(id, _)| id).collect()
}

/// A state of the train step.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Its name: the constant's, followed by the moment's for moments.
    pub name: Arc<str>,
    /// Its first value.
    pub initial: Tensor,
}

/// A train step.
#[derive(Clone, Debug)]
pub struct TrainStep {
    /// The function; its constants are in the model's module.
    pub function: Function,
    /// First values of its states, in order: parameters, the model's own states, moments, the number of steps.
    pub states: Vec<State>,
    /// Number of parameters.
    pub parameters: usize,
    /// Number of the model's own states.
    pub model_states: usize,
}

/// Name of the state that counts the steps: an i64 scalar.
pub const STEP: &str = "train.step";

/// The train step of a model's function. States of the function go on from step to step; a state's first value is the constant of its name, or zeros.
///
/// # Errors
/// [`GradError::Usage`] for options that do not fit the function; see [`GradError`].
pub fn train_step(
    constants: &mut Constants,
    forward: &Function,
    options: &StepOptions,
) -> Result<TrainStep, GradError> {
    if options.trainable.is_empty() {
        return Err(GradError::Usage("the model has no parameter to train".into()));
    }
    let forward = &logits::for_loss(forward, options.prediction, options.loss)?;
    let parameters = parameters(constants, options);
    let model_states = model_states(constants, forward, options)?;
    let graph = keep_for_gradient(constants, &forward.graph)?;
    let mut b = GraphBuilder::new(constants);
    let signature = Signature::new(&mut b, forward, options, &parameters, &model_states)?;
    let weights = signature.weights.clone();
    let counts = (parameters.len(), model_states.len());
    let mut states = parameters;
    states.extend(model_states);
    let mut moments = Vec::with_capacity(weights.len());
    for place in 0..weights.len() {
        let (ty, name) = (states[place].initial.ty(), states[place].name.clone());
        let mut own = Vec::new();
        for moment in options.optimizer.moments() {
            let name: Arc<str> = format!("{name}.{moment}").into();
            own.push(b.param(ty.clone(), Some(&name)));
            states.push(State { name, initial: zeros(&ty)? });
        }
        moments.push(own);
    }
    let counter = b.param(TensorType::scalar(DType::I64), Some(STEP));
    states.push(State { name: STEP.into(), initial: Tensor::scalar(DType::I64, 0.0) });

    let score = signature.score(&mut b, &graph, options)?;
    let mut gradients = grad(&mut b, score.outputs[0], &weights)?;
    if let Some(clip) = options.clip {
        gradients = clip.build(&mut b, &gradients)?;
    }
    let one = b.scalar(DType::I64, 1.0)?;
    let next = b.binary(BinaryOp::Add, counter, one)?;
    let rate = rate(&mut b, options, counter, next)?;
    let mut new_moments = Vec::new();
    let mut outputs = score.outputs;
    for ((weight, gradient), own) in weights.iter().zip(gradients).zip(&moments) {
        let mut updated = options.optimizer.update(&mut b, rate, [*weight, gradient], own)?;
        new_moments.extend(updated.split_off(1));
        outputs.extend(updated);
    }
    outputs.extend(score.states);
    outputs.extend(new_moments);
    outputs.push(next);

    let mut function = Function {
        name: "train_step".into(),
        graph: b.finish(outputs),
        inputs: signature::inputs(forward, options),
        outputs: score.names,
        states: states.iter().map(|state| state.name.clone()).collect(),
    };
    function.graph.compact();
    Ok(TrainStep { function, states, parameters: counts.0, model_states: counts.1 })
}

/// The function that computes loss and right predictions without an update. Its states are the parameters, the constants of the names in `kept`, which the
/// function for training has as states, and its own states; it leaves them as they are.
///
/// # Errors
/// Those of [`train_step`].
pub fn evaluation(
    constants: &mut Constants,
    forward: &Function,
    kept: &[Arc<str>],
    options: &StepOptions,
) -> Result<TrainStep, GradError> {
    let forward = &logits::for_loss(forward, options.prediction, options.loss)?;
    let is_kept = |constant: &Constant| {
        kept.contains(&constant.name) && !constant.name.is_empty() && !forward.states.contains(&constant.name)
    };
    let stand_ins = constants.iter().filter(|(_, constant)| is_kept(constant)).map(|(id, _)| id);
    let stand_ins: Vec<ConstantId> = stand_ins.filter(|id| !options.trainable.contains(id)).collect();
    let options = StepOptions {
        trainable: options.trainable.iter().copied().chain(stand_ins).collect(),
        ..options.clone()
    };
    let parameters = parameters(constants, &options);
    let own = model_states(constants, forward, &options)?;
    let mut b = GraphBuilder::new(constants);
    let signature = Signature::new(&mut b, forward, &options, &parameters, &own)?;
    let score = signature.score(&mut b, &forward.graph, &options)?;
    let mut outputs = score.outputs;
    outputs.extend(signature.weights.iter().chain(&signature.states));
    let (count, model_states) = (parameters.len(), own.len());
    let states: Vec<State> = parameters.into_iter().chain(own).collect();
    let mut function = Function {
        name: "evaluation".into(),
        graph: b.finish(outputs),
        inputs: signature::inputs(forward, &options),
        outputs: score.names,
        states: states.iter().map(|state| state.name.clone()).collect(),
    };
    function.graph.compact();
    Ok(TrainStep { function, parameters: count, model_states, states })
}

/// The trainable constants as states.
fn parameters(constants: &Constants, options: &StepOptions) -> Vec<State> {
    let state =
        |id: &ConstantId| State { name: constants[*id].name.clone(), initial: constants[*id].tensor.clone() };
    options.trainable.iter().map(state).collect()
}

/// The model's own states with their first values.
fn model_states(
    constants: &Constants,
    forward: &Function,
    options: &StepOptions,
) -> Result<Vec<State>, GradError> {
    let types =
        forward.graph.params().iter().skip(forward.inputs.len()).map(|param| forward.graph.ty(*param));
    let mut states = Vec::with_capacity(forward.states.len());
    for (name, ty) in forward.states.iter().zip(types) {
        let constant = constants.values().find(|constant| constant.name == *name);
        let initial = match constant {
            Some(constant) => constant.tensor.clone(),
            None if **name == *RANDOM_KEY => random::key(options.seed, random::FIRST_BLOCK),
            None => zeros(ty)?,
        };
        if initial.ty() != *ty {
            let reason = format!("the state `{name}` is {ty}, the constant of its name {}", initial.ty());
            return Err(GradError::Usage(reason));
        }
        states.push(State { name: name.clone(), initial });
    }
    Ok(states)
}

/// The module with the train step as its only function.
pub fn module_of(model: &Module, step: &TrainStep) -> Module {
    let mut function = step.function.clone();
    function.name = "main".into();
    Module { functions: vec![function], ..model.clone() }
}

/// η and t.
fn rate(
    b: &mut GraphBuilder<'_>,
    options: &StepOptions,
    counter: ValueId,
    next: ValueId,
) -> Result<Rate, InferError> {
    let factor = options.schedule.factor(b, counter)?;
    let learning_rate = b.binary_scalar(BinaryOp::Mul, factor, options.learning_rate)?;
    let step = b.cast(next, DType::F64)?;
    Ok(Rate { learning_rate, step })
}

fn zeros(ty: &TensorType) -> Result<Tensor, GradError> {
    let unsized_parameter = || GradError::Usage("a parameter's shape is not known".into());
    let shape = ty.const_shape().ok_or_else(unsized_parameter)?;
    let bytes = vec![0; ty.dtype.bytes() * shape.iter().product::<usize>()];
    Tensor::new(ty.dtype, shape, bytes).map_err(|error| GradError::Usage(error.to_string()))
}
