//! The walk: from the results back to the parameters.

use super::{GradError, calculus, rules};
use cranelift_entity::{EntitySet, SecondaryMap};
use graven_ir::{Definition, Graph, GraphBuilder, Node, NodeId, ValueId};
use smallvec::SmallVec;

/// Vector-Jacobian product: Σ over `seeds` of (∂value ÷ ∂w)ᵀ · cotangent for each w in `wrt`, added to the builder's graph.
///
/// `seeds` are pairs of a float value and its cotangent, of the same type. The result is `None` for a value that no seed depends on, and
/// that costs nothing. A cotangent has the type of its value.
///
/// The builder's graph must be one that nodes were only added to, so that the order of ids is an order of computation.
///
/// # Errors
/// See [`GradError`].
pub fn vjp(
    b: &mut GraphBuilder<'_>,
    seeds: &[(ValueId, ValueId)],
    wrt: &[ValueId],
) -> Result<Vec<Option<ValueId>>, GradError> {
    let active = active_values(b.graph(), wrt);
    let nodes = nodes_between(b.graph(), &active, seeds);
    let mut cotangents = Cotangents::default();
    for (value, cotangent) in seeds {
        cotangents.add(*value, *cotangent);
    }
    for id in nodes.into_iter().rev() {
        let node = b.graph().node(id).clone();
        let mut of_results: SmallVec<[Option<ValueId>; 1]> = SmallVec::new();
        for result in &node.results {
            of_results.push(cotangents.take(b, *result, wrt)?);
        }
        if of_results.iter().all(Option::is_none) {
            continue;
        }
        let wanted: SmallVec<[bool; 3]> =
            node.operands.iter().map(|operand| active.contains(*operand)).collect();
        b.set_origin(node.origin.clone());
        let of_operands = rules::apply(b, &node, &wanted, &of_results)?;
        for ((operand, cotangent), wanted) in node.operands.iter().zip(of_operands).zip(wanted) {
            if let Some(cotangent) = cotangent.filter(|_| wanted) {
                debug_assert_eq!(b.ty(*operand), b.ty(cotangent), "cotangent of an operand of {:?}", node.op);
                cotangents.add(*operand, cotangent);
            }
        }
    }
    b.set_origin(None);
    wrt.iter().map(|value| cotangents.sum(b, *value)).collect()
}

/// Float values that depend on one of `wrt`, these included.
pub(super) fn active_values(graph: &Graph, wrt: &[ValueId]) -> EntitySet<ValueId> {
    let mut active = EntitySet::new();
    active.extend(wrt.iter().copied());
    for (_, node) in graph.nodes() {
        if node.operands.iter().any(|operand| active.contains(*operand)) {
            active.extend(node.results.iter().copied().filter(|value| graph.ty(*value).dtype.is_float()));
        }
    }
    active
}

/// Nodes with active results that a seed depends on, in the order of computation.
fn nodes_between(graph: &Graph, active: &EntitySet<ValueId>, seeds: &[(ValueId, ValueId)]) -> Vec<NodeId> {
    let mut needed: EntitySet<ValueId> = EntitySet::new();
    needed.extend(seeds.iter().map(|(value, _)| *value));
    let is_between = |node: &Node, needed: &EntitySet<ValueId>| {
        node.results.iter().any(|value| needed.contains(*value) && active.contains(*value))
    };
    let mut nodes: Vec<NodeId> = Vec::new();
    let all: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
    for id in all.into_iter().rev() {
        let node = graph.node(id);
        if is_between(node, &needed) {
            needed.extend(node.operands.iter().copied());
            nodes.push(id);
        }
    }
    nodes.reverse();
    nodes
}

/// What the users of each value have passed back so far.
#[derive(Default)]
struct Cotangents {
    parts: SecondaryMap<ValueId, SmallVec<[ValueId; 2]>>,
}

impl Cotangents {
    fn add(&mut self, value: ValueId, cotangent: ValueId) {
        self.parts[value].push(cotangent);
    }

    fn sum(&mut self, b: &mut GraphBuilder<'_>, value: ValueId) -> Result<Option<ValueId>, GradError> {
        let parts = std::mem::take(&mut self.parts[value]);
        let mut sum = None;
        for part in parts {
            sum = Some(match sum {
                None => part,
                Some(sum) => calculus::add(b, sum, part)?,
            });
        }
        if let Some(sum) = sum {
            self.parts[value].push(sum);
        }
        Ok(sum)
    }

    /// The sum for a node's result. It is kept where the caller asked for it.
    fn take(
        &mut self,
        b: &mut GraphBuilder<'_>,
        value: ValueId,
        wrt: &[ValueId],
    ) -> Result<Option<ValueId>, GradError> {
        debug_assert!(matches!(b.graph().value(value).definition, Definition::Result(..)));
        let sum = self.sum(b, value)?;
        if !wrt.contains(&value) {
            self.parts[value].clear();
        }
        Ok(sum)
    }
}
