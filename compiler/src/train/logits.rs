//! What a loss takes from a model that ends with a softmax or a sigmoid.

use super::Loss;
use crate::autograd::GradError;
use graven_ir::{Function, Node, Op, UnaryOp};

/// The function with the operand of a last softmax (sigmoid) in the place of its result `output` where the loss holds it itself: cross-entropy
/// that of logits, from which it is computed without overflow.
///
/// # Errors
/// [`GradError::Usage`] for a last op that does not fit the loss.
pub(super) fn for_loss(forward: &Function, output: usize, loss: Loss) -> Result<Function, GradError> {
    let graph = &forward.graph;
    let result = graph.results().get(output);
    let Some(node) = result.and_then(|result| graph.defining_node(*result)) else {
        return Ok(forward.clone());
    };
    let node = graph.node(node);
    if !is_part_of(loss, node, forward.outputs.get(output).map_or("", |name| name))? {
        return Ok(forward.clone());
    }
    let mut results = graph.results().to_vec();
    results[output] = node.operands[0];
    let mut graph = graph.clone();
    graph.set_results(results);
    graph.compact();
    Ok(Function { graph, ..forward.clone() })
}

/// Whether the loss holds what the node does.
fn is_part_of(loss: Loss, node: &Node, output: &str) -> Result<bool, GradError> {
    let wrong = |what: &str, takes: &str| {
        Err(GradError::Usage(format!("output `{output}` is {what}, but {} takes {takes}", loss.name())))
    };
    match (loss, &node.op) {
        (Loss::CrossEntropy, Op::Softmax { axis: 1 } | Op::LogSoftmax { axis: 1 }) => Ok(true),
        (Loss::CrossEntropy, Op::Softmax { axis } | Op::LogSoftmax { axis }) => {
            wrong(&format!("a softmax over dimension {axis}"), "classes in dimension 1")
        }
        (Loss::NegativeLogLikelihood | Loss::KlDivergence, Op::Softmax { .. }) => {
            wrong("a softmax", "logarithms of probabilities; cross-entropy fits a softmax")
        }
        (Loss::BinaryCrossEntropyWithLogits, Op::Unary(UnaryOp::Sigmoid)) => Ok(true),
        _ => Ok(false),
    }
}
