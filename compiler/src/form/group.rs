//! What becomes one kernel: a fusion group, or a node that is in none.

use super::FormError;
use graven_ir::{Category, Constants, Dim, FusionKind, Graph, Node, NodeId, Op, ValueId};
use std::sync::Arc;

/// A graph to lower to a kernel, with the outer values that its parameters and results stand for.
pub struct Group {
    /// What the group is built around.
    pub kind: FusionKind,
    /// What it computes. Parameters are in memory; constants inside are one repeated element.
    pub graph: Graph,
    /// Outer values of the parameters.
    pub operands: Vec<ValueId>,
    /// Outer values of the results.
    pub results: Vec<ValueId>,
    /// The model's node that it comes from.
    pub origin: Option<Arc<str>>,
}

impl Group {
    /// The group of a node of the outer graph.
    pub fn of(constants: &Constants, outer: &Graph, node: &Node) -> Result<Group, FormError> {
        let results = node.results.to_vec();
        let origin = node.origin.clone();
        if let (Op::Fuse { kind }, [graph]) = (&node.op, node.regions.as_slice()) {
            let operands = node.operands.to_vec();
            return Ok(Group { kind: *kind, graph: graph.clone(), operands, results, origin });
        }
        let mut graph = Graph::new();
        let mut operands = Vec::with_capacity(node.operands.len());
        let mut inner = Vec::with_capacity(node.operands.len());
        for operand in &node.operands {
            inner.push(match repeated_constant(constants, outer, *operand) {
                Some(op) => {
                    let id = graph.add_node(constants, op, &[], Vec::new(), None)?;
                    graph.node(id).results[0]
                }
                None => {
                    operands.push(*operand);
                    graph.add_param(outer.ty(*operand).clone(), None)
                }
            });
        }
        let id = graph.add_node(constants, node.op.clone(), &inner, node.regions.clone(), origin.clone())?;
        let inner_results = graph.node(id).results.to_vec();
        graph.set_results(inner_results);
        Ok(Group { kind: FusionKind::Single, graph, operands, results, origin })
    }

    /// The node that gives the n-th result, unless that is a parameter.
    pub fn result_node(&self, n: usize) -> Option<&Node> {
        let value = *self.graph.results().get(n)?;
        self.graph.defining_node(value).map(|id| self.graph.node(id))
    }
}

/// The constant op of a value that is one repeated element, which belongs into the code rather than into memory.
pub fn repeated_constant(constants: &Constants, graph: &Graph, value: ValueId) -> Option<Op> {
    let op = &graph.node(graph.defining_node(value)?).op;
    match op {
        Op::Constant { id } if constants[*id].tensor.splat_value().is_some() => Some(op.clone()),
        _ => None,
    }
}

/// Arithmetic operations of a node: one per result element, two per multiply-add, one per reduced element.
pub fn node_flops(graph: &Graph, id: NodeId) -> u64 {
    let node = graph.node(id);
    let elements = |value: ValueId| graph.ty(value).elements();
    let result = node.results.first().map_or(Dim::ZERO, |value| elements(*value));
    let count = match &node.op {
        Op::DotGeneral { lhs_contract, .. } => {
            let shape = &graph.ty(node.operands[0]).shape;
            lhs_contract.iter().fold(result * 2, |product, axis| product * &shape[*axis])
        }
        Op::Conv { dimensions, .. } => {
            let kernel = graph.ty(node.operands[1]);
            let roles = dimensions.kernel.iter().zip(&kernel.shape);
            let taps = roles.filter(|(role, _)| **role != graven_ir::DimensionRole::Outer);
            taps.fold(result * 2, |product, (_, extent)| product * extent)
        }
        Op::ReduceWindow { size, .. } | Op::ArgMaxWindow { size, .. } => {
            size.iter().fold(result, |product, extent| product * *extent)
        }
        Op::Reduce { .. } | Op::ArgReduce { .. } | Op::Cumulative { .. } => elements(node.operands[0]),
        op if op.category() == Category::Movement || op.category() == Category::Leaf => Dim::ZERO,
        _ => result,
    };
    u64::try_from(count.upper()).unwrap_or(0)
}

/// The group's only node that fits `is_main`, if all results are its result or elementwise functions of it and of other values at the same index,
/// and nothing else in the group computes.
pub fn epilogue_of(graph: &Graph, is_main: impl Fn(&Node) -> bool) -> Option<&Node> {
    let order = graph.order();
    let mut mains = order.iter().map(|id| graph.node(*id)).filter(|node| is_main(node));
    let (main, None) = (mains.next()?, mains.next()) else { return None };
    let shape = &graph.ty(main.results[0]).shape;
    let mut after = vec![main.results[0]];
    for id in &order {
        let node = graph.node(*id);
        if !node.operands.iter().any(|operand| after.contains(operand)) {
            continue;
        }
        if node.op.category() != Category::Elementwise && !matches!(node.op, Op::Gelu { .. } | Op::Silu) {
            return None;
        }
        after.extend(node.results.iter().copied());
    }
    let fits = |value: &ValueId| after.contains(value) && graph.ty(*value).shape == *shape;
    graph.results().iter().all(fits).then_some(main)
}
