//! Constant folding with the interpreter.
//!
//! Before: `%1 = constant 2.0; %2 = constant 3.0; %3 = add %1, %2`. After: `%3 = constant 5.0`. Only nodes whose operands and results are
//! small are interpreted; reshapes of constants of any size are folded, since they cost nothing. Functions of elements and movement of larger constants
//! become [deferred](graven_ir::deferred) tensors: nothing is computed until the weights are written, then in pieces, so that neither a slow evaluation
//! nor a second copy of the weights is needed. Only what does not make the weights larger is deferred: a mask made of two vectors is
//! computed by the kernels.

use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::deferred::is_deferrable;
use graven_ir::interp::{Interpreter, Limits, SymbolValues};
use graven_ir::{Category, Constants, Graph, GraphBuilder, Node, Op, Tensor, ValueId};
use smallvec::SmallVec;

/// The largest number of elements of an operand or result that is folded.
pub const FOLDED_ELEMENTS: i64 = 64 * 1024;

/// The most steps of the interpreter that folding one node takes.
const FOLDED_STEPS: u64 = 1 << 24;

/// The graph with nodes of constant operands evaluated.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    rewrite(context.constants, graph, &mut |builder, site| match fold(builder, site.node, site.operands)? {
        Some(results) => Ok(Some(results)),
        None => match defer(builder, site.node, site.operands)? {
            Some(result) => Ok(Some(SmallVec::from_elem(result, 1))),
            None => repeated_weights(builder, site.node, site.operands),
        },
    })
}

/// The result of an op on constants as a deferred tensor, unless it is larger than they are.
fn defer(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    if operands.is_empty() || !is_deferrable(&node.op) || matches!(node.op, Op::Broadcast { .. }) {
        return Ok(None);
    }
    let stored = operands.iter().filter_map(|operand| builder.constant_value(*operand)).map(Tensor::len);
    let largest: usize = stored.sum();
    let tensors: Option<Vec<Tensor>> =
        operands.iter().map(|operand| known_lazily(builder, *operand)).collect();
    let Some(tensors) = tensors else { return Ok(None) };
    let Ok(result) = Tensor::deferred(node.op.clone(), &tensors) else { return Ok(None) };
    match result.len() <= largest {
        true => Ok(Some(builder.constant(result)?)),
        false => Ok(None),
    }
}

/// The tensor of a constant or of a broadcast of one, of any size.
fn known_lazily(builder: &GraphBuilder, value: ValueId) -> Option<Tensor> {
    if let Some(tensor) = builder.constant_value(value) {
        return Some(tensor.clone());
    }
    let graph = builder.graph();
    let node = graph.node(graph.defining_node(value)?);
    match node.op {
        Op::Broadcast { .. } => {
            let source = known_lazily(builder, node.operands[0])?;
            Tensor::deferred(node.op.clone(), &[source]).ok()
        }
        _ => None,
    }
}

/// Weights that are one element, or few, repeated: contractions want them in memory, in the order of their loops.
fn repeated_weights(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<super::rewrite::Replacement, PassError> {
    let ([x, weights], Op::Conv { .. } | Op::DotGeneral { .. }) = (operands, &node.op) else {
        return Ok(None);
    };
    if builder.constant_value(*weights).is_some() {
        return Ok(None);
    }
    match known_lazily(builder, *weights) {
        Some(tensor) => {
            let weights = builder.constant(tensor)?;
            Ok(Some(builder.results(node.op.clone(), &[*x, weights])?))
        }
        None => Ok(None),
    }
}

fn fold(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<super::rewrite::Replacement, PassError> {
    let expands = matches!(node.op, Op::Broadcast { .. } | Op::Iota { .. });
    if !node.regions.is_empty()
        || !node.op.is_pure()
        || expands
        || matches!(node.op, Op::Constant { .. } | Op::RandomBits { .. })
    {
        return Ok(None);
    }
    let tensors: Option<Vec<Tensor>> = operands.iter().map(|operand| known(builder, *operand)).collect();
    let Some(tensors) = tensors else { return Ok(None) };
    if let (Op::Reshape { shape }, [tensor]) = (&node.op, tensors.as_slice()) {
        let shape: Option<Vec<usize>> =
            shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect();
        let Some(folded) = shape.and_then(|shape| tensor.reshaped(shape).ok()) else { return Ok(None) };
        return Ok(Some(SmallVec::from_elem(builder.constant(folded)?, 1)));
    }
    let small =
        |value: &ValueId| builder.ty(*value).elements().as_const().is_some_and(|n| n <= FOLDED_ELEMENTS);
    if !operands.iter().all(small) || tensors.is_empty() && node.op.category() != Category::Leaf {
        return Ok(None);
    }
    // A data error, such as an index out of range, is left for the run to report.
    let Some(values) = evaluate(&node.op, &tensors) else { return Ok(None) };
    if values.iter().any(|tensor| tensor.len() as i64 > FOLDED_ELEMENTS) {
        return Ok(None);
    }
    let mut results = SmallVec::new();
    for value in values {
        results.push(builder.constant(value)?);
    }
    Ok(Some(results))
}

/// The results, unless they are large, take long or are an error.
fn evaluate(op: &Op, operands: &[Tensor]) -> Option<Vec<Tensor>> {
    let limits = Limits { elements: 4 * FOLDED_ELEMENTS as u64, steps: FOLDED_STEPS };
    let none = Constants::new();
    Interpreter::new(&none).with_limits(limits).op(op, operands, &[], &SymbolValues::new()).ok()
}

/// The tensor of a constant, or of a small broadcast or counter of constants, which stay unfolded for the sake of the kernels.
pub(super) fn known(builder: &GraphBuilder, value: ValueId) -> Option<Tensor> {
    if let Some(tensor) = builder.constant_value(value) {
        return Some(tensor.clone());
    }
    let graph = builder.graph();
    let node = graph.node(graph.defining_node(value)?);
    let small = graph.ty(value).elements().as_const().is_some_and(|n| n <= FOLDED_ELEMENTS);
    if !small || !matches!(node.op, Op::Broadcast { .. } | Op::Iota { .. }) {
        return None;
    }
    let operands: Option<Vec<Tensor>> =
        node.operands.iter().map(|operand| known(builder, *operand)).collect();
    evaluate(&node.op, &operands?)?.into_iter().next()
}
