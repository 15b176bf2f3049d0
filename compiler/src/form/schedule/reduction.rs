//! Clusters around reductions over the same axes: softmax, norms, means with what is pointwise before and after.
//!
//! A task takes one index of the kept dimensions (a row): each reduction is one loop over the row, in the order of their dependence,
//! and the results are a last loop. Where the row's elements lie together, the loops are vectorised along the row; else vectors are
//! neighbouring rows. What a reduction reads and a later loop needs again is kept in scratch memory if it costs more than a load.

use super::pointwise::{self, group_lanes, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::element::{Source, combiner, identity};
use crate::form::group::Group;
use crate::form::view::{Lane, View, store};
use crate::kernel::{Access, Horizontal, OpenLoop, Spread, Val, math};
use graven_ir::{DType, Dim, Graph, NodeId, Op, ReduceOp, Shape, UnaryOp, ValueId};

/// Vectors that a row loop keeps apart, to hide the latency of the combining operation.
const CHAINS: i64 = 4;

/// The kernel of a group around reductions, or `None` if the schedule doesn't take it.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(cluster) = Cluster::of(&group.graph) else { return Ok(None) };
    let lanes = group_lanes(&group.graph, context);
    let innermost = cluster.shape.len() - 1;
    let along_row = cluster.axes.contains(&innermost);
    let single_vertical = !along_row && cluster.full_results.is_empty() && cluster.reductions.len() == 1;
    if single_vertical || !plain_layouts(group, context) {
        return Ok(None);
    }
    let mut draft = Draft::new(&pointwise::name(group), group, context);
    let views: Vec<View> = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let kept: Vec<usize> = (0..cluster.shape.len()).filter(|axis| !cluster.axes.contains(axis)).collect();
    let extents: Vec<Dim> = kept.iter().map(|axis| cluster.shape[*axis].clone()).collect();
    let mut kernel = Emission { draft: &mut draft, cluster: &cluster, kept, views, lanes, along_row };
    if along_row || lanes == 1 {
        let rows = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
        let parallel = kernel.draft.builder.open_parallel(&rows);
        let row = unflatten(&parallel.index, &extents);
        kernel.row(&row, None)?;
        kernel.draft.builder.close_loop(parallel, Vec::new());
    } else {
        kernel.neighbouring_rows(&extents)?;
    }
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}

fn plain_layouts(group: &Group, context: &Context) -> bool {
    let _ = group;
    context.operands.iter().chain(&context.results).all(|layout| layout.is_row_major())
}

/// The reductions of a group.
struct Cluster {
    /// Shape of what is reduced.
    shape: Shape,
    /// The reduced axes.
    axes: Vec<usize>,
    /// Reductions in the order of their dependence.
    reductions: Vec<NodeId>,
    /// Results with the shape of what is reduced.
    full_results: Vec<usize>,
}

