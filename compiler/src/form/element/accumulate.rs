//! Reductions, windows and contractions as loops around the evaluation of their operands. Correct for every layout and fusion; the
//! schedules of contractions take over where speed matters.

use super::Evaluator;
use crate::form::FormError;
use crate::kernel::{Binary, Compare, KernelBuilder, OpenLoop, Type, Val, math};
use graven_ir::{
    BinaryOp, ConvDimensions, DType, DTypeClass, Dim, DimensionRole, Node, Op, ReduceOp, UnaryOp, ValueId,
};

/// A window along one dimension: output place o and window place k read input place o·stride + k·dilation − low.
struct Axis<'a> {
    place: &'a Dim,
    extent: &'a Dim,
    size: Dim,
    stride: i64,
    dilation: i64,
    low: &'a Dim,
}

impl Axis<'_> {
    /// The window places that lie within the input.
    fn range(&self) -> (Dim, Dim) {
        let start = self.place * self.stride - self.low;
        let dilation = Dim::from(self.dilation);
        let first = (-start.clone()).ceil_div(&dilation).maximum(&Dim::ZERO);
        let end = (self.extent - &start).ceil_div(&dilation).minimum(&self.size);
        (first, end)
    }

    fn input(&self, window: &Dim) -> Dim {
        self.place * self.stride + window * self.dilation - self.low
    }
}

/// The function that combines two elements, and the element that it leaves alone.
pub fn combiner(combine: ReduceOp) -> BinaryOp {
    match combine {
        ReduceOp::Sum => BinaryOp::Add,
        ReduceOp::Product => BinaryOp::Mul,
        ReduceOp::Max => BinaryOp::Max,
        ReduceOp::Min => BinaryOp::Min,
    }
}

/// The reduction of no element, in all lanes.
pub fn identity(b: &mut KernelBuilder, combine: ReduceOp, dtype: DType, lanes: u16) -> Val {
    let extreme = |b: &mut KernelBuilder, low: bool| match dtype.int_range() {
        Some((lowest, highest)) => {
            let value = if low { lowest } else { highest };
            // The highest u64 has the bits of −1.
            b.int(value as i64, math::register_type(dtype, lanes))
        }
        None => {
            b.float(if low { f64::NEG_INFINITY } else { f64::INFINITY }, math::register_type(dtype, lanes))
        }
    };
    match (combine, dtype.class()) {
        (ReduceOp::Max, _) => extreme(b, true),
        (ReduceOp::Min, _) => extreme(b, false),
        (ReduceOp::Sum, DTypeClass::Float) => b.float(0.0, math::register_type(dtype, lanes)),
        (ReduceOp::Product, DTypeClass::Float) => b.float(1.0, math::register_type(dtype, lanes)),
        (ReduceOp::Sum, _) => b.int(0, math::register_type(dtype, lanes)),
        (ReduceOp::Product, _) => b.int(1, math::register_type(dtype, lanes)),
    }
}

/// Opens one loop per range, all carrying the same values.
fn open_loops(b: &mut KernelBuilder, ranges: &[(Dim, Dim)], inits: &[Val]) -> Vec<OpenLoop> {
    let mut carried = inits.to_vec();
    let mut loops = Vec::with_capacity(ranges.len());
    for (lower, upper) in ranges {
        let nest = b.open_loop((lower, upper, 1), &carried);
        carried.clone_from(&nest.params);
        loops.push(nest);
    }
    loops
}

/// Places of a window that are written one after the other instead of as a loop.
const MOST_UNROLLED: i64 = 16;

/// The first of the trailing axes whose places are written out.
fn unrolled_axes(ranges: &[(Dim, Dim)]) -> usize {
    let mut places = 1;
    let mut first = ranges.len();
    for (axis, (lower, upper)) in ranges.iter().enumerate().rev() {
        match (upper - lower).as_const() {
            Some(length) if length >= 1 && places * length <= MOST_UNROLLED => places *= length,
            _ => break,
        }
        first = axis;
    }
    first
}

/// All places of ranges of constant lengths, in row-major order.
fn places(ranges: &[(Dim, Dim)]) -> Vec<Vec<Dim>> {
    ranges.iter().fold(vec![Vec::new()], |places, (lower, upper)| {
        let length = (upper - lower).as_const().unwrap_or(0);
        let next = |place: Vec<Dim>| {
            (0..length).map(move |k| place.iter().cloned().chain([lower + k]).collect::<Vec<Dim>>())
        };
        places.into_iter().flat_map(next).collect()
    })
}

