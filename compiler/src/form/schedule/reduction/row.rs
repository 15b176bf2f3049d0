//! The loops of a row, or of as many neighbouring rows as a vector has lanes.

use super::cluster::{Cluster, Softmax, is_costly, reaches};
use crate::form::FormError;
use crate::form::element::{Source, combiner, identity};
use crate::form::schedule::Draft;
use crate::form::schedule::pointwise::unflatten;
use crate::form::view::{Lane, View, store};
use crate::kernel::{Access, Binary, Compare, Horizontal, KernelBuilder, OpenLoop, Spread, Val, math};
use graven_ir::{DType, Dim, Op, ReduceOp, ValueId};

/// Vectors that a row loop keeps apart, to hide the latency of the combining operation.
const CHAINS: i64 = 4;

/// A kernel of rows under construction.
pub struct Emission<'k, 'a> {
    pub draft: &'k mut Draft<'a>,
    pub cluster: &'k Cluster,
    pub softmax: Softmax,
    /// The dimensions that are not reduced.
    pub kept: Vec<usize>,
    /// The results.
    pub views: Vec<View>,
    pub lanes: u16,
    pub along_row: bool,
}

impl Emission<'_, '_> {
    /// Vectors of rows that are neighbours in the innermost kept dimension, then the rest one by one.
    pub fn neighbouring_rows(&mut self, extents: &[Dim]) -> Result<(), FormError> {
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
    pub fn row(&mut self, row: &[Dim], lane: Option<Lane>) -> Result<(), FormError> {
        let graph = self.draft.evaluator.graph;
        let mut bound = Vec::new();
        for (n, id) in self.cluster.reductions.iter().enumerate() {
            let node = graph.node(*id);
            let Op::Reduce { combine, .. } = node.op else { continue };
            let operand = node.operands[0];
            let keep = self.worth_keeping(operand, n).then(|| self.scratch(operand, lane.as_ref()));
            let combine = Combine {
                operand,
                op: combine,
                dtype: self.draft.evaluator.dtype(operand),
                drops_nan: self.softmax.maxima.contains(id),
            };
            let total = self.reduce(&combine, row, lane.as_ref(), keep.as_ref())?;
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
        combine: &Combine,
        row: &[Dim],
        lane: Option<&Lane>,
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let length = self.cluster.length();
        let stretch = self.stretch();
        let lanes = lane.map_or(1, |lane| lane.count);
        let mut total = None;
        if stretch.lanes > 1 && !stretch.whole.is(0) {
            let lanes = stretch.lanes;
            let range = (&Dim::ZERO, &stretch.whole, i64::from(lanes));
            let mut vector = self.reduce_range(combine, (row, lane), range, keep)?;
            if let Some(start) = &stretch.overlapping {
                let along = Lane::new(lanes);
                let element = self.element(combine, (row, None, Some(&along)), start, keep)?;
                let element = self.only_new(combine, element, &(start + i64::from(lanes) - &stretch.whole));
                vector = combine.apply(&mut self.draft.builder, vector, element);
            }
            total = Some(combine.across(&mut self.draft.builder, vector));
        }
        if !(&length - &stretch.end).is(0) {
            let value = self.reduce_range(combine, (row, lane), (&stretch.end, &length, 1), keep)?;
            let b = &mut self.draft.builder;
            total = Some(match total {
                None => value,
                Some(total) => combine.apply(b, total, value),
            });
        }
        let b = &mut self.draft.builder;
        Ok(total.unwrap_or_else(|| identity(b, combine.op, combine.dtype, lanes)))
    }

    /// How vectors lie along a row.
    fn stretch(&self) -> Stretch {
        let length = self.cluster.length();
        if !self.along_row || self.lanes == 1 {
            return Stretch { lanes: 1, whole: Dim::ZERO, overlapping: None, end: Dim::ZERO };
        }
        let lanes = i64::from(self.lanes);
        let whole = length.floor_div(&Dim::from(lanes)) * lanes;
        let rest = (&length - &whole).as_const();
        match (rest, length.as_const()) {
            (Some(1..), Some(length)) if length >= lanes => {
                let start = Dim::from(length - lanes);
                Stretch { lanes: self.lanes, whole, overlapping: Some(start), end: Dim::from(length) }
            }
            _ => Stretch { lanes: self.lanes, end: whole.clone(), whole, overlapping: None },
        }
    }

    /// The last `count` lanes of a vector, the others neutral.
    fn only_new(&mut self, combine: &Combine, element: Val, count: &Dim) -> Val {
        let b = &mut self.draft.builder;
        let ty = b.ty(element);
        let lanes = ty.lanes;
        let count = count.as_const().unwrap_or(0);
        let ids = b.lane_ids(DType::I32, lanes);
        let first = b.int(i64::from(lanes) - count, b.ty(ids));
        let mask = b.compare(Compare::Ge, ids, first);
        let mask = b.convert_mask(mask, ty);
        let neutral = identity(b, combine.op, combine.dtype, lanes);
        b.select(mask, element, neutral)
    }

    /// Combines the places `first..last`, `step` of them at a time as a vector, in independent chains.
    fn reduce_range(
        &mut self,
        combine: &Combine,
        (row, lane): (&[Dim], Option<&Lane>),
        (first, last, step): (&Dim, &Dim, i64),
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let along = (step > 1).then(|| Lane::new(self.lanes));
        let lanes = (row, lane, along.as_ref());
        let count = along.as_ref().or(lane).map_or(1, |lane| lane.count);
        let stride = step * CHAINS;
        let middle = first + (last - first).floor_div(&Dim::from(stride)) * stride;
        let start = identity(&mut self.draft.builder, combine.op, combine.dtype, count);
        let mut chains = vec![start; CHAINS as usize];
        if !(&middle - first).is(0) {
            let nest = self.draft.builder.open_loop((first, &middle, stride), &chains);
            chains.clone_from(&nest.params);
            for (n, chain) in chains.iter_mut().enumerate() {
                let place = &nest.index + n as i64 * step;
                let element = self.element(combine, lanes, &place, keep)?;
                *chain = combine.apply(&mut self.draft.builder, *chain, element);
            }
            chains = self.draft.builder.close_loop(nest, chains);
        }
        let mut total = combine.together(&mut self.draft.builder, &chains);
        if !(last - &middle).is(0) {
            let nest: OpenLoop = self.draft.builder.open_loop((&middle, last, step), &[total]);
            let place = nest.index.clone();
            let element = self.element(combine, lanes, &place, keep)?;
            let next = combine.apply(&mut self.draft.builder, nest.params[0], element);
            total = self.draft.builder.close_loop(nest, vec![next])[0];
        }
        Ok(total)
    }

    /// The elements of a reduction's operand at a place of the row; they are kept in `keep`.
    fn element(
        &mut self,
        combine: &Combine,
        (row, lane, along): (&[Dim], Option<&Lane>, Option<&Lane>),
        place: &Dim,
        keep: Option<&RowView>,
    ) -> Result<Val, FormError> {
        let place = match along {
            Some(along) => place + Dim::from(&along.symbol),
            None => place.clone(),
        };
        let index = self.index(row, &place);
        let lane = along.or(lane).cloned();
        let Draft { builder: b, evaluator, .. } = &mut *self.draft;
        let element =
            evaluator.scope(|e| e.with_lane(lane.clone(), |e| e.value(b, combine.operand, &index)))?;
        if let Some(view) = keep {
            let (base, spread) = view.place(&index, lane.as_ref());
            b.store(element, view.buffer, &base, spread, None);
        }
        Ok(element)
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
        let stretch = self.stretch();
        let lanes = i64::from(stretch.lanes);
        let mut done = Dim::ZERO;
        for unroll in [CHAINS, 1] {
            let end = stretch.whole.floor_div(&Dim::from(lanes * unroll)) * (lanes * unroll);
            if lanes == 1 || (&end - &done).is(0) {
                continue;
            }
            let nest = self.draft.builder.open_loop((&done, &end, lanes * unroll), &[]);
            for n in 0..unroll {
                self.store_along(&full, &values, row, &(&nest.index + n * lanes))?;
            }
            self.draft.builder.close_loop(nest, Vec::new());
            done = end;
        }
        if let Some(start) = &stretch.overlapping {
            self.store_along(&full, &values, row, start)?;
        }
        if !(&length - &stretch.end).is(0) {
            let nest = self.draft.builder.open_loop((&stretch.end, &length, 1), &[]);
            let index = self.index(row, &nest.index);
            self.store(&full, &values, &index, lane)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    /// Stores a vector of the row.
    fn store_along(
        &mut self,
        which: &[usize],
        values: &[ValueId],
        row: &[Dim],
        place: &Dim,
    ) -> Result<(), FormError> {
        let along = Lane::new(self.lanes);
        let index = self.index(row, &(place + Dim::from(&along.symbol)));
        self.store(which, values, &index, Some(&along))
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

/// How vectors lie along a row: whole ones up to `whole`, then one that ends with the row and overlaps the last of them, or single elements from `end` on.
struct Stretch {
    lanes: u16,
    whole: Dim,
    overlapping: Option<Dim>,
    end: Dim,
}

/// A reduction.
struct Combine {
    operand: ValueId,
    op: ReduceOp,
    dtype: DType,
    /// NaN need not come through.
    drops_nan: bool,
}

impl Combine {
    fn apply(&self, b: &mut KernelBuilder, total: Val, element: Val) -> Val {
        match self.op {
            ReduceOp::Max if self.drops_nan => b.binary(Binary::Max, total, element),
            op => math::binary(b, combiner(op), self.dtype, total, element),
        }
    }

    /// Partial results combined pairwise.
    fn together(&self, b: &mut KernelBuilder, parts: &[Val]) -> Val {
        let mut parts = parts.to_vec();
        while parts.len() > 1 {
            parts = parts
                .chunks(2)
                .map(|pair| match pair {
                    [x, y] => self.apply(b, *x, *y),
                    _ => pair[0],
                })
                .collect();
        }
        parts[0]
    }

    /// The lanes of a partial result combined: halves with each other, until one lane is left.
    fn across(&self, b: &mut KernelBuilder, vector: Val) -> Val {
        let op = match self.op {
            ReduceOp::Sum => Some(Horizontal::Add),
            ReduceOp::Product => Some(Horizontal::Mul),
            // Max and min of the kernel IR drop NaN, and there is none for masks.
            ReduceOp::Max if self.drops_nan => Some(Horizontal::Max),
            ReduceOp::Max | ReduceOp::Min => None,
        };
        if let Some(op) = op.filter(|_| !b.ty(vector).is_mask()) {
            return b.horizontal(op, vector);
        }
        let lanes = b.ty(vector).lanes;
        if b.ty(vector).is_mask() {
            let scalars: Vec<Val> = (0..lanes).map(|lane| b.extract(vector, lane)).collect();
            return self.together(b, &scalars);
        }
        let mut vector = vector;
        let mut distance = lanes / 2;
        while distance > 0 {
            let swapped: Vec<u16> = (0..lanes).map(|lane| lane ^ distance).collect();
            let other = b.shuffle(vector, vector, &swapped);
            vector = self.apply(b, vector, other);
            distance /= 2;
        }
        b.extract(vector, 0)
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
