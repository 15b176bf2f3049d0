//! What a train step and an evaluation have in common: parameters of the graph, the score.

use super::step::State;
use super::{StepOptions, weights};
use crate::autograd::GradError;
use graven_ir::infer::InferError;
use graven_ir::{CompareOp, DType, Function, Graph, GraphBuilder, Op, ReduceOp, TensorType, ValueId};
use std::sync::Arc;

/// The first parameters of a step's graph.
pub(super) struct Signature {
    /// The model's inputs.
    inputs: Vec<ValueId>,
    /// The targets, unless the model computes its loss.
    target: Option<ValueId>,
    /// The parameters.
    pub(super) weights: Vec<ValueId>,
    /// The model's own states.
    pub(super) states: Vec<ValueId>,
}

/// What a step reports, and the new values of the model's own states.
pub(super) struct Score {
    /// Loss and, for losses over classes, right predictions.
    pub(super) outputs: Vec<ValueId>,
    /// Their names.
    pub(super) names: Vec<Arc<str>>,
    pub(super) states: Vec<ValueId>,
}

impl Signature {
    pub(super) fn new(
        b: &mut GraphBuilder<'_>,
        forward: &Function,
        options: &StepOptions,
        parameters: &[State],
        model_states: &[State],
    ) -> Result<Signature, GradError> {
        let graph = &forward.graph;
        let mut inputs = Vec::with_capacity(forward.inputs.len());
        for param in graph.params().iter().take(forward.inputs.len()) {
            inputs.push(b.param(graph.ty(*param).clone(), graph.value(*param).name.as_deref()));
        }
        let missing = || GradError::Usage(format!("the model has no output {}", options.prediction));
        let mut outputs = graph.results().iter().take(forward.outputs.len());
        let prediction = *outputs.nth(options.prediction).ok_or_else(missing)?;
        let target = options
            .loss
            .has_target()
            .then(|| b.param(target_type(graph.ty(prediction), options), Some("target")));
        let mut state = |state: &State| b.param(state.initial.ty(), Some(&state.name));
        let weights = parameters.iter().map(&mut state).collect();
        let states = model_states.iter().map(&mut state).collect();
        Ok(Signature { inputs, target, weights, states })
    }

    /// The loss and what belongs to it.
    pub(super) fn score(
        &self,
        b: &mut GraphBuilder<'_>,
        graph: &Graph,
        options: &StepOptions,
    ) -> Result<Score, GradError> {
        let replaced = options.trainable.iter().copied().zip(self.weights.iter().copied()).collect();
        let params: Vec<ValueId> = self.inputs.iter().chain(&self.states).copied().collect();
        let mut results = weights::inline(b, graph, &params, &replaced)?;
        let states = results.split_off(results.len() - self.states.len());
        let prediction = results[options.prediction];
        let mut names: Vec<Arc<str>> = vec!["loss".into()];
        let Some(target) = self.target else { return Ok(Score { outputs: vec![prediction], names, states }) };
        let loss = options.loss.build(b, prediction, target);
        let mut outputs = vec![loss.map_err(|error| GradError::Usage(error.reason))?];
        if options.loss.has_classes() {
            outputs.push(right_predictions(b, prediction, target)?);
            names.push("correct".into());
        }
        Ok(Score { outputs, names, states })
    }
}

/// Names of the inputs: the model's, then the targets if there are some.
pub(super) fn inputs(forward: &Function, options: &StepOptions) -> Vec<Arc<str>> {
    let target = options.loss.has_target().then(|| "target".into());
    forward.inputs.iter().cloned().chain(target).collect()
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
