//! The train step: one function from batch and states to loss and new states.
//!
//! Inputs are the model's, then the targets. States are the parameters, the optimiser's moments and the number of steps. Outputs are the loss and, for
//! losses over classes, the number of right predictions.

use super::optimizer::Rate;
use super::{Clip, Loss, Optimizer, Schedule, weights};
use crate::autograd::{GradError, grad, keep_for_gradient};
use graven_ir::infer::InferError;
use graven_ir::{
    BinaryOp, CompareOp, Constant, ConstantId, Constants, DType, Function, Graph, GraphBuilder, Module, Op,
    ReduceOp, Tensor, TensorType, ValueId,
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
        }
    }
}

/// The constants that a model trains if nothing else is said: all float ones with a name.
pub fn trainable(model: &Module) -> Vec<ConstantId> {
    let named_float = |constant: &Constant| !constant.name.is_empty() && constant.tensor.dtype().is_float();
    model.constants.iter().filter(|(_, constant)| named_float(constant)).map(|(id, _)| id).collect()
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
    /// First values of its states, in order: parameters, moments, the number of steps.
    pub states: Vec<State>,
    /// Number of parameters.
    pub parameters: usize,
}

/// Name of the state that counts the steps: an i64 scalar.
pub const STEP: &str = "train.step";

/// The train step of a model's function.
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
    if !forward.states.is_empty() {
        return Err(GradError::Usage("a model that has states itself can't be trained".into()));
    }
    let parameters = parameters(constants, options);
    let graph = keep_for_gradient(constants, &forward.graph)?;
    let mut b = GraphBuilder::new(constants);
    let signature = Signature::new(&mut b, &graph, options, &parameters)?;
    let weights = signature.weights.clone();
    let mut states = parameters;
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

    let (mut outputs, names) = signature.score(&mut b, &graph, options)?;
    let loss = outputs[0];
    let mut gradients = grad(&mut b, loss, &weights)?;
    if let Some(clip) = options.clip {
        gradients = clip.build(&mut b, &gradients)?;
    }
    let one = b.scalar(DType::I64, 1.0)?;
    let next = b.binary(BinaryOp::Add, counter, one)?;
    let rate = rate(&mut b, options, counter, next)?;
    let mut new_moments = Vec::new();
    for ((weight, gradient), own) in weights.iter().zip(gradients).zip(&moments) {
        let mut updated = options.optimizer.update(&mut b, rate, [*weight, gradient], own)?;
        new_moments.extend(updated.split_off(1));
        outputs.extend(updated);
    }
    outputs.extend(new_moments);
    outputs.push(next);

    let mut function = Function {
        name: "train_step".into(),
        graph: b.finish(outputs),
        inputs: inputs(forward),
        outputs: names,
        states: states.iter().map(|state| state.name.clone()).collect(),
    };
    function.graph.compact();
    Ok(TrainStep { function, states, parameters: options.trainable.len() })
}

/// The function that computes loss and right predictions without an update. Its states are the parameters, which it leaves as they are.
///
/// # Errors
/// Those of [`train_step`].
pub fn evaluation(
    constants: &mut Constants,
    forward: &Function,
    options: &StepOptions,
) -> Result<TrainStep, GradError> {
    let parameters = parameters(constants, options);
    let mut b = GraphBuilder::new(constants);
    let signature = Signature::new(&mut b, &forward.graph, options, &parameters)?;
    let (mut outputs, names) = signature.score(&mut b, &forward.graph, options)?;
    outputs.extend(&signature.weights);
    let mut function = Function {
        name: "evaluation".into(),
        graph: b.finish(outputs),
        inputs: inputs(forward),
        outputs: names,
        states: parameters.iter().map(|state| state.name.clone()).collect(),
    };
    function.graph.compact();
    Ok(TrainStep { function, parameters: parameters.len(), states: parameters })
}

