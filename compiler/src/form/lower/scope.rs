//! The values of one graph and where they are.

use crate::form::layout::Layout;
use crate::program::SlotId;
use cranelift_entity::SecondaryMap;
use graven_ir::{Graph, Node, NodeId, Op, ValueId};
use rustc_hash::FxHashMap;

/// Layouts of a graph's values that are not row-major, and those of its regions.
#[derive(Clone, Debug, Default)]
pub struct Layouts {
    /// Layouts by value.
    pub values: SecondaryMap<ValueId, Option<Layout>>,
    /// Layouts by node and number of the region.
    pub regions: FxHashMap<(NodeId, usize), Layouts>,
    /// Whether nodes are computed in the order of their ids, which somebody has chosen, and not in that of [`Graph::order`].
    pub in_order_of_ids: bool,
}

/// A graph that is lowered.
pub(super) struct Scope<'g> {
    pub graph: &'g Graph,
    layouts: &'g Layouts,
    /// Where values are that are computed.
    pub stored: SecondaryMap<ValueId, Option<SlotId>>,
    /// Where values should be computed.
    pub wanted: SecondaryMap<ValueId, Option<SlotId>>,
}

impl<'g> Scope<'g> {
    pub fn new(graph: &'g Graph, layouts: &'g Layouts) -> Scope<'g> {
        Scope { graph, layouts, stored: SecondaryMap::new(), wanted: SecondaryMap::new() }
    }

    /// The nodes in the order of computation.
    pub fn order(&self) -> Vec<NodeId> {
        let mut order = self.graph.order();
        if self.layouts.in_order_of_ids {
            order.sort_unstable();
        }
        order
    }

    pub fn layout(&self, value: ValueId) -> Layout {
        let row_major = || Layout::row_major(self.graph.ty(value).rank());
        self.layouts.values[value].clone().unwrap_or_else(row_major)
    }

    /// The layouts of a node's region.
    pub fn region_layouts(&self, node: NodeId, region: usize) -> Layouts {
        self.layouts.regions.get(&(node, region)).cloned().unwrap_or_default()
    }

    /// Whether a reshape's result is its operand's memory.
    pub fn is_view(&self, node: &Node) -> bool {
        self.layout(node.operands[0]).is_row_major() && self.layout(node.results[0]).is_row_major()
    }

    /// Notes that results should be computed in the given slots, and so what they are views of.
    pub fn want(&mut self, slots: &[SlotId]) {
        for (result, slot) in self.graph.results().iter().zip(slots) {
            let mut value = *result;
            while let Some(id) = self.graph.defining_node(value) {
                let node = self.graph.node(id);
                if !matches!(node.op, Op::Reshape { .. }) || !self.is_view(node) {
                    break;
                }
                value = node.operands[0];
            }
            if self.layout(value).is_row_major() {
                self.wanted[value].get_or_insert(*slot);
            }
        }
    }
}
