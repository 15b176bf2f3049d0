//! The order of computation: that of the graph, but small values first and updates as soon as their operands are there.
//!
//! An update is a node with what reads it, if all of that are results of the graph: the gradient of a parameter with its optimiser step. It takes no memory
//! afterwards, and often it is the last to read an activation. It waits for all that reads the states which it replaces, so that these are
//! replaced in place.

use cranelift_entity::{EntitySet, SecondaryMap};
use graven_ir::{Definition, Graph, NodeId, Uses, ValueId};

/// Bytes up to which a value is small.
const SMALL: i64 = 256;

/// The nodes in order.
pub(super) fn order(graph: &Graph) -> Vec<NodeId> {
    let base = graph.order();
    let mut places = SecondaryMap::with_default(usize::MAX);
    base.iter().enumerate().for_each(|(place, id)| places[*id] = place);
    let mut schedule = Schedule {
        graph,
        uses: graph.uses(),
        places,
        emitted: EntitySet::new(),
        order: Vec::with_capacity(base.len()),
        waiting: Vec::new(),
    };
    for id in &base {
        if schedule.is_small(*id) && schedule.is_ready(*id, &[]) {
            schedule.emit(*id);
        }
    }
    for id in base {
        if !schedule.emitted.contains(id) {
            schedule.emit(id);
            schedule.updates(id);
        }
    }
    schedule.order
}

struct Schedule<'g> {
    graph: &'g Graph,
    uses: Uses,
    /// Places in the graph's own order.
    places: SecondaryMap<NodeId, usize>,
    emitted: EntitySet<NodeId>,
    order: Vec<NodeId>,
    /// First nodes of updates that can't be done yet.
    waiting: Vec<NodeId>,
}

impl Schedule<'_> {
    fn emit(&mut self, id: NodeId) {
        self.emitted.insert(id);
        self.order.push(id);
    }

    fn is_small(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        node.op.is_pure()
            && node.results.iter().all(|result| {
                let ty = self.graph.ty(*result);
                ty.elements().as_const().is_some_and(|n| n * ty.dtype.bytes() as i64 <= SMALL)
            })
    }

    /// Whether all operands are there, or come from `together`.
    fn is_ready(&self, id: NodeId, together: &[NodeId]) -> bool {
        let there = |value: &ValueId| match self.graph.value(*value).definition {
            Definition::Result(node, _) => self.emitted.contains(node) || together.contains(&node),
            _ => true,
        };
        self.graph.node(id).operands.iter().all(there)
    }

    /// Does the updates that the node has made possible.
    fn updates(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let users: Vec<NodeId> =
            node.results.iter().flat_map(|result| self.uses.users(*result)).copied().collect();
        for user in users {
            if !self.waiting.contains(&user) {
                self.waiting.push(user);
            }
        }
        let mut place = 0;
        while let Some(first) = self.waiting.get(place).copied() {
            if self.emitted.contains(first) {
                self.waiting.remove(place);
                continue;
            }
            match self.update(first) {
                Some(nodes) => {
                    nodes.into_iter().for_each(|id| self.emit(id));
                    self.waiting.remove(place);
                    place = 0;
                }
                None => place += 1,
            }
        }
    }

    /// The nodes of the update that begins with a node, in order; `None` if it is none or something is not there yet.
    fn update(&self, first: NodeId) -> Option<Vec<NodeId>> {
        let mut nodes = vec![first];
        let mut next = 0;
        while let Some(id) = nodes.get(next).copied() {
            next += 1;
            let results = &self.graph.node(id).results;
            let is_sink = results.iter().all(|result| self.uses.is_result(*result));
            if id != first && !is_sink {
                return None;
            }
            if id == first && !is_sink && results.iter().all(|result| self.uses.users(*result).is_empty()) {
                return None;
            }
            for user in results.iter().flat_map(|result| self.uses.users(*result)) {
                if !nodes.contains(user) {
                    nodes.push(*user);
                }
            }
            if nodes.len() > 16 {
                return None;
            }
        }
        nodes.sort_by_key(|id| self.places[*id]);
        let ready = nodes.iter().all(|id| self.is_ready(*id, &nodes) && self.frees_states(*id, &nodes));
        ready.then_some(nodes)
    }

    /// Whether nothing else still reads the states that the node replaces.
    fn frees_states(&self, id: NodeId, together: &[NodeId]) -> bool {
        let results = &self.graph.node(id).results;
        let replaced = self.graph.results().iter().enumerate().filter(|(_, result)| results.contains(result));
        replaced.map(|(place, _)| place).all(|place| {
            // States are the last parameters and the last results; which are states is not known here, so that any parameter at that distance counts.
            let from_end = self.graph.results().len() - place;
            let param = self.graph.params().len().checked_sub(from_end);
            param.and_then(|param| self.graph.params().get(param)).is_none_or(|param| {
                self.uses
                    .users(*param)
                    .iter()
                    .all(|user| self.emitted.contains(*user) || together.contains(user))
            })
        })
    }
}
