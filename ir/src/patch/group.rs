//! Nodes into the region of a `fuse` node, and back.

use super::{Patch, PatchError};
use crate::{Category, Constants, FusionKind, Graph, GraphBuilder, Node, NodeId, Op, Uses, ValueId};
use cranelift_entity::SecondaryMap;
use petgraph::{algo::toposort, graph::DiGraph};
use std::sync::Arc;

/// Nodes that are to become one `fuse` node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The nodes, in any order. Constants may be in several groups: each gets a copy.
    pub nodes: Vec<NodeId>,
    /// What the group is built around.
    pub kind: FusionKind,
}

/// Moves nodes into the region of a new `fuse` node.
///
/// The operands of the new node are the values that the group uses from outside, in the order of their first use; its results are those
/// values of the group that are used outside, except constants, which stay outside as well.
///
/// # Errors
/// See [`outline_groups`].
pub fn outline(
    graph: &mut Graph,
    constants: &mut Constants,
    nodes: &[NodeId],
    kind: FusionKind,
) -> Result<NodeId, PatchError> {
    let group = Group { nodes: nodes.to_vec(), kind };
    let fused = outline_groups(graph, constants, &[group])?;
    fused.first().copied().ok_or(PatchError::Group("a group has no live node"))
}

/// Moves each group of nodes into the region of a new `fuse` node, all or none; gives these nodes in the order of the groups.
///
/// # Errors
/// * [`PatchError::Cycle`]: a path leads from a group through nodes outside back into it, or groups need each other's results
/// * [`PatchError::Group`]: nothing outside uses a group, or two groups share a node that is no constant
/// * [`PatchError::UnknownNode`]
pub fn outline_groups(
    graph: &mut Graph,
    constants: &mut Constants,
    groups: &[Group],
) -> Result<Vec<NodeId>, PatchError> {
    let membership = Membership::new(graph, groups)?;
    let order = graph.order();
    let schedule = membership.schedule(graph, groups.len(), &order)?;
    if schedule.len() < groups.len() {
        return Err(PatchError::Group("a group has no live node"));
    }
    let uses = graph.uses();
    let mut members: Vec<Vec<NodeId>> = vec![Vec::new(); groups.len()];
    for node in &order {
        membership.of(*node).iter().for_each(|group| members[*group].push(*node));
    }
    let mut fused: Vec<NodeId> = vec![NodeId::from_u32(0); groups.len()];
    let mut patch = Patch::new(graph, constants);
    for index in schedule {
        let nodes = &members[index];
        let results = results_of(patch.graph(), &membership, index, nodes, &uses);
        if results.is_empty() {
            return Err(PatchError::Group("nothing outside a group uses its values"));
        }
        let (operands, region) = region_of(&mut patch, nodes, &results)?;
        let origin = origin_of(patch.graph(), nodes);
        patch.set_origin(origin);
        let node = patch.node(Op::Fuse { kind: groups[index].kind }, &operands, vec![region])?;
        let new = patch.graph().node(node).results.clone();
        results.iter().zip(&new).try_for_each(|(old, new)| patch.replace(*old, *new))?;
        fused[index] = node;
    }
    patch.apply()?;
    Ok(fused)
}

/// The groups of each node. Only constants are in several.
struct Membership(SecondaryMap<NodeId, Vec<usize>>);

impl Membership {
    fn new(graph: &Graph, groups: &[Group]) -> Result<Membership, PatchError> {
        let mut membership: SecondaryMap<NodeId, Vec<usize>> = SecondaryMap::new();
        for (index, group) in groups.iter().enumerate() {
            for node in &group.nodes {
                let content = graph.get_node(*node).ok_or(PatchError::UnknownNode(*node))?;
                let of_node = &mut membership[*node];
                if of_node.contains(&index) {
                    continue;
                }
                if !of_node.is_empty() && !is_constant(content) {
                    return Err(PatchError::Group("two groups share a node"));
                }
                of_node.push(index);
            }
        }
        Ok(Membership(membership))
    }

    fn of(&self, node: NodeId) -> &[usize] {
        &self.0[node]
    }

    /// The only group of a node that is no constant.
    fn group(&self, graph: &Graph, node: NodeId) -> Option<usize> {
        match is_constant(graph.node(node)) {
            true => None,
            false => self.of(node).first().copied(),
        }
    }

