//! Which node may join which group.

use graven_ir::{Category, FusionKind, Graph, NodeId, Op, Shape, Uses, ValueId};

fn role_of(graph: &Graph, id: NodeId) -> Role {
    role(&graph.node(id).op)
}

/// What a node does within a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// One element from the elements at the same index.
    Elementwise,
    /// An index map, or an element picked by data.
    Movement,
    /// A reduction.
    Reduction,
    /// A matrix product, convolution or window, which a group holds one of.
    Heavy(FusionKind),
    /// A schedule of its own, which only reads through the group.
    Root,
    /// Nothing joins it and it joins nothing.
    Alone,
}

fn role(op: &Op) -> Role {
    match op {
        Op::DotGeneral { .. } => Role::Heavy(FusionKind::Dot),
        Op::Conv { .. } => Role::Heavy(FusionKind::Conv),
        Op::ReduceWindow { .. } => Role::Heavy(FusionKind::Window),
        Op::Reduce { .. } => Role::Reduction,
        Op::Concat { .. }
        | Op::Cumulative { .. }
        | Op::Sort { .. }
        | Op::TopK { .. }
        | Op::ArgReduce { .. }
        | Op::ArgMaxWindow { .. }
        | Op::ScatterElements { .. }
        | Op::ScatterNd { .. }
        | Op::DynamicUpdateSlice => Role::Root,
        Op::Gelu { .. } | Op::Silu => Role::Elementwise,
        Op::RandomBits { .. } => Role::Root,
        // Scales along an axis are not at the same index.
        Op::Quantize { .. } | Op::Dequantize { .. } | Op::Relayout | Op::BindExtent { .. } => Role::Alone,
        op => match op.category() {
            Category::Elementwise => Role::Elementwise,
            Category::Movement | Category::Leaf => Role::Movement,
            _ => Role::Alone,
        },
    }
}

/// A group under construction: a root and what only it depends on.
pub struct Group {
    /// What it is built around.
    pub kind: FusionKind,
    /// The node whose result is the group's.
    pub root: NodeId,
    /// Its nodes, users first.
    pub nodes: Vec<NodeId>,
    heavy: Option<NodeId>,
    reduction: Option<(Shape, Vec<usize>)>,
    sealed: bool,
}

/// Nodes in a group at most, which bounds the size of kernels.
const MOST_NODES: usize = 256;

impl Group {
    /// The group of a root.
    pub fn new(graph: &Graph, root: NodeId) -> Group {
        let mut group = Group {
            kind: FusionKind::Pointwise,
            root,
            nodes: Vec::new(),
            heavy: None,
            reduction: None,
            sealed: role(&graph.node(root).op) == Role::Alone,
        };
        if role(&graph.node(root).op) == Role::Root || group.sealed {
            group.kind = FusionKind::Single;
        }
        group.add(graph, root);
        group
    }

    /// Adds a node that the group admits.
    pub fn add(&mut self, graph: &Graph, id: NodeId) {
        self.nodes.push(id);
        let node = graph.node(id);
        match role(&node.op) {
            Role::Heavy(kind) => {
                self.kind = kind;
                self.heavy = Some(id);
            }
            Role::Reduction => {
                self.kind = FusionKind::Reduction;
                if let Op::Reduce { axes, .. } = &node.op {
                    self.reduction = Some((graph.ty(node.operands[0]).shape.clone(), axes.clone()));
                }
            }
            _ => {}
        }
    }