fn close_loops(b: &mut KernelBuilder, loops: Vec<OpenLoop>, yields: Vec<Val>) -> Vec<Val> {
    loops.into_iter().rev().fold(yields, |yields, nest| b.close_loop(nest, yields))
}

fn carried(loops: &[OpenLoop], inits: &[Val]) -> Vec<Val> {
    loops.last().map_or_else(|| inits.to_vec(), |nest| nest.params.clone())
}

impl Evaluator<'_> {
    pub(super) fn accumulate(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        match &node.op {
            Op::Reduce { combine, axes } => self.reduce(b, node.operands[0], index, *combine, axes),
            Op::ReduceWindow { combine, .. } => self.reduce_window(b, node, value, index, *combine),
            Op::DotGeneral { .. } => self.dot(b, node, value, index),
            Op::Conv { .. } => self.conv(b, node, value, index),
            op => Err(FormError::internal(format!("`{}` does not accumulate", op.name()))),
        }
    }

    fn reduce(
        &mut self,
        b: &mut KernelBuilder,
        operand: ValueId,
        index: &[Dim],
        combine: ReduceOp,
        axes: &[usize],
    ) -> Result<Val, FormError> {
        let dtype = self.dtype(operand);
        let shape = self.graph.ty(operand).shape.clone();
        let start = identity(b, combine, dtype, self.lanes());
        let ranges: Vec<_> = axes.iter().map(|axis| (Dim::ZERO, shape[*axis].clone())).collect();
        let Some(((_, last), outer)) = ranges.split_last() else { return self.value(b, operand, index) };
        let chains = self.chains(last);
        let inits = vec![start; chains as usize];
        let loops = open_loops(b, outer, &inits);
        let places: Vec<Dim> = loops.iter().map(|nest| nest.index.clone()).collect();
        let whole = last.floor_div(&Dim::from(chains)) * chains;
        let nest = b.open_loop((&Dim::ZERO, &whole, chains), &carried(&loops, &inits));
        let at = |place: Dim| {
            let mut kept = index.iter();
            let mut inner = Vec::with_capacity(shape.len());
            for axis in 0..shape.len() {
                inner.push(match axes.iter().position(|reduced| *reduced == axis) {
                    Some(n) => places.get(n).unwrap_or(&place).clone(),
                    None => kept.next().cloned().unwrap_or(Dim::ZERO),
                });
            }
            inner
        };
        let mut totals = nest.params.clone();
        for (n, total) in totals.iter_mut().enumerate() {
            let element = self.scope(|e| e.value(b, operand, &at(&nest.index + n as i64)))?;
            *total = math::binary(b, combiner(combine), dtype, *total, element);
        }
        totals = b.close_loop(nest, totals);
        for (n, total) in totals.iter_mut().enumerate().take((last - &whole).as_const().unwrap_or(0) as usize)
        {
            let element = self.scope(|e| e.value(b, operand, &at(&whole + n as i64)))?;
            *total = math::binary(b, combiner(combine), dtype, *total, element);
        }
        let totals = close_loops(b, loops, totals);
        Ok(totals.into_iter().reduce(|x, y| math::binary(b, combiner(combine), dtype, x, y)).unwrap_or(start))
    }

    /// Partial results that a reduction along a dimension keeps apart, to hide the latency of the combining operation.
    fn chains(&self, extent: &Dim) -> i64 {
        const CHAINS: i64 = 4;
        const SMALL_GROUP: usize = 32;
        let long = extent.as_const().is_some_and(|extent| extent >= CHAINS);
        if long && self.graph.order().len() <= SMALL_GROUP { CHAINS } else { 1 }
    }

    /// Whether the windowed dimensions depend on the lane, so that lanes have windows of different extents.
    fn windows_vary(&self, index: &[Dim], size: &[i64], low: &[Dim], high: &[Dim]) -> bool {
        let padded = |axis: usize| size[axis] > 1 || !low[axis].is(0) || !high[axis].is(0);
        self.lane.as_ref().is_some_and(|lane| {
            (0..index.len()).any(|axis| padded(axis) && index[axis].contains(&lane.symbol))
        })
    }

    fn reduce_window(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
        combine: ReduceOp,
    ) -> Result<Val, FormError> {
        let Op::ReduceWindow { size, stride, dilation, padding_low, padding_high, .. } = &node.op else {
            return Err(FormError::internal("not a window"));
        };
        let operand = node.operands[0];
        let shape = self.graph.ty(operand).shape.clone();
        let padded = padding_low.iter().chain(padding_high).any(|pad| !pad.is(0));
        if padded && self.windows_vary(index, size, padding_low, padding_high) {
            let node = node.clone();
            return self
                .per_lane(b, value, index, |e, b, index| e.reduce_window(b, &node, value, index, combine));
        }
        let dtype = self.dtype(operand);
        let start = identity(b, combine, dtype, self.lanes());
        let axes: Vec<Axis> = (0..index.len())
            .map(|axis| Axis {
                place: &index[axis],
                extent: &shape[axis],
                size: Dim::from(size[axis]),
                stride: stride[axis],
                dilation: dilation[axis],
                low: &padding_low[axis],
            })
            .collect();
        let range = |(axis, high): (&Axis, &Dim)| match axis.low.is(0) && high.is(0) {
            true => (Dim::ZERO, axis.size.clone()),
            false => axis.range(),
        };
        let ranges: Vec<_> = axes.iter().zip(padding_high).map(range).collect();
        let written_out = unrolled_axes(&ranges);
        let loops = open_loops(b, &ranges[..written_out], &[start]);
        let mut total = carried(&loops, &[start])[0];
        let mut first = loops.iter().all(OpenLoop::is_single_trip);
        for window in places(&ranges[written_out..]) {
            let window = loops.iter().map(|nest| nest.index.clone()).chain(window);
            let inner: Vec<Dim> = axes.iter().zip(window).map(|(axis, place)| axis.input(&place)).collect();
            let element = self.scope(|e| e.value(b, operand, &inner))?;
            total = match std::mem::take(&mut first) {
                true => element,
                false => math::binary(b, combiner(combine), dtype, total, element),
            };
        }
        Ok(close_loops(b, loops, vec![total])[0])
    }

    fn dot(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &node.op else {
            return Err(FormError::internal("not a dot"));
        };
        let (lhs, rhs) = (node.operands[0], node.operands[1]);
        let dtype = self.dtype(value);
        let lhs_shape = self.graph.ty(lhs).shape.clone();
        let start = identity(b, ReduceOp::Sum, dtype, self.lanes());
        let ranges: Vec<_> = lhs_contract.iter().map(|axis| (Dim::ZERO, lhs_shape[*axis].clone())).collect();
        let loops = open_loops(b, &ranges, &[start]);
        let contracted: Vec<Dim> = loops.iter().map(|nest| nest.index.clone()).collect();
        let batch = &index[..lhs_batch.len()];
        let free = &index[lhs_batch.len()..];
        let (lhs_free, rhs_free) = free.split_at(lhs_shape.len() - lhs_batch.len() - lhs_contract.len());
        let x_index = place_dims(lhs_shape.len(), (lhs_batch, batch), (lhs_contract, &contracted), lhs_free);
        let y_rank = self.graph.ty(rhs).rank();
        let y_index = place_dims(y_rank, (rhs_batch, batch), (rhs_contract, &contracted), rhs_free);
        let total = carried(&loops, &[start])[0];
        let next = self.scope(|e| {
            let x = e.value(b, lhs, &x_index)?;
            let y = e.value(b, rhs, &y_index)?;
            Ok::<_, FormError>(multiply_add(b, x, y, total, dtype))
        })?;
        Ok(close_loops(b, loops, vec![next])[0])
    }

    fn conv(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let Op::Conv { dimensions, feature_groups, batch_groups, .. } = &node.op else {
            return Err(FormError::internal("not a conv"));
        };
        let (x, kernel) = (node.operands[0], node.operands[1]);
        let (x_shape, k_shape) = (self.graph.ty(x).shape.clone(), self.graph.ty(kernel).shape.clone());
        let at = |order: &[DimensionRole], role| ConvDimensions::position(order, role).unwrap_or(0);
        let batch = &index[at(&dimensions.output, DimensionRole::Outer)];
        let feature = &index[at(&dimensions.output, DimensionRole::Inner)];
        let kernel_inputs = k_shape[at(&dimensions.kernel, DimensionRole::Inner)].clone();
        let features = &k_shape[at(&dimensions.kernel, DimensionRole::Outer)];
        let dtype = self.dtype(value);
        let start = identity(b, ReduceOp::Sum, dtype, self.lanes());
        let mut ranges = vec![(Dim::ZERO, kernel_inputs.clone())];
        for n in 0..dimensions.spatial_rank() {
            let axis = at(&dimensions.kernel, DimensionRole::Spatial(n as u8));
            ranges.push((Dim::ZERO, k_shape[axis].clone()));
        }
        let loops = open_loops(b, &ranges, &[start]);
        let total = carried(&loops, &[start])[0];
        let input_feature = &loops[0].index;
        let mut x_index = vec![Dim::ZERO; x_shape.len()];
        let mut k_index = vec![Dim::ZERO; k_shape.len()];
        let group = |groups: i64| feature.floor_div(&features.floor_div(&Dim::from(groups)));
        let part = x_shape[at(&dimensions.input, DimensionRole::Outer)].floor_div(&Dim::from(*batch_groups));
        x_index[at(&dimensions.input, DimensionRole::Outer)] = batch + group(*batch_groups) * part;
        x_index[at(&dimensions.input, DimensionRole::Inner)] =
            group(*feature_groups) * &kernel_inputs + input_feature;
        k_index[at(&dimensions.kernel, DimensionRole::Outer)] = feature.clone();
        k_index[at(&dimensions.kernel, DimensionRole::Inner)] = input_feature.clone();
        let mut conditions = Vec::new();
        for n in 0..dimensions.spatial_rank() {
            let role = DimensionRole::Spatial(n as u8);
            let window = &loops[n + 1].index;
            let out = &index[at(&dimensions.output, role)];
            k_index[at(&dimensions.kernel, role)] = window.clone();
            let extent = &x_shape[at(&dimensions.input, role)];
            let place = conv_place(&node.op, n, out, window, extent, &mut conditions);
            x_index[at(&dimensions.input, role)] = place;
        }
        let next = self.scope(|e| {
            let element = e.value(b, x, &x_index)?;
            let element = e.zero_unless(b, element, dtype, &conditions);
            let weight = e.value(b, kernel, &k_index)?;
            Ok::<_, FormError>(multiply_add(b, element, weight, total, dtype))
        })?;
        Ok(close_loops(b, loops, vec![next])[0])
    }

    /// `value` where all conditions hold, else 0.
    fn zero_unless(
        &mut self,
        b: &mut KernelBuilder,
        value: Val,
        dtype: DType,
        conditions: &[(Compare, Dim, Dim)],
    ) -> Val {
        let mut result = value;
        for (op, x, y) in conditions {
            let zero = identity(b, ReduceOp::Sum, dtype, self.lanes());
            let mask = self.index_mask(b, *op, x, y);
            let like = b.ty(result);
            let mask = b.convert_mask(mask, like);
            result = b.select(mask, result, zero);
        }
        result
    }

    pub(super) fn arg(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        if self.lane.is_some() {
            let node = node.clone();
            return self.per_lane(b, value, index, |e, b, index| e.arg(b, &node, value, index));
        }
        let operand = node.operands[0];
        let dtype = self.dtype(operand);
        let shape = self.graph.ty(operand).shape.clone();
        let (ranges, largest, last) = match &node.op {
            Op::ArgReduce { largest, axis, last } => {
                (vec![(Dim::ZERO, shape[*axis].clone())], *largest, *last)
            }
            Op::ArgMaxWindow { size, stride, dilation, padding_low, padding_high } => {
                let range = |axis: usize| {
                    let size = Dim::from(size[axis]);
                    if padding_low[axis].is(0) && padding_high[axis].is(0) {
                        return (Dim::ZERO, size);
                    }
                    let (place, extent, low) = (&index[axis], &shape[axis], &padding_low[axis]);
                    Axis { place, extent, size, stride: stride[axis], dilation: dilation[axis], low }.range()
                };
                ((0..index.len()).map(range).collect(), true, false)
            }
            op => return Err(FormError::internal(format!("`{}` gives no index", op.name()))),
        };
        let combine = if largest { ReduceOp::Max } else { ReduceOp::Min };
        let start = identity(b, combine, dtype, 1);
        let none = b.int(-1, Type::INDEX);
        let loops = open_loops(b, &ranges, &[start, none]);
        let places: Vec<Dim> = loops.iter().map(|nest| nest.index.clone()).collect();
        let (inner, position) = match &node.op {
            Op::ArgMaxWindow { stride, dilation, padding_low, .. } => {
                let input = |axis: usize| {
                    &index[axis] * stride[axis] + &places[axis] * dilation[axis] - &padding_low[axis]
                };
                let inner: Vec<Dim> = (0..index.len()).map(input).collect();
                let position = super::movement::linear(&inner, &shape);
                (inner, position)
            }
            Op::ArgReduce { axis, .. } => {
                let mut inner = index.to_vec();
                inner.insert(*axis, places[0].clone());
                (inner, places[0].clone())
            }
            _ => (Vec::new(), Dim::ZERO),
        };
        let current = carried(&loops, &[start, none]);
        let element = self.scope(|e| e.value(b, operand, &inner))?;
        let position = b.index(&position);
        let better = better(b, element, (current[0], current[1]), dtype, largest, last);
        let best = b.select(better, element, current[0]);
        let place = b.select(better, position, current[1]);
        Ok(close_loops(b, loops, vec![best, place])[1])
    }
}

