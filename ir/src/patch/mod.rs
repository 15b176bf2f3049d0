//! Edits of graphs: new nodes and replacements of values, applied together or not at all.
//!
//! * [`Patch`]: builds nodes on an existing graph and replaces values by values of the same type
//! * [`outline`], [`outline_groups`]: move nodes into the region of a `fuse` node
//! * [`inline`]: the reverse
//! * [`edit_graphs`], [`edit_regions`]: run an edit on every graph of a module, or on the regions within a graph
//!
//! No edit removes nodes: what is replaced is dead and disappears with [`Graph::compact`](crate::Graph::compact).

mod group;
mod regions;
#[cfg(test)]
mod tests;

pub use group::{Group, inline, outline, outline_groups};
pub use regions::{edit_graphs, edit_regions};

use crate::analysis::GraphView;
use crate::infer::InferError;
use crate::{Constants, Definition, Graph, GraphBuilder, NodeId, TensorType, ValueId};
use petgraph::algo::toposort;
use std::ops::{Deref, DerefMut};

/// Why a graph can't be edited so. The graph is as before, but for nodes and constants that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A new node does not fit its operands.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The graph has no such value.
    #[error("the graph has no value {0}")]
    UnknownValue(ValueId),
    /// The graph has no such node.
    #[error("the graph has no {0}")]
    UnknownNode(NodeId),
    /// A replacement must have the type of what it replaces.
    #[error("{old} of type {old_type} can't be replaced by {new} of type {new_type}")]
    Type {
        /// The replaced value.
        old: ValueId,
        /// Its type.
        old_type: Box<TensorType>,
        /// The replacement.
        new: ValueId,
        /// Its type.
        new_type: Box<TensorType>,
    },
    /// A value is replaced twice by one patch.
    #[error("{0} is replaced twice")]
    ReplacedTwice(ValueId),
    /// The replacements of a node's results are more or fewer than its results.
    #[error("{node} has {results} results, not {replacements}")]
    ResultCount {
        /// The replaced node.
        node: NodeId,
        /// Number of its results.
        results: usize,
        /// Number of replacements.
        replacements: usize,
    },
    /// The edit would let a node depend on itself.
    #[error("{0} would depend on itself")]
    Cycle(NodeId),
    /// The edit adds a parameter, or changes the types of a region's parameters or results.
    #[error("the signature of the graph would change")]
    Signature,
    /// A group has no live node, or a node of two groups.
    #[error("{0}")]
    Group(&'static str),
    /// The node is no `fuse`.
    #[error("{0} is no fusion group")]
    NotAGroup(NodeId),
}

/// New nodes and replacements for a graph.
///
/// A patch is a [`GraphBuilder`] on the graph: its methods add nodes whose operands may be any values of the graph. [`Patch::replace`] says what
/// is to be used instead of a value. [`Patch::apply`] makes the replacements; dropped without it, the patch leaves the graph as it was, but for
/// nodes that nothing uses.
///
/// * A replacement has the type of what it replaces, so the types of all users stay right.
/// * Uses by the nodes that were there before, and the results of the graph, are replaced. A node of the patch keeps the operands
///   that it was built with, so that a value can be replaced by a function of itself.
/// * A node that is built after a replacement uses the replacement: a pass that walks the graph in [`Graph::order`] with one patch sees its own
///   rewrites. [`GraphBuilder::current`] gives what stands for a value.
/// * Applying walks the graph once. Collect rewrites in one patch rather than applying one for each.
///
/// ```
/// use graven_ir::{Constants, DType, GraphBuilder, TensorType, UnaryOp, patch::Patch};
///
/// let mut constants = Constants::new();
/// let mut builder = GraphBuilder::new(&mut constants);
/// let x = builder.param(TensorType::new(DType::F32, [8]), None);
/// let root = builder.unary(UnaryOp::Sqrt, x)?;
/// let y = builder.unary(UnaryOp::Reciprocal, root)?;
/// let mut graph = builder.finish(vec![y]);
///
/// let mut patch = Patch::new(&mut graph, &mut constants);
/// let fused = patch.unary(UnaryOp::Rsqrt, x)?;
/// patch.replace(y, fused)?;
/// patch.apply()?;
/// assert_eq!(graph.results(), [fused]);
/// # Ok::<(), graven_ir::patch::PatchError>(())
/// ```
pub struct Patch<'g> {
    target: &'g mut Graph,
    builder: GraphBuilder<'g>,
    params: usize,
    first_new: NodeId,
    replaced: Vec<ValueId>,
}

