//! Symbols that nodes give values to.

use super::{Entity, Verifier, Violation};
use crate::{Graph, NodeId, Op, Symbol, ValueId};
use cranelift_entity::EntitySet;
use rustc_hash::FxHashSet;

impl Verifier<'_> {
    /// Checks the nodes of a function's graph that bind symbols, and that those of regions don't.
    pub(super) fn bindings(&mut self, graph: &Graph) {
        let mut bound: FxHashSet<Symbol> = FxHashSet::default();
        for (id, node) in graph.nodes() {
            for (index, region) in node.regions.iter().enumerate() {
                self.regions.push((id, index));
                self.no_bindings(region);
                self.regions.pop();
            }
            let Some(symbol) = binds(&node.op) else { continue };
            let has_symbol = |value: &ValueId| graph.ty(*value).shape.iter().any(|dim| dim.contains(symbol));
            let reason = if !bound.insert(symbol.clone()) {
                "which another node binds"
            } else if graph.params().iter().any(has_symbol) {
                "which is an extent of a parameter"
            } else if depends_on(graph, id, symbol) {
                "which its operands depend on"
            } else {
                continue;
            };
            self.report(Entity::Node(id), Violation::Binding { name: symbol.name().into(), reason });
        }
    }

    fn no_bindings(&mut self, region: &Graph) {
        for (id, node) in region.nodes() {
            if let Some(symbol) = binds(&node.op) {
                let reason = "but only a function's own graph may bind extents";
                self.report(Entity::Node(id), Violation::Binding { name: symbol.name().into(), reason });
            }
            for (index, inner) in node.regions.iter().enumerate() {
                self.regions.push((id, index));
                self.no_bindings(inner);
                self.regions.pop();
            }
        }
    }
}

fn binds(op: &Op) -> Option<&Symbol> {
    match op {
        Op::BindExtent { symbol, .. } => Some(symbol),
        _ => None,
    }
}

/// Whether anything that a node's operands are computed from has the symbol.
fn depends_on(graph: &Graph, node: NodeId, symbol: &Symbol) -> bool {
    let mut stack: Vec<ValueId> = graph.node(node).operands.to_vec();
    let mut seen: EntitySet<NodeId> = EntitySet::new();
    let mut found = false;
    while let Some(value) = stack.pop() {
        found |= graph.ty(value).shape.iter().any(|dim| dim.contains(symbol));
        let Some(id) = graph.defining_node(value).filter(|id| seen.insert(*id)) else { continue };
        let node = graph.node(id);
        node.op.attributes().iter().for_each(|(_, attribute)| {
            attribute.for_each_dim(&mut |dim| found |= dim.contains(symbol));
        });
        stack.extend(&node.operands);
    }
    found
}
