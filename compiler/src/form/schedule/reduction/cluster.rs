//! What a group of reductions is made of.

use graven_ir::{BinaryOp, Dim, Graph, NodeId, Op, ReduceOp, Shape, UnaryOp, ValueId};

/// The reductions of a group.
pub struct Cluster {
    /// Shape of what is reduced.
    pub shape: Shape,
    /// The reduced axes.
    pub axes: Vec<usize>,
    /// Reductions in the order of their dependence.
    pub reductions: Vec<NodeId>,
    /// Results with the shape of what is reduced.
    pub full_results: Vec<usize>,
}

impl Cluster {
    /// `None` unless all reductions have the same operand shape and axes, and each result has that shape or the reduced one.
    pub fn of(graph: &Graph) -> Option<Cluster> {
        let mut cluster: Option<Cluster> = None;
        let heavy = |op: &Op| {
            matches!(
                op,
                Op::DotGeneral { .. } | Op::Conv { .. } | Op::ReduceWindow { .. } | Op::ArgReduce { .. }
            )
        };
        for id in graph.order() {
            let node = graph.node(id);
            if heavy(&node.op) {
                return None;
            }
            let Op::Reduce { axes, .. } = &node.op else { continue };
            let shape = &graph.ty(node.operands[0]).shape;
            match &mut cluster {
                None => {
                    let (shape, axes) = (shape.clone(), axes.clone());
                    cluster = Some(Cluster { shape, axes, reductions: vec![id], full_results: Vec::new() });
                }
                Some(known) if known.shape == *shape && known.axes == *axes => known.reductions.push(id),
                Some(_) => return None,
            }
        }
        let mut cluster = cluster?;
        if cluster.axes.is_empty() || cluster.shape.is_empty() {
            return None;
        }
        let reduced = cluster.reduced_shape();
        for (n, result) in graph.results().iter().enumerate() {
            let shape = &graph.ty(*result).shape;
            if *shape == cluster.shape {
                cluster.full_results.push(n);
            } else if *shape != reduced {
                return None;
            }
        }
        Some(cluster)
    }

    fn reduced_shape(&self) -> Shape {
        let kept = |(axis, _): &(usize, &Dim)| !self.axes.contains(axis);
        self.shape.iter().enumerate().filter(kept).map(|(_, extent)| extent.clone()).collect()
    }

    /// Elements of a row.
    pub fn length(&self) -> Dim {
        self.axes.iter().fold(Dim::ONE, |product, axis| product * &self.shape[*axis])
    }
}

/// Whether evaluating `from` evaluates `value`, without passing through a reduction.
pub fn reaches(graph: &Graph, from: ValueId, value: ValueId, reductions: &[NodeId]) -> bool {
    let mut stack = vec![from];
    let mut seen = cranelift_entity::EntitySet::<ValueId>::new();
    while let Some(current) = stack.pop() {
        if current == value {
            return true;
        }
        if !seen.insert(current) {
            continue;
        }
        if let Some(id) = graph.defining_node(current).filter(|id| !reductions.contains(id)) {
            stack.extend(graph.node(id).operands.iter().copied());
        }
    }
    false
}

/// Whether computing an element takes more than a few simple instructions.
pub fn is_costly(graph: &Graph, value: ValueId) -> bool {
    let mut stack = vec![value];
    let mut seen = cranelift_entity::EntitySet::<ValueId>::new();
    while let Some(current) = stack.pop() {
        let Some(id) = graph.defining_node(current).filter(|_| seen.insert(current)) else { continue };
        let node = graph.node(id);
        let simple = |op: UnaryOp| matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Not);
        match &node.op {
            Op::Unary(op) if !simple(*op) => return true,
            Op::Binary(BinaryOp::Pow | BinaryOp::Div) | Op::Gelu { .. } | Op::Silu => {
                return true;
            }
            Op::Reduce { .. } => {}
            _ => stack.extend(node.operands.iter().copied()),
        }
    }
    false
}

/// What a softmax lets the code leave out.
#[derive(Default)]
pub struct Softmax {
    /// Operands of exponentials that are never positive, since their rows' maxima were subtracted.
    pub nonpositive: Vec<ValueId>,
    /// Sums of such exponentials, which are at least 1: dividing by them is multiplying by their reciprocals.
    pub sums: Vec<ValueId>,
    /// Reductions to maxima that need not be NaN where an element is, since the exponential of that element is, and the sum.
    pub maxima: Vec<NodeId>,
}

impl Softmax {
    /// What holds for the group's values.
    pub fn of(graph: &Graph, cluster: &Cluster) -> Softmax {
        let mut found = Softmax::default();
        for id in graph.order() {
            let node = graph.node(id);
            let Op::Unary(UnaryOp::Exp) = node.op else { continue };
            let Some(maximum) = subtracted_maximum(graph, node.operands[0]) else { continue };
            found.nonpositive.push(node.operands[0]);
            let summed = |id: &&NodeId| {
                let reduction = graph.node(**id);
                matches!(reduction.op, Op::Reduce { combine: ReduceOp::Sum, .. })
                    && reduction.operands[0] == node.results[0]
            };
            let Some(sum) = cluster.reductions.iter().find(summed) else { continue };
            let sum = graph.node(*sum).results[0];
            found.sums.push(sum);
            if graph.results().iter().all(|result| reaches(graph, *result, sum, &[])) {
                found.maxima.push(maximum);
            }
        }
        found
    }
}

/// The reduction of `x − max x` to its maximum.
fn subtracted_maximum(graph: &Graph, value: ValueId) -> Option<NodeId> {
    let node = graph.node(graph.defining_node(value)?);
    let Op::Binary(BinaryOp::Sub) = node.op else { return None };
    let id = graph.defining_node(spread_source(graph, node.operands[1]))?;
    let maximum = graph.node(id);
    let largest = matches!(maximum.op, Op::Reduce { combine: ReduceOp::Max, .. });
    (largest && maximum.operands[0] == node.operands[0]).then_some(id)
}

/// What a value repeats along the reduced dimensions.
fn spread_source(graph: &Graph, value: ValueId) -> ValueId {
    let mut value = value;
    while let Some(id) = graph.defining_node(value) {
        match &graph.node(id).op {
            Op::Broadcast { .. } | Op::Reshape { .. } => value = graph.node(id).operands[0],
            _ => break,
        }
    }
    value
}