impl<'g> Patch<'g> {
    /// A patch of `graph`, with its module's constants.
    pub fn new(graph: &'g mut Graph, constants: &'g mut Constants) -> Patch<'g> {
        let params = graph.params().len();
        let first_new = NodeId::from_u32(graph.nodes().len() as u32);
        let builder = GraphBuilder::over(std::mem::take(graph), constants);
        Patch { target: graph, builder, params, first_new, replaced: Vec::new() }
    }

    /// Lets `new` be used instead of `old`. Nothing happens where `new` already stands for `old`.
    ///
    /// # Errors
    /// The types differ, `old` has a replacement already, or a value does not exist.
    pub fn replace(&mut self, old: ValueId, new: ValueId) -> Result<(), PatchError> {
        let ty = |value: ValueId| {
            let value = self.graph().get_value(value).ok_or(PatchError::UnknownValue(value))?;
            Ok::<_, PatchError>(Box::new(value.ty.clone()))
        };
        let (old_type, new_type) = (ty(old)?, ty(new)?);
        if old_type != new_type {
            return Err(PatchError::Type { old, old_type, new, new_type });
        }
        let new = self.current(new);
        if new == self.current(old) {
            return Ok(());
        }
        if self.is_replaced(old) {
            return Err(PatchError::ReplacedTwice(old));
        }
        self.builder.set_current(old, new);
        self.replaced.push(old);
        Ok(())
    }

    /// Replaces all results of a node, in order.
    ///
    /// # Errors
    /// As of [`Patch::replace`], and where the numbers differ.
    pub fn replace_node(&mut self, old: NodeId, new: &[ValueId]) -> Result<(), PatchError> {
        let node = self.graph().get_node(old).ok_or(PatchError::UnknownNode(old))?;
        let results = node.results.clone();
        if results.len() != new.len() {
            let (results, replacements) = (results.len(), new.len());
            return Err(PatchError::ResultCount { node: old, results, replacements });
        }
        results.iter().zip(new).try_for_each(|(old, new)| self.replace(*old, *new))
    }

    /// Whether this patch replaces `value`.
    pub fn is_replaced(&self, value: ValueId) -> bool {
        self.current(value) != value
    }

    /// Number of replaced values.
    pub fn len(&self) -> usize {
        self.replaced.len()
    }

    /// Whether the patch replaces nothing.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Makes the replacements.
    ///
    /// # Errors
    /// A node would depend on itself, or the patch added parameters.
    pub fn apply(mut self) -> Result<(), PatchError> {
        if self.graph().params().len() != self.params {
            return Err(PatchError::Signature);
        }
        if self.is_empty() {
            return Ok(());
        }
        let changes = self.operand_changes();
        self.exchange(&changes, |change| change.new);
        if let Err(cycle) = toposort(&GraphView::with_dead(self.graph()), None) {
            self.exchange(&changes, |change| change.old);
            return Err(PatchError::Cycle(cycle.node_id()));
        }
        let results = self.graph().results().iter().map(|value| self.current(*value)).collect();
        self.builder.graph_mut().set_results(results);
        for old in std::mem::take(&mut self.replaced) {
            let new = self.current(old);
            if matches!(self.graph().value(old).definition, Definition::Result(..)) {
                self.builder.graph_mut().move_name(old, new);
            }
        }
        Ok(())
    }

    /// The operands of old nodes that have a replacement.
    fn operand_changes(&self) -> Vec<OperandChange> {
        let mut changes = Vec::new();
        let old_nodes = self.graph().nodes().take_while(|(id, _)| *id < self.first_new);
        for (node, content) in old_nodes {
            for (place, old) in content.operands.iter().copied().enumerate() {
                let new = self.current(old);
                if new != old {
                    changes.push(OperandChange { node, place, old, new });
                }
            }
        }
        changes
    }

    fn exchange(&mut self, changes: &[OperandChange], value: impl Fn(&OperandChange) -> ValueId) {
        for change in changes {
            self.builder.graph_mut().operands_mut(change.node)[change.place] = value(change);
        }
    }
}

struct OperandChange {
    node: NodeId,
    place: usize,
    old: ValueId,
    new: ValueId,
}

impl Drop for Patch<'_> {
    fn drop(&mut self) {
        *self.target = std::mem::take(self.builder.graph_mut());
    }
}

impl<'g> Deref for Patch<'g> {
    type Target = GraphBuilder<'g>;

    fn deref(&self) -> &GraphBuilder<'g> {
        &self.builder
    }
}

impl<'g> DerefMut for Patch<'g> {
    fn deref_mut(&mut self) -> &mut GraphBuilder<'g> {
        &mut self.builder
    }
}
