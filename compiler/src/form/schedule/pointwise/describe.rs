//! What all schedules say about groups: names, costs, lanes, task numbers.

use super::super::Context;
use crate::form::group::Group;
use crate::program::Cost;
use graven_ir::{DType, Dim, Graph, Op, TensorType, ValueId};

/// The lanes that all values of the group have vectors of; 1 if their sizes are mixed.
pub fn group_lanes(graph: &Graph, context: &Context) -> u16 {
    let mut wide = false;
    let mut narrow = false;
    let mut visit = |ty: &TensorType| match ty.dtype.bytes() {
        8 => wide = true,
        _ => narrow |= ty.dtype != DType::Bool,
    };
    for id in graph.order() {
        let node = graph.node(id);
        let indices = match &node.op {
            // Indices are scalars wherever they are used.
            Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } | Op::DynamicSlice { .. } => {
                1..node.operands.len()
            }
            Op::RandomBits { .. } => 0..node.operands.len(),
            _ => 0..0,
        };
        for (place, operand) in node.operands.iter().enumerate() {
            if !indices.contains(&place) {
                visit(graph.ty(*operand));
            }
        }
        node.results.iter().for_each(|result| visit(graph.ty(*result)));
    }
    graph.results().iter().for_each(|result| visit(graph.ty(*result)));
    match (narrow, wide) {
        (true, true) => 1,
        (false, true) => context.target.lanes(8),
        _ => context.target.lanes(4),
    }
}

/// The coordinates of a row-major task number.
pub fn unflatten(task: &Dim, extents: &[Dim]) -> Vec<Dim> {
    let mut rest = task.clone();
    let mut places = Vec::with_capacity(extents.len());
    for (n, extent) in extents.iter().enumerate().rev() {
        if n == 0 {
            places.push(rest.clone());
        } else {
            places.push(rest.modulo(extent));
            rest = rest.floor_div(extent);
        }
    }
    places.reverse();
    places
}

/// The name of a kernel: the ops that it holds, shortened.
pub fn name(group: &Group) -> String {
    let mut names: Vec<&str> = Vec::new();
    for id in group.graph.order() {
        let node = group.graph.node(id);
        if !matches!(node.op, Op::Constant { .. } | Op::Broadcast { .. } | Op::Reshape { .. })
            && names.last() != Some(&node.op.name())
        {
            names.push(node.op.name());
        }
    }
    match names.len() {
        0 => "copy".into(),
        1..=4 => names.join("_"),
        n => format!("{}_{}_{n}_ops", names[..2].join("_"), names[n - 1]),
    }
}

/// Bytes of operands and results; operations counted once per element of each node's result, times what is accumulated.
pub fn cost(group: &Group) -> Cost {
    let graph = &group.graph;
    let size = |value: ValueId| {
        let ty = graph.ty(value);
        u64::try_from(ty.elements().upper()).unwrap_or(0).saturating_mul(ty.dtype.bytes() as u64)
    };
    let bytes =
        graph.params().iter().chain(graph.results()).map(|value| size(*value)).fold(0, u64::saturating_add);
    let flops = graph
        .order()
        .into_iter()
        .map(|id| crate::form::group::node_flops(graph, id))
        .fold(0, u64::saturating_add);
    Cost { flops, bytes }
}