/// The trainable constants as states.
fn parameters(constants: &Constants, options: &StepOptions) -> Vec<State> {
    let state =
        |id: &ConstantId| State { name: constants[*id].name.clone(), initial: constants[*id].tensor.clone() };
    options.trainable.iter().map(state).collect()
}

/// Names of the inputs: the model's, then the targets.
fn inputs(forward: &Function) -> Vec<Arc<str>> {
    forward.inputs.iter().cloned().chain(["target".into()]).collect()
}

/// The first parameters of a step's graph.
struct Signature {
    /// The model's inputs.
    inputs: Vec<ValueId>,
    target: ValueId,
    weights: Vec<ValueId>,
}

impl Signature {
    fn new(
        b: &mut GraphBuilder<'_>,
        graph: &Graph,
        options: &StepOptions,
        parameters: &[State],
    ) -> Result<Signature, GradError> {
        let mut inputs = Vec::with_capacity(graph.params().len());
        for param in graph.params() {
            inputs.push(b.param(graph.ty(*param).clone(), graph.value(*param).name.as_deref()));
        }
        let missing = || GradError::Usage(format!("the model has no output {}", options.prediction));
        let prediction = *graph.results().get(options.prediction).ok_or_else(missing)?;
        let target = b.param(target_type(graph.ty(prediction), options), Some("target"));
        let weights = parameters.iter().map(|state| b.param(state.initial.ty(), Some(&state.name))).collect();
        Ok(Signature { inputs, target, weights })
    }

    /// Loss and, for losses over classes, right predictions, with their names.
    fn score(
        &self,
        b: &mut GraphBuilder<'_>,
        graph: &Graph,
        options: &StepOptions,
    ) -> Result<(Vec<ValueId>, Vec<Arc<str>>), GradError> {
        let replaced = options.trainable.iter().copied().zip(self.weights.iter().copied()).collect();
        let results = weights::inline(b, graph, &self.inputs, &replaced)?;
        let prediction = results[options.prediction];
        let loss = options.loss.build(b, prediction, self.target);
        let mut outputs = vec![loss.map_err(|error| GradError::Usage(error.reason))?];
        let mut names: Vec<Arc<str>> = vec!["loss".into()];
        if options.loss.has_classes() {
            outputs.push(right_predictions(b, prediction, self.target)?);
            names.push("correct".into());
        }
        Ok((outputs, names))
    }
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

/// Class indices have the shape of the predictions without the classes; other targets have that of the predictions.
fn target_type(prediction: &TensorType, options: &StepOptions) -> TensorType {
    let mut shape = prediction.shape.clone();
    if options.loss.has_classes() && !options.target_dtype.is_float() && shape.len() > 1 {
        shape.remove(1);
    }
    TensorType { dtype: options.target_dtype, shape }
}

/// How often the largest of the class scores is the target's: an i64 scalar.
fn right_predictions(
    b: &mut GraphBuilder<'_>,
    prediction: ValueId,
    target: ValueId,
) -> Result<ValueId, InferError> {
    let largest = Op::ArgReduce { largest: true, axis: 1, last: false };
    let found = b.op(largest.clone(), &[prediction])?;
    let expected = match b.dtype(target).is_float() {
        true => b.op(largest, &[target])?,
        false => b.cast(target, DType::I64)?,
    };
    let right = b.compare(CompareOp::Eq, found, expected)?;
    let right = b.cast(right, DType::I64)?;
    let axes: Vec<usize> = (0..b.shape(right).len()).collect();
    b.reduce(ReduceOp::Sum, right, &axes, false)
}

fn zeros(ty: &TensorType) -> Result<Tensor, GradError> {
    let unsized_parameter = || GradError::Usage("a parameter's shape is not known".into());
    let shape = ty.const_shape().ok_or_else(unsized_parameter)?;
    let bytes = vec![0; ty.dtype.bytes() * shape.iter().product::<usize>()];
    Tensor::new(ty.dtype, shape, bytes).map_err(|error| GradError::Usage(error.to_string()))
}
