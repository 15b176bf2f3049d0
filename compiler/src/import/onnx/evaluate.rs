//! Computes values that depend on nothing but constants, where a handler needs to know them.

use graven_ir::interp::{Interpreter, Limits, SymbolValues};
use graven_ir::{Graph, GraphBuilder, NodeId, Op, Tensor, ValueId};
use rustc_hash::FxHashMap;

/// Larger computations are left to the constant-folding pass.
const MAX_NODES: usize = 1024;
/// Elements of any tensor on the way.
const MAX_ELEMENTS: i64 = 1 << 16;
/// Steps of the interpreter.
const MAX_STEPS: u64 = 1 << 24;

/// The value of a tensor that depends on small constants only.
pub(super) fn evaluate_constant(builder: &GraphBuilder<'_>, value: ValueId) -> Option<Tensor> {
    if let Some(tensor) = builder.constant_value(value) {
        return Some(tensor.clone());
    }
    let order = ancestors(builder, value)?;
    let graph = builder.graph();
    let mut extracted = Graph::new();
    let mut values: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    for id in order {
        let node = graph.node(id);
        let operands: Option<Vec<ValueId>> =
            node.operands.iter().map(|operand| values.get(operand).copied()).collect();
        let copy =
            extracted.add_node(builder.constants(), node.op.clone(), &operands?, Vec::new(), None).ok()?;
        values.extend(node.results.iter().copied().zip(extracted.node(copy).results.iter().copied()));
    }
    extracted.set_results(vec![*values.get(&value)?]);
    let limits = Limits { elements: MAX_ELEMENTS as u64, steps: MAX_STEPS };
    let interpreter = Interpreter::new(builder.constants()).with_limits(limits);
    let results = interpreter.graph(&extracted, &[], &SymbolValues::new());
    results.ok()?.into_iter().next()
}

/// The nodes that `value` depends on, operands first, if all of them are cheap and none depends on a parameter or a symbol.
fn ancestors(builder: &GraphBuilder<'_>, value: ValueId) -> Option<Vec<NodeId>> {
    let graph = builder.graph();
    let mut done: FxHashMap<NodeId, ()> = FxHashMap::default();
    let mut order = Vec::new();
    let mut stack = vec![(graph.defining_node(value)?, false)];
    while let Some((id, finished)) = stack.pop() {
        if finished {
            order.push(id);
            continue;
        }
        if done.insert(id, ()).is_some() {
            continue;
        }
        let node = graph.node(id);
        let is_plain = node.regions.is_empty() && node.op.is_pure() && !matches!(node.op, Op::Extent { .. });
        let is_small = node.results.iter().all(|result| {
            let ty = graph.ty(*result);
            ty.const_shape().is_some()
                && ty.checked_upper_elements().is_some_and(|count| count <= MAX_ELEMENTS)
        });
        if !is_plain || !is_small || done.len() > MAX_NODES {
            return None;
        }
        stack.push((id, true));
        for operand in &node.operands {
            stack.push((graph.defining_node(*operand)?, false));
        }
    }
    Some(order)
}
