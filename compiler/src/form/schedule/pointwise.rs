//! One result element after the other, in the order of memory, vectorised along the innermost coordinate.
//!
//! A trial run of the evaluation records every index expression. From them follows which coordinates can be merged into
//! one long loop. The outermost coordinates are the parallel tasks.

use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::domain::{Domain, close_nest, open_nest};
use crate::form::group::Group;
use crate::form::view::{Lane, View, store};
use crate::kernel::Val;
use crate::program::Cost;
use graven_ir::{DType, Dim, Graph, Op, TensorType, ValueId};

/// Elements per task below which splitting over workers can't pay.
const TASK_ELEMENTS: i64 = 1024;

/// Values that are computed and stored in one loop nest.
struct Part {
    /// What is evaluated, all of one shape.
    values: Vec<ValueId>,
    /// The results that they are stored to.
    results: Vec<usize>,
    /// Where they start within the results.
    start: Vec<Dim>,
}

/// One kernel per set of results with the same shape and layout, or per operand of a concatenation.
pub fn schedule(group: &Group, context: &Context) -> Result<Vec<Scheduled>, FormError> {
    let parts = match concat_parts(group) {
        Some(parts) => parts,
        None => result_parts(group, context),
    };
    let stored = |part: &&Part| !group.graph.ty(part.values[0]).elements().is(0);
    parts.iter().filter(stored).map(|part| kernel(group, context, part)).collect()
}

fn result_parts(group: &Group, context: &Context) -> Vec<Part> {
    let results = group.graph.results();
    let shape = |n: usize| &group.graph.ty(results[n]).shape;
    let mut left: Vec<usize> = (0..results.len()).collect();
    let mut parts = Vec::new();
    while let Some(first) = left.first().copied() {
        let alike = |n: &usize| shape(*n) == shape(first) && context.results[*n] == context.results[first];
        let (set, rest): (Vec<usize>, Vec<usize>) = left.into_iter().partition(alike);
        left = rest;
        let values = set.iter().map(|n| results[*n]).collect();
        parts.push(Part { values, results: set, start: vec![Dim::ZERO; shape(first).len()] });
    }
    parts
}

/// The operands of a group whose only result is a concatenation.
fn concat_parts(group: &Group) -> Option<Vec<Part>> {
    let [_] = group.graph.results() else { return None };
    let node = group.result_node(0)?;
    let Op::Concat { axis } = node.op else { return None };
    let mut parts = Vec::with_capacity(node.operands.len());
    let mut place = Dim::ZERO;
    for operand in &node.operands {
        let shape = &group.graph.ty(*operand).shape;
        let mut start = vec![Dim::ZERO; shape.len()];
        start[axis] = place.clone();
        place = place + &shape[axis];
        parts.push(Part { values: vec![*operand], results: vec![0], start });
    }
    Some(parts)
}

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

fn kernel(group: &Group, context: &Context, part: &Part) -> Result<Scheduled, FormError> {
    let layout = &context.results[part.results[0]];
    let shape = &group.graph.ty(part.values[0]).shape;
    let mut domain = Domain::of(layout, shape);
    let addresses = trial(group, context, part, &domain)?;
    domain.merge(&addresses);
    let lanes = group_lanes(&group.graph, context);

    let mut draft = Draft::new(&name(group), group, context);
    let views: Vec<View> = part.results.iter().map(|n| draft.result(group, context, *n)).collect();
    let (outer, inner) = split_tasks(&domain);
    let tasks = domain.extents[..outer].iter().fold(Dim::ONE, |product, extent| product * extent);
    let (tasks, chunk) = match inner.is_empty() {
        // A single long coordinate is cut into chunks.
        true => (tasks.ceil_div(&Dim::from(TASK_ELEMENTS)), Some(tasks)),
        false => (tasks, None),
    };
    let parallel = draft.builder.open_parallel(&tasks);
    let task = parallel.index.clone();
    let mut body = Body { draft: &mut draft, domain: &domain, part, views: &views, lanes };
    match chunk {
        Some(total) => {
            let start = &task * TASK_ELEMENTS;
            let end = (&start + TASK_ELEMENTS).minimum(&total);
            body.innermost(&[], &start, &end)?;
        }
        None => {
            let mut coordinates = unflatten(&task, &domain.extents[..outer]);
            let (last, middle) = (inner.end - 1, inner.start..inner.end - 1);
            let (loops, places) = open_nest(&mut body.draft.builder, &domain.extents[middle]);
            coordinates.extend(places);
            body.innermost(&coordinates, &Dim::ZERO, &domain.extents[last])?;
            close_nest(&mut body.draft.builder, loops);
        }
    }
    draft.builder.close_loop(parallel, Vec::new());
    Ok(draft.finish(cost(group)))
}

