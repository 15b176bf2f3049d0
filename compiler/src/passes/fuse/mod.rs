//! Forms fusion groups.
//!
//! Before: `%1 = conv …; %2 = broadcast %bias; %3 = add %1, %2; %4 = max %3, %zero`. After: one `fuse {kind = conv}` whose region holds all
//! four and whose only result is `%4`.
//!
//! Nodes are visited users first. A node joins the group of its users if all of them are in one group and the group stays one that
//! a schedule takes; else it becomes the root of a group of its own. So each group has a single result, no node is computed twice, and no
//! cycle can arise: a group is left through its root only. Leaves and broadcasts, which cost nothing, are copied into every group that
//! reads them. Functions of elements behind a contraction stay with it rather than go to
//! what reads them.
//!
//! * [`legal`]: which node may join which group
//! * [`outline`]: the graph with groups made `fuse` nodes

mod legal;
mod outline;

use super::{Context, PassError};
use crate::remarks::Remarks;
use cranelift_entity::SecondaryMap;
use graven_ir::infer::InferError;
use graven_ir::{Constants, Graph, NodeId, Op};
use legal::Group;

/// The group that each live node is in, by the group's number.
pub struct Grouping {
    group_of: SecondaryMap<NodeId, Option<usize>>,
    groups: Vec<Group>,
    /// Why roots did not join the group of their users.
    refusals: SecondaryMap<NodeId, Option<&'static str>>,
}

/// The graph with its fusion groups.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let grouping = group(context.constants, graph);
    remark(&grouping, context.constants, graph, context.remarks);
    Ok(outline::outline(context.constants, graph, &grouping)?)
}

/// Says of each group what it holds, and of each node that stands alone though it computes, why.
fn remark(grouping: &Grouping, constants: &Constants, graph: &Graph, remarks: &mut Remarks) {
    for group in &grouping.groups {
        let root = graph.node(group.root);
        if group.nodes.len() > 1 {
            let names = || group.nodes.iter().rev().map(|id| graph.node(*id).op.name()).collect::<Vec<_>>();
            let kind = group.kind.name();
            remarks.applied("fuse", root, || format!("{kind} kernel of {}", names().join(", ")));
        }
        if let Some(reason) =
            grouping.refusals[group.root].filter(|_| !is_copied(constants, graph, group.root))
        {
            remarks.missed("fuse", root, || {
                format!("`{}` is not fused with its users: {reason}", root.op.name())
            });
        }
    }
}

/// The graph with its fusion groups, those in bodies of control flow included.
fn fuse(constants: &mut Constants, graph: &Graph) -> Result<Graph, InferError> {
    let grouping = group(constants, graph);
    outline::outline(constants, graph, &grouping)
}

/// Assigns nodes to groups.
fn group(constants: &Constants, graph: &Graph) -> Grouping {
    let uses = graph.uses();
    let mut grouping =
        Grouping { group_of: SecondaryMap::new(), groups: Vec::new(), refusals: SecondaryMap::new() };
    for id in graph.order().into_iter().rev() {
        let node = graph.node(id);
        if matches!(node.op, Op::Constant { .. }) || is_copied(constants, graph, id) {
            continue;
        }
        let escapes = node.results.iter().any(|result| uses.is_result(*result));
        let mut users = node.results.iter().flat_map(|result| uses.users(*result));
        let first = users.next().and_then(|user| grouping.home(graph, constants, *user, &uses));
        let same = first.filter(|group| {
            !escapes && users.all(|user| grouping.home(graph, constants, *user, &uses) == Some(*group))
        });
        let refusal = match same {
            Some(group) => grouping.groups[group].refuses(graph, id, &uses),
            None if escapes => Some("it is a result"),
            None => Some("its users are in different groups"),
        };
        match same.filter(|_| refusal.is_none()) {
            Some(group) => {
                grouping.groups[group].add(graph, id);
                grouping.group_of[id] = Some(group);
            }
            None => {
                grouping.group_of[id] = Some(grouping.groups.len());
                grouping.groups.push(Group::new(graph, id));
                grouping.refusals[id] = refusal.filter(|_| !escapes);
            }
        }
    }
    grouping
}

impl Grouping {
    /// The group that reads what `user` reads: its own, or for a copied node the one that all its users are in.
    fn home(
        &self,
        graph: &Graph,
        constants: &Constants,
        user: NodeId,
        uses: &graven_ir::Uses,
    ) -> Option<usize> {
        if !is_copied(constants, graph, user) {
            return self.group_of[user];
        }
        let node = graph.node(user);
        let mut homes =
            node.results.iter().flat_map(|r| uses.users(*r)).map(|u| self.home(graph, constants, *u, uses));
        let first = homes.next()??;
        homes.all(|home| home == Some(first)).then_some(first)
    }
}

/// Whether a node is copied into the groups that read it: broadcasts, counters, extents, repeated constants.
pub(crate) fn is_copied(constants: &Constants, graph: &Graph, id: NodeId) -> bool {
    match &graph.node(id).op {
        Op::Broadcast { .. } | Op::Iota { .. } | Op::Extent { .. } => true,
        Op::Constant { id } => constants[*id].tensor.splat_value().is_some(),
        _ => false,
    }
}