impl Cluster {
    /// `None` unless all reductions have the same operand shape and axes, and each result has that shape or the reduced one.
    fn of(graph: &Graph) -> Option<Cluster> {
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
    fn length(&self) -> Dim {
        self.axes.iter().fold(Dim::ONE, |product, axis| product * &self.shape[*axis])
    }
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    cluster: &'k Cluster,
    kept: Vec<usize>,
    views: Vec<View>,
    lanes: u16,
    along_row: bool,
}

impl Emission<'_, '_> {
    /// Vectors of rows that are neighbours in the innermost kept dimension, then the rest one by one.
    fn neighbouring_rows(&mut self, extents: &[Dim]) -> Result<(), FormError> {
        let (outer, inner) = extents.split_at(extents.len() - 1);
        let lanes = i64::from(self.lanes);
        let vectors = inner[0].ceil_div(&Dim::from(lanes));
        let tasks: Vec<Dim> = outer.iter().cloned().chain([vectors]).collect();
        let parallel = self
            .draft
            .builder
            .open_parallel(&tasks.iter().fold(Dim::ONE, |product, extent| product * extent));
        let places = unflatten(&parallel.index, &tasks);
        let (outer, vector) = places.split_at(places.len() - 1);
        let start = &vector[0] * lanes;
        let whole = inner[0].floor_div(&Dim::from(lanes)) * lanes;
        // Zero or one trips of the vector, then what is left behind the last whole vector.
        let nest = self.draft.builder.open_loop((&start, &(&start + lanes).minimum(&whole), lanes), &[]);
        let lane = Lane::new(self.lanes);
        let row: Vec<Dim> = outer.iter().cloned().chain([&nest.index + Dim::from(&lane.symbol)]).collect();
        self.row(&row, Some(lane))?;
        self.draft.builder.close_loop(nest, Vec::new());
        if !inner[0].modulo(&Dim::from(lanes)).is(0) {
            let nest = self
                .draft
                .builder
                .open_loop((&start.maximum(&whole), &(&start + lanes).minimum(&inner[0]), 1), &[]);
            let row: Vec<Dim> = outer.iter().cloned().chain([nest.index.clone()]).collect();
            self.row(&row, None)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        self.draft.builder.close_loop(parallel, Vec::new());
        Ok(())
    }

    /// The index of an element of a row.
    fn index(&self, row: &[Dim], place: &Dim) -> Vec<Dim> {
        let extents: Vec<Dim> =
            self.cluster.axes.iter().map(|axis| self.cluster.shape[*axis].clone()).collect();
        let places = unflatten(place, &extents);
        let mut index = vec![Dim::ZERO; self.cluster.shape.len()];
        self.kept.iter().zip(row).for_each(|(axis, dim)| index[*axis] = dim.clone());
        self.cluster.axes.iter().zip(places).for_each(|(axis, dim)| index[*axis] = dim);
        index
    }

    /// One row, or as many neighbouring rows as `lane` has lanes.
    fn row(&mut self, row: &[Dim], lane: Option<Lane>) -> Result<(), FormError> {
        let graph = self.draft.evaluator.graph;
        let mut bound = Vec::new();
        for (n, id) in self.cluster.reductions.iter().enumerate() {
            let node = graph.node(*id);
            let Op::Reduce { combine, .. } = node.op else { continue };
            let operand = node.operands[0];
            let keep = self.worth_keeping(operand, n).then(|| self.scratch(operand, lane.as_ref()));
            let total = self.reduce(operand, combine, row, lane.as_ref(), keep.as_ref())?;
            let result = node.results[0];
            bound.push((result, self.draft.evaluator.source(result).clone()));
            self.draft.evaluator.bind(result, Source::Row { index: row.to_vec(), value: total });
            if let Some(view) = keep {
                bound.push((operand, self.draft.evaluator.source(operand).clone()));
                self.draft.evaluator.bind(operand, Source::Scratch(view));
            }
        }
        self.results(row, lane.as_ref())?;
        bound.into_iter().rev().for_each(|(value, source)| self.draft.evaluator.bind(value, source));
        Ok(())
    }

    /// Whether an operand of the n-th reduction is costly and a later loop computes it again.
    fn worth_keeping(&self, operand: ValueId, n: usize) -> bool {
        let graph = self.draft.evaluator.graph;
        let later = &self.cluster.reductions[n + 1..];
        let needed = |from: ValueId| reaches(graph, from, operand, &self.cluster.reductions);
        let again = later.iter().any(|id| needed(graph.node(*id).operands[0]))
            || self.cluster.full_results.iter().any(|r| needed(graph.results()[*r]));
        again && matches!(self.draft.evaluator.source(operand), Source::Node) && is_costly(graph, operand)
    }

    fn scratch(&mut self, value: ValueId, lane: Option<&Lane>) -> RowView {
        let count = lane.map_or(1, |lane| i64::from(lane.count));
        let dtype = match self.draft.evaluator.dtype(value) {
            // Halves are computed in f32 and need not be rounded in between.
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        };
        let elements = self.cluster.length() * count;
        let buffer = self.draft.builder.buffer("row", dtype, elements, Access::Scratch);
        let mut strides = vec![Dim::ZERO; self.cluster.shape.len()];
        let mut stride = Dim::from(count);
        for axis in self.cluster.axes.iter().rev() {
            strides[*axis] = stride.clone();
            stride = stride * &self.cluster.shape[*axis];
        }
        RowView { buffer, strides, lane_stride: i64::from(lane.is_some()) }
    }

    /// The loop of one reduction; its operand is kept in `keep`.
    fn reduce(
        &mut self,
        operand: ValueId,
        combine: ReduceOp,
        row: &[Dim],
        lane: Option<&Lane>,
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let dtype = self.draft.evaluator.dtype(operand);
        let length = self.cluster.length();
        let vectorised = self.along_row && self.lanes > 1;
        let lanes = if vectorised { i64::from(self.lanes) } else { 1 };
        let whole = length.floor_div(&Dim::from(lanes)) * lanes;
        let mut total = None;
        if vectorised && !whole.is(0) {
            let vector =
                self.reduce_range(operand, combine, (row, lane), (&Dim::ZERO, &whole, lanes), keep)?;
            let b = &mut self.draft.builder;
            total = Some(horizontal(b, combine, vector, dtype));
        }
        let rest = if vectorised { whole } else { Dim::ZERO };
        if !(&length - &rest).is(0) {
            let value = self.reduce_range(operand, combine, (row, lane), (&rest, &length, 1), keep)?;
            let b = &mut self.draft.builder;
            total = Some(match total {
                None => value,
                Some(total) => math::binary(b, combiner(combine), dtype, total, value),
            });
        }
        let lanes = lane.map_or(1, |lane| lane.count);
        Ok(total.unwrap_or_else(|| identity(&mut self.draft.builder, combine, dtype, lanes)))
    }

    /// Combines the places `first..last`, `step` of them at a time as a vector, in independent chains.
    fn reduce_range(
        &mut self,
        operand: ValueId,
        combine: ReduceOp,
        (row, lane): (&[Dim], Option<&Lane>),
        (first, last, step): (&Dim, &Dim, i64),
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let dtype = self.draft.evaluator.dtype(operand);
        let along = (step > 1).then(|| Lane::new(self.lanes));
        let count = along.as_ref().or(lane).map_or(1, |lane| lane.count);
        let stride = step * CHAINS;
        let middle = first + (last - first).floor_div(&Dim::from(stride)) * stride;
        let start = identity(&mut self.draft.builder, combine, dtype, count);
        let mut chains = vec![start; CHAINS as usize];
        if !(&middle - first).is(0) {
            let nest = self.draft.builder.open_loop((first, &middle, stride), &chains);
            chains.clone_from(&nest.params);
            for (n, chain) in chains.iter_mut().enumerate() {
                let place = &nest.index + n as i64 * step;
                *chain =
                    self.combine_one(operand, combine, (row, lane, along.as_ref()), &place, *chain, keep)?;
            }
            chains = self.draft.builder.close_loop(nest, chains);
        }
        let mut total = chains[0];
        for chain in &chains[1..] {
            total = math::binary(&mut self.draft.builder, combiner(combine), dtype, total, *chain);
        }
        if !(last - &middle).is(0) {
            let nest: OpenLoop = self.draft.builder.open_loop((&middle, last, step), &[total]);
            let place = nest.index.clone();
            let next = self.combine_one(
                operand,
                combine,
                (row, lane, along.as_ref()),
                &place,
                nest.params[0],
                keep,
            )?;
            total = self.draft.builder.close_loop(nest, vec![next])[0];
        }
        Ok(total)
    }

    fn combine_one(
        &mut self,
        operand: ValueId,
        combine: ReduceOp,
        (row, lane, along): (&[Dim], Option<&Lane>, Option<&Lane>),
        place: &Dim,
        total: Val,
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let dtype = self.draft.evaluator.dtype(operand);
        let place = match along {
            Some(along) => place + Dim::from(&along.symbol),
            None => place.clone(),
        };
        let index = self.index(row, &place);
        let lane = along.or(lane).cloned();
        let Draft { builder: b, evaluator, .. } = &mut *self.draft;
        let element = evaluator.scope(|e| e.with_lane(lane.clone(), |e| e.value(b, operand, &index)))?;
        if let Some(view) = keep {
            let (base, spread) = view.place(&index, lane.as_ref());
            b.store(element, view.buffer, &base, spread, None);
        }
        Ok(math::binary(b, combiner(combine), dtype, total, element))
    }

    /// Stores the results: reduced ones once per row, full ones element by element.
    fn results(&mut self, row: &[Dim], lane: Option<&Lane>) -> Result<(), FormError> {
        let results = self.draft.evaluator.graph.results().to_vec();
        for (n, result) in results.iter().enumerate() {
            if !self.cluster.full_results.contains(&n) {
                self.store(&[n], &[*result], row, lane)?;
            }
        }
        let full: Vec<usize> = self.cluster.full_results.clone();
        let values: Vec<ValueId> = full.iter().map(|n| results[*n]).collect();
        if full.is_empty() {
            return Ok(());
        }
        let length = self.cluster.length();
        let vectorised = self.along_row && self.lanes > 1;
        let lanes = if vectorised { i64::from(self.lanes) } else { 1 };
        let whole = length.floor_div(&Dim::from(lanes)) * lanes;
        if vectorised && !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, lanes), &[]);
            let along = Lane::new(self.lanes);
            let index = self.index(row, &(&nest.index + Dim::from(&along.symbol)));
            self.store(&full, &values, &index, Some(&along))?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        let rest = if vectorised { whole } else { Dim::ZERO };
        if !(&length - &rest).is(0) {
            let nest = self.draft.builder.open_loop((&rest, &length, 1), &[]);
            let index = self.index(row, &nest.index);
            self.store(&full, &values, &index, lane)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    fn store(
        &mut self,
        which: &[usize],
        values: &[ValueId],
        index: &[Dim],
        lane: Option<&Lane>,
    ) -> Result<(), FormError> {
        let Draft { builder: b, evaluator, .. } = &mut *self.draft;
        let elements: Result<Vec<Val>, FormError> = evaluator.scope(|e| {
            e.with_lane(lane.cloned(), |e| values.iter().map(|value| e.value(b, *value, index)).collect())
        });
        for (n, element) in which.iter().zip(elements?) {
            store(b, &self.views[*n], index, lane, element);
        }
        Ok(())
    }
}

/// Elements of a row in scratch memory.
#[derive(Clone, Debug)]
pub struct RowView {
    /// The buffer.
    pub buffer: crate::kernel::BufferId,
    /// Elements per step of each dimension; 0 for the kept ones.
    pub strides: Vec<Dim>,
    /// Elements between neighbouring rows of a vector of rows.
    pub lane_stride: i64,
}

impl RowView {
    /// The place of an element, or of the first lane.
    pub fn place(&self, index: &[Dim], lane: Option<&Lane>) -> (Dim, Spread) {
        let element = index.iter().zip(&self.strides).fold(Dim::ZERO, |sum, (i, stride)| sum + i * stride);
        let base = match lane {
            Some(lane) => element.substitute(&|symbol| (*symbol == lane.symbol).then_some(Dim::ZERO)),
            None => element,
        };
        (base, Spread::Contiguous)
    }
}

/// The lanes of a partial result combined.
fn horizontal(b: &mut crate::kernel::KernelBuilder, combine: ReduceOp, vector: Val, dtype: DType) -> Val {
    let op = match combine {
        ReduceOp::Sum => Horizontal::Add,
        ReduceOp::Product => Horizontal::Mul,
        // Max and min of the kernel IR drop NaN, and there is none for masks: lane by lane.
        ReduceOp::Max | ReduceOp::Min => {
            let lanes = b.ty(vector).lanes;
            let mut total = b.extract(vector, 0);
            for k in 1..lanes {
                let lane = b.extract(vector, k);
                total = math::binary(b, combiner(combine), dtype, total, lane);
            }
            return total;
        }
    };
    b.horizontal(op, vector)
}

/// Whether evaluating `from` evaluates `value`, without passing through a reduction.
fn reaches(graph: &Graph, from: ValueId, value: ValueId, reductions: &[NodeId]) -> bool {
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
fn is_costly(graph: &Graph, value: ValueId) -> bool {
    let mut stack = vec![value];
    let mut seen = cranelift_entity::EntitySet::<ValueId>::new();
    while let Some(current) = stack.pop() {
        let Some(id) = graph.defining_node(current).filter(|_| seen.insert(current)) else { continue };
        let node = graph.node(id);
        let simple = |op: UnaryOp| matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Not);
        match &node.op {
            Op::Unary(op) if !simple(*op) => return true,
            Op::Binary(graven_ir::BinaryOp::Pow | graven_ir::BinaryOp::Div) | Op::Gelu { .. } | Op::Silu => {
                return true;
            }
            Op::Reduce { .. } => {}
            _ => stack.extend(node.operands.iter().copied()),
        }
    }
    false
}