struct Body<'d, 'a> {
    draft: &'d mut Draft<'a>,
    domain: &'d Domain,
    part: &'d Part,
    views: &'d [View],
    lanes: u16,
}

impl Body<'_, '_> {
    /// The loop over the innermost coordinate: vectors, then the rest one by one.
    fn innermost(&mut self, outer: &[Dim], start: &Dim, end: &Dim) -> Result<(), FormError> {
        let lanes = i64::from(self.lanes);
        let length = end - start;
        let whole = length.floor_div(&Dim::from(lanes)) * lanes;
        let middle = start + &whole;
        if lanes > 1 && !whole.is(0) {
            let nest = self.draft.builder.open_loop((start, &middle, lanes), &[]);
            let lane = Lane::new(self.lanes);
            let place = &nest.index + Dim::from(&lane.symbol);
            self.point(outer, place, Some(lane))?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        let rest = if lanes > 1 { &middle } else { start };
        if !(end - rest).is(0) {
            let nest = self.draft.builder.open_loop((rest, end, 1), &[]);
            let place = nest.index.clone();
            self.point(outer, place, None)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    fn point(&mut self, outer: &[Dim], place: Dim, lane: Option<Lane>) -> Result<(), FormError> {
        let coordinates: Vec<Dim> = outer.iter().cloned().chain([place]).collect();
        let index = self.domain.index(&coordinates);
        let Draft { builder, evaluator, .. } = &mut *self.draft;
        let results: Result<Vec<Val>, FormError> = evaluator.scope(|e| {
            e.with_lane(lane.clone(), |e| {
                self.part.values.iter().map(|value| e.value(builder, *value, &index)).collect()
            })
        });
        let place = shifted(&index, &self.part.start);
        for (view, result) in self.views.iter().zip(results?) {
            store(builder, view, &place, lane.as_ref(), result);
        }
        Ok(())
    }
}

fn shifted(index: &[Dim], start: &[Dim]) -> Vec<Dim> {
    index.iter().zip(start).map(|(place, start)| place + start).collect()
}

/// Runs the evaluation at the placeholders in a kernel that is thrown away; gives the index expressions that it asked for.
fn trial(group: &Group, context: &Context, part: &Part, domain: &Domain) -> Result<Vec<Dim>, FormError> {
    let mut draft = Draft::new("trial", group, context);
    let index = domain.symbolic_index();
    draft.builder.start_trace();
    for (n, value) in part.results.iter().zip(&part.values) {
        let view = draft.result(group, context, *n);
        let Draft { builder, evaluator, .. } = &mut draft;
        let result = evaluator.value(builder, *value, index)?;
        store(builder, &view, &shifted(index, &part.start), None, result);
    }
    Ok(draft.builder.take_trace())
}

/// How many leading coordinates become tasks, and the coordinates that are loops within a task.
fn split_tasks(domain: &Domain) -> (usize, std::ops::Range<usize>) {
    let rank = domain.rank();
    if rank <= 1 {
        return (rank, rank..rank);
    }
    let work = |from: usize| {
        domain.extents[from..].iter().fold(Dim::ONE, |product, extent| product * extent).upper()
    };
    let mut outer = 1;
    while outer + 1 < rank && work(outer) > 16 * TASK_ELEMENTS {
        outer += 1;
    }
    (outer, outer..rank)
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
