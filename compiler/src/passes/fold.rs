//! Constant folding with the interpreter.
//!
//! Before: `%1 = constant 2.0; %2 = constant 3.0; %3 = add %1, %2`. After: `%3 = constant 5.0`. Only nodes whose operands and results are
//! small are folded; reshapes of constants of any size are, since they cost nothing.

use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::interp::{Interpreter, Limits, SymbolValues};
use graven_ir::{Category, Constants, Graph, GraphBuilder, Node, Op, Tensor, ValueId};
use smallvec::SmallVec;

/// The largest number of elements of an operand or result that is folded.
pub const FOLDED_ELEMENTS: i64 = 64 * 1024;

/// The most steps of the interpreter that folding one node takes.
const FOLDED_STEPS: u64 = 1 << 24;

/// The graph with nodes of constant operands evaluated.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    rewrite(context.constants, graph, &mut |builder, node, operands| fold(builder, node, operands))
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
fn known(builder: &GraphBuilder, value: ValueId) -> Option<Tensor> {
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
