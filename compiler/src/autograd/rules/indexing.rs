//! Gathers, scatters, dynamic slices and orderings: what was read from a place is added up there.

use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::{
    add, broadcast, div, equal, full, full_like, inverse, iota, mul, to_front, where_or_zero,
};
use graven_ir::infer::InferError;
use graven_ir::{DType, Dim, GraphBuilder, Op, ScatterOp, ValueId};
use smallvec::smallvec;

type Built = Result<ValueId, InferError>;
type Cotangents = Result<OperandCotangents, GradError>;

/// The places that a scatter writes and the gather of the same kind reads.
#[derive(Clone, Copy)]
pub(super) enum Places {
    /// `scatter_elements` and `gather_elements`.
    Elements {
        /// The indexed dimension.
        axis: usize,
    },
    /// `scatter_nd` and `gather_nd` without batch dimensions.
    Nd,
}

impl Places {
    fn gather(self, b: &mut GraphBuilder<'_>, x: ValueId, indices: ValueId) -> Built {
        match self {
            Places::Elements { axis } => b.op(Op::GatherElements { axis }, &[x, indices]),
            Places::Nd => b.op(Op::GatherNd { batch_dimensions: 0 }, &[x, indices]),
        }
    }

    fn scatter(
        self,
        b: &mut GraphBuilder<'_>,
        combine: ScatterOp,
        [x, indices, updates]: [ValueId; 3],
    ) -> Built {
        let op = match self {
            Places::Elements { axis } => Op::ScatterElements { axis, combine },
            Places::Nd => Op::ScatterNd { combine },
        };
        b.op(op, &[x, indices, updates])
    }

    /// `updates` added up at their places in zeros of the shape of `like`.
    pub(super) fn add_to_zeros(
        self,
        b: &mut GraphBuilder<'_>,
        like: ValueId,
        [indices, updates]: [ValueId; 2],
    ) -> Built {
        let (shape, dtype) = (b.shape(like), b.dtype(updates));
        let zeros = full(b, &shape, dtype, 0.0)?;
        self.scatter(b, ScatterOp::Add, [zeros, indices, updates])
    }
}

/// The cotangents added up at the rows that were read.
pub(super) fn gather(b: &mut GraphBuilder<'_>, site: Site<'_>, axis: usize, g: ValueId) -> Cotangents {
    let (x, indices) = (site.operand(0), site.operand(1));
    let (shape, index_shape) = (b.shape(x), b.shape(indices));
    let forward = to_front(shape.len(), axis);
    let front: Vec<Dim> = forward.iter().map(|place| shape[*place].clone()).collect();
    // The indices' dimensions stand at `axis` of the result: before them its first `axis`, behind them the others.
    let (rank, counted) = (b.shape(g).len(), index_shape.len());
    let order: Vec<usize> = (axis..axis + counted).chain(0..axis).chain(axis + counted..rank).collect();
    let updates = b.transpose(g, &order)?;
    let coordinates: Vec<Dim> = index_shape.iter().cloned().chain([Dim::ONE]).collect();
    let coordinates = b.reshape(indices, &coordinates)?;
    let zeros = full(b, &front, b.dtype(g), 0.0)?;
    let sums = b.op(Op::ScatterNd { combine: ScatterOp::Add }, &[zeros, coordinates, updates])?;
    Ok(smallvec![Some(b.transpose(sums, &inverse(&forward))?), None])
}

pub(super) fn gather_elements(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    axis: usize,
    g: ValueId,
) -> Cotangents {
    let (x, indices) = (site.operand(0), site.operand(1));
    Ok(smallvec![Some(Places::Elements { axis }.add_to_zeros(b, x, [indices, g])?), None])
}

pub(super) fn gather_nd(b: &mut GraphBuilder<'_>, site: Site<'_>, batch: usize, g: ValueId) -> Cotangents {
    let (x, indices) = (site.operand(0), site.operand(1));
    let indices = with_batch_coordinates(b, indices, batch)?;
    Ok(smallvec![Some(Places::Nd.add_to_zeros(b, x, [indices, g])?), None])
}

/// Indices with the place in the batch dimensions as first coordinates.
fn with_batch_coordinates(b: &mut GraphBuilder<'_>, indices: ValueId, batch: usize) -> Built {
    if batch == 0 {
        return Ok(indices);
    }
    let mut shape = b.shape(indices).to_vec();
    let last = shape.len() - 1;
    shape[last] = Dim::ONE;
    let mut parts = Vec::with_capacity(batch + 1);
    for axis in 0..batch {
        parts.push(iota(b, &shape, axis)?);
    }
    parts.push(b.cast(indices, DType::I64)?);
    b.op(Op::Concat { axis: last }, &parts)
}

/// For repeated places: of `replace` only the last update counts; of `max` and `min` all that are equal to the result share evenly.
pub(super) fn scatter(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    places: Places,
    combine: ScatterOp,
    g: ValueId,
) -> Cotangents {
    let operands = [site.operand(0), site.operand(1), site.operand(2)];
    let [x, updates] = match combine {
        ScatterOp::Add => [g, places.gather(b, g, operands[1])?],
        ScatterOp::Replace => replaced(b, places, operands, g)?,
        ScatterOp::Mul => multiplied(b, places, operands, g)?,
        ScatterOp::Max | ScatterOp::Min => chosen(b, places, operands, site.result(), g)?,
    };
    Ok(smallvec![Some(x), None, Some(updates)])
}