    /// Why `id`, all of whose users are in the group, may not join; `None` if it may.
    pub fn refuses(&self, graph: &Graph, id: NodeId, uses: &Uses) -> Option<&'static str> {
        let node = graph.node(id);
        let role = role(&node.op);
        if self.sealed || matches!(role, Role::Alone | Role::Root) {
            return Some("the op, or its user, has a kernel of its own");
        }
        if self.nodes.len() >= MOST_NODES {
            return Some("the group is as large as kernels get");
        }
        let value = node.results[0];
        let readers = readers(graph, value, uses);
        if !readers.iter().all(|(user, place)| self.may_compute_for(graph, role, *user, *place, value)) {
            return Some(
                "its user would compute each element several times, or not in the order of its loops",
            );
        }
        let into_heavy = readers.iter().any(|(user, _)| self.leads_into_heavy(graph, *user, uses));
        if into_heavy && (role != Role::Movement || is_padded(graph, value)) {
            return Some(
                "a contraction or window behind index maps would compute each element several times",
            );
        }
        // Several index maps would each compute their elements anew.
        let moved = readers.iter().filter(|(user, _)| role_of(graph, *user) == Role::Movement).count();
        if role != Role::Movement && moved > 1 {
            return Some("several index maps would each compute its elements");
        }
        match role {
            Role::Heavy(_) if !self.takes_heavy(graph, value, uses) => Some(
                "the group has a contraction, window or reduction already, or another shape than this one",
            ),
            Role::Reduction if !self.takes_reduction(graph, id) => Some(
                "the group has a contraction or another reduction, or neither the shape before nor after this one",
            ),
            Role::Elementwise if follows_heavy(graph, id, uses) && !self.takes_heavy(graph, value, uses) => {
                Some("it ends the group of the contraction before it")
            }
            _ => None,
        }
    }

    /// Whether an index map of the group leads, maybe through others, into its contraction or window.
    fn leads_into_heavy(&self, graph: &Graph, id: NodeId, uses: &Uses) -> bool {
        if role_of(graph, id) != Role::Movement || !self.nodes.contains(&id) {
            return false;
        }
        let mut users = graph.node(id).results.iter().flat_map(|result| uses.users(*result));
        users.any(|user| match role_of(graph, *user) {
            Role::Heavy(_) => self.heavy == Some(*user),
            _ => self.leads_into_heavy(graph, *user, uses),
        })
    }

    /// Whether computing `value` where `user` reads it wastes nothing.
    fn may_compute_for(&self, graph: &Graph, role: Role, user: NodeId, place: usize, value: ValueId) -> bool {
        let node = graph.node(user);
        let moves = role == Role::Movement;
        let size = |value: ValueId| graph.ty(value).elements().upper();
        match &node.op {
            // A broadcast, a gather or a window reads elements several times.
            Op::Broadcast { .. } | Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => {
                moves
                    || (role == Role::Elementwise && size(node.results[0]) <= size(value))
                    || from_reduction(graph, value, size(node.results[0]))
            }
            Op::DotGeneral { .. } => moves && !is_padded(graph, value),
            Op::Conv { .. } => false,
            Op::ReduceWindow { .. } | Op::ArgMaxWindow { .. } => moves && !is_padded(graph, value),
            Op::Sort { .. } | Op::TopK { .. } | Op::Cumulative { .. } => {
                matches!(role, Role::Movement | Role::Elementwise)
            }
            Op::ArgReduce { .. } => matches!(role, Role::Movement | Role::Elementwise),
            Op::ScatterElements { .. } | Op::ScatterNd { .. } | Op::DynamicUpdateSlice => moves && place != 1,
            Op::DynamicSlice { .. } => place == 0 && moves,
            Op::RandomBits { .. } => false,
            Op::Concat { .. } => !matches!(role, Role::Heavy(_) | Role::Reduction),
            Op::Select | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) => true,
            _ => true,
        }
    }

    /// One heavy node, whose result goes to the root through elementwise nodes of the same shape only.
    fn takes_heavy(&self, graph: &Graph, value: ValueId, uses: &Uses) -> bool {
        let root = graph.node(self.root).results[0];
        if self.heavy.is_some() || self.reduction.is_some() || graph.ty(root).shape != graph.ty(value).shape {
            return false;
        }
        let mut stack = vec![value];
        let mut seen = cranelift_entity::EntitySet::<ValueId>::new();
        while let Some(current) = stack.pop() {
            if !seen.insert(current) {
                continue;
            }
            for user in uses.users(current).iter().filter(|user| self.nodes.contains(user)) {
                let node = graph.node(*user);
                if role(&node.op) != Role::Elementwise {
                    return false;
                }
                stack.push(node.results[0]);
            }
        }
        true
    }

    /// Reductions of one shape over the same axes, in a group whose result has that shape or the reduced one.
    fn takes_reduction(&self, graph: &Graph, id: NodeId) -> bool {
        let node = graph.node(id);
        let Op::Reduce { axes, .. } = &node.op else { return false };
        let operand = &graph.ty(node.operands[0]).shape;
        let reduced = &graph.ty(node.results[0]).shape;
        let root = &graph.ty(graph.node(self.root).results[0]).shape;
        let alike = match &self.reduction {
            Some((shape, known)) => shape == operand && known == axes,
            None => true,
        };
        self.heavy.is_none()
            && alike
            && self.kind != FusionKind::Single
            && (root == operand || root == reduced)
    }
}