    /// The groups with live nodes, each after those that it needs: a topological order in which a group is one vertex.
    fn schedule(&self, graph: &Graph, groups: usize, order: &[NodeId]) -> Result<Vec<usize>, PatchError> {
        // Vertices 0..groups are the groups, the others single nodes.
        let mut vertices: SecondaryMap<NodeId, usize> = SecondaryMap::new();
        let mut nodes: Vec<Option<NodeId>> = vec![None; groups];
        for node in order {
            vertices[*node] = match self.group(graph, *node) {
                Some(group) => {
                    nodes[group] = Some(*node);
                    group
                }
                None => {
                    nodes.push(Some(*node));
                    nodes.len() - 1
                }
            };
        }
        let mut condensed: DiGraph<(), (), usize> = DiGraph::default();
        nodes.iter().for_each(|_| _ = condensed.add_node(()));
        for node in order {
            let to = vertices[*node];
            for source in graph.node(*node).operands.iter().filter_map(|value| graph.defining_node(*value)) {
                let from = vertices[source];
                if from != to {
                    condensed.add_edge(from.into(), to.into(), ());
                }
            }
        }
        match toposort(&condensed, None) {
            Ok(sorted) => {
                let sorted = sorted.into_iter().map(|vertex| vertex.index());
                Ok(sorted.filter(|vertex| *vertex < groups && nodes[*vertex].is_some()).collect())
            }
            Err(cycle) => match nodes[cycle.node_id().index()] {
                Some(node) => Err(PatchError::Cycle(node)),
                None => Err(PatchError::Group("a group has no live node")),
            },
        }
    }
}

fn is_constant(node: &Node) -> bool {
    matches!(node.op, Op::Constant { .. })
}

/// The values of a group that something outside uses; constants stay outside too.
fn results_of(
    graph: &Graph,
    membership: &Membership,
    group: usize,
    nodes: &[NodeId],
    uses: &Uses,
) -> Vec<ValueId> {
    let inner = nodes.iter().map(|node| graph.node(*node)).filter(|node| !is_constant(node));
    let outside = |node: &NodeId| !membership.of(*node).contains(&group);
    let used = |value: &ValueId| uses.is_result(*value) || uses.users(*value).iter().any(outside);
    inner.flat_map(|node| node.results.iter().copied().filter(used)).collect()
}

/// The values that the nodes use from outside, and a region with the nodes.
fn region_of(
    patch: &mut Patch,
    nodes: &[NodeId],
    results: &[ValueId],
) -> Result<(Vec<ValueId>, Graph), PatchError> {
    let contents: Vec<Node> = nodes.iter().map(|node| patch.graph().node(*node).clone()).collect();
    let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
    for value in contents.iter().flat_map(|node| &node.results) {
        // A placeholder: set when the region has the value.
        map[*value] = Some(*value);
    }
    let mut operands: Vec<ValueId> = Vec::new();
    for value in contents.iter().flat_map(|node| &node.operands) {
        if map[*value].is_none() && !operands.contains(value) {
            operands.push(*value);
        }
    }
    let name = |value: &ValueId| patch.graph().value(*value).name.clone();
    let types: Vec<_> = operands.iter().map(|value| patch.ty(*value).clone()).collect();
    let names: Vec<Vec<Option<Arc<str>>>> =
        contents.iter().map(|node| node.results.iter().map(name).collect()).collect();
    let mut builder: GraphBuilder = patch.region();
    for (value, ty) in operands.iter().zip(types) {
        map[*value] = Some(builder.param(ty, None));
    }
    for (node, names) in contents.into_iter().zip(names) {
        let inner: Vec<ValueId> = node.operands.iter().filter_map(|value| map[*value]).collect();
        builder.set_origin(node.origin);
        let added = builder.node(node.op, &inner, node.regions)?;
        let new = builder.graph().node(added).results.clone();
        for ((old, new), name) in node.results.iter().zip(new).zip(names) {
            map[*old] = Some(new);
            if let Some(name) = name {
                builder.set_name(new, &name);
            }
        }
    }
    let results = results.iter().filter_map(|value| map[*value]).collect();
    Ok((operands, builder.finish(results)))
}

/// The origin of the group's main op, or else of its last node.
fn origin_of(graph: &Graph, nodes: &[NodeId]) -> Option<Arc<str>> {
    let is_main = |category| {
        use Category::*;
        matches!(category, Contraction | Window | Reduction | Sorting | Composite)
    };
    let nodes = || nodes.iter().map(|node| graph.node(*node));
    let main = nodes().find(|node| is_main(node.op.category()) && node.origin.is_some());
    main.or_else(|| nodes().rev().find(|node| node.origin.is_some()))?.origin.clone()
}

/// Replaces `fuse` nodes by the nodes of their regions, all or none.
///
/// # Errors
/// A node does not exist or is no `fuse`.
pub fn inline(graph: &mut Graph, constants: &mut Constants, nodes: &[NodeId]) -> Result<(), PatchError> {
    for node in nodes {
        match graph.get_node(*node).ok_or(PatchError::UnknownNode(*node))?.op {
            Op::Fuse { .. } => {}
            _ => return Err(PatchError::NotAGroup(*node)),
        }
    }
    let order = graph.order();
    let mut patch = Patch::new(graph, constants);
    for id in order.into_iter().filter(|id| nodes.contains(id)) {
        let node = patch.graph().node(id).clone();
        let [body] = node.regions.as_slice() else { return Err(PatchError::NotAGroup(id)) };
        patch.set_origin(node.origin);
        let results = patch.inline(body, &node.operands)?;
        for (old, new) in node.results.iter().zip(&results) {
            // Several results may be one value of the region.
            patch.replace(*old, *new)?;
        }
    }
    patch.apply()
}