fn replaced(
    b: &mut GraphBuilder<'_>,
    places: Places,
    [x, indices, updates]: [ValueId; 3],
    g: ValueId,
) -> Result<[ValueId; 2], InferError> {
    let zeros = full_like(b, updates, 0.0)?;
    let kept = places.scatter(b, ScatterOp::Replace, [g, indices, zeros])?;
    // Each update writes its number; those that read their own have the last word.
    let shape = b.shape(updates);
    let count = shape.iter().fold(Dim::ONE, |product, extent| product * extent);
    let numbers = iota(b, &[count], 0)?;
    let numbers = b.reshape(numbers, &shape)?;
    let nobody = full(b, &b.shape(x), DType::I64, -1.0)?;
    let written = places.scatter(b, ScatterOp::Replace, [nobody, indices, numbers])?;
    let read = places.gather(b, written, indices)?;
    let last = equal(b, read, numbers)?;
    let passed = places.gather(b, g, indices)?;
    Ok([kept, where_or_zero(b, last, passed)?])
}

/// The product of all other factors, zeros among them or not.
fn multiplied(
    b: &mut GraphBuilder<'_>,
    places: Places,
    [x, indices, updates]: [ValueId; 3],
    g: ValueId,
) -> Result<[ValueId; 2], InferError> {
    let ones = full_like(b, x, 1.0)?;
    let factor = places.scatter(b, ScatterOp::Mul, [ones, indices, updates])?;
    let of_x = mul(b, g, factor)?;

    let (zero, one) = (full_like(b, updates, 0.0)?, full_like(b, updates, 1.0)?);
    let is_zero = equal(b, updates, zero)?;
    let divisor = b.op(Op::Select, &[is_zero, one, updates])?;
    let product = places.scatter(b, ScatterOp::Mul, [x, indices, divisor])?;
    let product = mul(b, g, product)?;
    let product = places.gather(b, product, indices)?;
    let others = div(b, product, divisor)?;
    let zeros = b.op(Op::Select, &[is_zero, one, zero])?;
    let count = places.add_to_zeros(b, x, [indices, zeros])?;
    let count = places.gather(b, count, indices)?;
    // No other update is zero: all zeros at the place are this one's.
    let alone = equal(b, count, zeros)?;
    Ok([of_x, where_or_zero(b, alone, others)?])
}

fn chosen(
    b: &mut GraphBuilder<'_>,
    places: Places,
    [x, indices, updates]: [ValueId; 3],
    result: ValueId,
    g: ValueId,
) -> Result<[ValueId; 2], InferError> {
    let at_updates = places.gather(b, result, indices)?;
    let (x_won, update_won) = (equal(b, x, result)?, equal(b, updates, at_updates)?);
    let dtype = b.dtype(g);
    let (x_wins, update_wins) = (b.cast(x_won, dtype)?, b.cast(update_won, dtype)?);
    let winners = places.add_to_zeros(b, x, [indices, update_wins])?;
    let winners = add(b, winners, x_wins)?;
    let share = div(b, g, winners)?;
    let of_x = where_or_zero(b, x_won, share)?;
    let of_updates = places.gather(b, share, indices)?;
    Ok([of_x, where_or_zero(b, update_won, of_updates)?])
}

pub(super) fn dynamic_slice(b: &mut GraphBuilder<'_>, site: Site<'_>, g: ValueId) -> Cotangents {
    let zeros = full_like(b, site.operand(0), 0.0)?;
    Ok(smallvec![Some(b.op(Op::DynamicUpdateSlice, &[zeros, g, site.operand(1)])?), None])
}

pub(super) fn dynamic_update_slice(b: &mut GraphBuilder<'_>, site: Site<'_>, g: ValueId) -> Cotangents {
    let (update, starts) = (site.operand(1), site.operand(2));
    let mut cotangents: OperandCotangents = smallvec![None; 3];
    if site.wants(0) {
        let zeros = full_like(b, update, 0.0)?;
        cotangents[0] = Some(b.op(Op::DynamicUpdateSlice, &[g, zeros, starts])?);
    }
    if site.wants(1) {
        let shape = b.shape(update).to_vec();
        cotangents[1] = Some(b.op(Op::DynamicSlice { shape }, &[g, starts])?);
    }
    Ok(cotangents)
}

/// Values of `sort` and `top_k`: back to the places that the indices name. These are distinct.
pub(super) fn ordered(b: &mut GraphBuilder<'_>, site: Site<'_>, axis: usize, g: ValueId) -> Cotangents {
    let indices = site.node.results[1];
    Ok(smallvec![Some(Places::Elements { axis }.add_to_zeros(b, site.operand(0), [indices, g])?)])
}

/// `g` at the places that flat row-major `indices` into `like` name; a negative index names none.
pub(super) fn at_flat_places(
    b: &mut GraphBuilder<'_>,
    like: ValueId,
    [indices, g]: [ValueId; 2],
    may_be_negative: bool,
) -> Built {
    let elements = |b: &GraphBuilder<'_>, value| b.ty(value).elements();
    let (shape, size, count) = (b.shape(like), elements(b, like), elements(b, g));
    let (mut indices, mut g) =
        (b.reshape(indices, std::slice::from_ref(&count))?, b.reshape(g, std::slice::from_ref(&count))?);
    if may_be_negative {
        let zero = full_like(b, indices, 0.0)?;
        let names_one = b.compare(graven_ir::CompareOp::Ge, indices, zero)?;
        indices = b.op(Op::Select, &[names_one, indices, zero])?;
        g = where_or_zero(b, names_one, g)?;
    }
    let scalar = b.scalar(b.dtype(g), 0.0)?;
    let zeros = broadcast(b, scalar, &[size], &[])?;
    let sums = b.op(Op::ScatterElements { axis: 0, combine: ScatterOp::Add }, &[zeros, indices, g])?;
    b.reshape(sums, &shape)
}