/// Nodes that read a value, directly or through broadcasts that are copied with them: the direct readers with the operand's place.
fn readers(graph: &Graph, value: ValueId, uses: &Uses) -> Vec<(NodeId, usize)> {
    let mut readers = Vec::new();
    for user in uses.users(value) {
        let places = graph.node(*user).operands.iter().enumerate().filter(|(_, operand)| **operand == value);
        readers.extend(places.map(|(place, _)| (*user, place)));
    }
    readers
}

/// Whether a value is computed per row from a reduction of `elements` elements, so that spreading it again is part of a reduction cluster.
fn from_reduction(graph: &Graph, value: ValueId, elements: i64) -> bool {
    let Some(id) = graph.defining_node(value) else { return false };
    let node = graph.node(id);
    match &node.op {
        Op::Reduce { .. } => graph.ty(node.operands[0]).elements().upper() == elements,
        Op::Reshape { .. } => from_reduction(graph, node.operands[0], elements),
        op if role(op) == Role::Elementwise => {
            node.operands.iter().any(|operand| from_reduction(graph, *operand, elements))
        }
        _ => false,
    }
}

/// Whether a value is made by padding, so that reading it needs comparisons.
fn is_padded(graph: &Graph, value: ValueId) -> bool {
    graph.defining_node(value).is_some_and(|id| {
        matches!(
            graph.node(id).op,
            Op::Pad { .. } | Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. }
        )
    })
}

/// Whether a chain of elementwise nodes of one shape, whose results nothing else needs, leads from a contraction or window to `id`. Such nodes are
/// worth more behind the contraction, whose results are in registers then, than in front of what reads them.
fn follows_heavy(graph: &Graph, id: NodeId, uses: &Uses) -> bool {
    let mut id = id;
    for _ in 0..MOST_NODES {
        let node = graph.node(id);
        let shape = &graph.ty(node.results[0]).shape;
        let mut before = None;
        for operand in &node.operands {
            let Some(defining) = graph.defining_node(*operand) else { continue };
            let only = graph.ty(*operand).shape == *shape && all_lead_to(graph, *operand, id, uses, 0);
            match role_of(graph, defining) {
                Role::Heavy(_) if only => return true,
                Role::Elementwise if only => before = before.or(Some(defining)),
                _ => {}
            }
        }
        match before {
            Some(defining) => id = defining,
            None => return false,
        }
    }
    false
}

/// Elementwise nodes between a value and the node that all its users lead to at most.
const MOST_BETWEEN: usize = 4;

/// Whether all users of a value are elementwise nodes of its shape that lead to `id` only: x in max(x, 0) + 0.1·min(x, 0).
fn all_lead_to(graph: &Graph, value: ValueId, id: NodeId, uses: &Uses, depth: usize) -> bool {
    let leads = |user: &NodeId| {
        let node = graph.node(*user);
        *user == id
            || (depth < MOST_BETWEEN
                && role(&node.op) == Role::Elementwise
                && graph.ty(node.results[0]).shape == graph.ty(value).shape
                && all_lead_to(graph, node.results[0], id, uses, depth + 1))
    };
    !uses.is_result(value) && uses.users(value).iter().all(leads)
}