/// Whether `element` takes the place of the best so far: it is the first, better, equal and later ones win, or the first NaN.
fn better(
    b: &mut KernelBuilder,
    element: Val,
    (best, place): (Val, Val),
    dtype: DType,
    largest: bool,
    last: bool,
) -> Val {
    let op = match (largest, last) {
        (true, false) => graven_ir::CompareOp::Gt,
        (true, true) => graven_ir::CompareOp::Ge,
        (false, false) => graven_ir::CompareOp::Lt,
        (false, true) => graven_ir::CompareOp::Le,
    };
    let zero = b.int(0, Type::INDEX);
    let first = b.compare(Compare::Lt, place, zero);
    let mut wins = math::compare(b, op, dtype, element, best);
    if dtype.is_float() {
        let nan = math::unary(b, UnaryOp::IsNan, dtype, element);
        let best_nan = math::unary(b, UnaryOp::IsNan, dtype, best);
        let takes_over = match last {
            true => nan,
            false => {
                let best_number = b.unary(crate::kernel::Unary::Not, best_nan);
                b.binary(Binary::And, nan, best_number)
            }
        };
        wins = b.binary(Binary::Or, wins, takes_over);
    }
    b.binary(Binary::Or, first, wins)
}

/// x·y + z.
pub fn multiply_add(b: &mut KernelBuilder, x: Val, y: Val, z: Val, dtype: DType) -> Val {
    if dtype.is_float() && b.features().fma {
        return b.fma(x, y, z);
    }
    let product = math::binary(b, BinaryOp::Mul, dtype, x, y);
    math::binary(b, BinaryOp::Add, dtype, z, product)
}

/// An operand's index from its batch, contracted and free places.
pub fn place_dims(
    rank: usize,
    batch: (&[usize], &[Dim]),
    contract: (&[usize], &[Dim]),
    free: &[Dim],
) -> Vec<Dim> {
    let mut index = vec![None; rank];
    batch.0.iter().zip(batch.1).for_each(|(axis, dim)| index[*axis] = Some(dim.clone()));
    contract.0.iter().zip(contract.1).for_each(|(axis, dim)| index[*axis] = Some(dim.clone()));
    let mut free = free.iter();
    index.into_iter().map(|dim| dim.or_else(|| free.next().cloned()).unwrap_or(Dim::ZERO)).collect()
}

/// The input place that a spatial dimension of a convolution reads, clamped into the input, with the conditions under which it is not padding.
fn conv_place(
    op: &Op,
    n: usize,
    out: &Dim,
    window: &Dim,
    extent: &Dim,
    conditions: &mut Vec<(Compare, Dim, Dim)>,
) -> Dim {
    let Op::Conv { stride, padding_low, base_dilation, kernel_dilation, .. } = op else { return Dim::ZERO };
    let place = out * stride[n] + window * kernel_dilation[n] - &padding_low[n];
    super::movement::undilated(&place, base_dilation[n], extent, conditions)
}
