//! Reductions and running reductions.

use super::indexing::Places;
use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::{
    add, div, equal, full, inverse, iota, mul, reverse as reversed, sum, to_front, unreduce, where_or_zero,
};
use graven_ir::infer::InferError;
use graven_ir::{CumulativeOp, Dim, GraphBuilder, Op, ReduceOp, TensorType, ValueId};
use smallvec::smallvec;

type Built = Result<ValueId, InferError>;
type Cotangents = Result<OperandCotangents, GradError>;

/// Of `max` and `min` all elements that are equal to the result share evenly.
pub(super) fn reduce(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    combine: ReduceOp,
    axes: &[usize],
    g: ValueId,
) -> Cotangents {
    let x = site.operand(0);
    let shape = b.shape(x);
    let repeated = unreduce(b, g, &shape, axes)?;
    let cotangent = match combine {
        ReduceOp::Sum => repeated,
        ReduceOp::Product => {
            let others = product_of_others(b, x, axes)?;
            mul(b, repeated, others)?
        }
        ReduceOp::Max | ReduceOp::Min => {
            let result = unreduce(b, site.result(), &shape, axes)?;
            let won = equal(b, x, result)?;
            let count = b.cast(won, b.dtype(x))?;
            let count = sum(b, count, axes)?;
            let share = div(b, g, count)?;
            let share = unreduce(b, share, &shape, axes)?;
            where_or_zero(b, won, share)?
        }
    };
    Ok(smallvec![Some(cotangent)])
}

/// For each element the product of those that it is reduced with, without itself: what runs up to it times what runs down to it.
fn product_of_others(b: &mut GraphBuilder<'_>, x: ValueId, axes: &[usize]) -> Built {
    let shape = b.shape(x);
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let moved: Vec<Dim> = order.iter().map(|axis| shape[*axis].clone()).collect();
    let last = shape.len() - axes.len();
    let mut joined: Vec<Dim> = moved[..last].to_vec();
    joined.push(moved[last..].iter().fold(Dim::ONE, |product, extent| product * extent));

    let rows = b.transpose(x, &order)?;
    let rows = b.reshape(rows, &joined)?;
    let run =
        |reverse| Op::Cumulative { combine: CumulativeOp::Product, axis: last, exclusive: true, reverse };
    let (before, behind) = (b.op(run(false), &[rows])?, b.op(run(true), &[rows])?);
    let others = mul(b, before, behind)?;
    let others = b.reshape(others, &moved)?;
    b.transpose(others, &inverse(&order))
}

/// How a running reduction runs.
#[derive(Clone, Copy)]
pub(super) struct Run {
    axis: usize,
    exclusive: bool,
    reverse: bool,
}

impl Run {
    pub(super) fn new(axis: usize, exclusive: bool, reverse: bool) -> Run {
        Run { axis, exclusive, reverse }
    }

    fn op(self, combine: CumulativeOp) -> Op {
        Op::Cumulative { combine, axis: self.axis, exclusive: self.exclusive, reverse: self.reverse }
    }
}

/// Of `max` and `min` the last of equal elements gets all.
pub(super) fn cumulative(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    combine: CumulativeOp,
    run: Run,
    g: ValueId,
) -> Cotangents {
    let x = site.operand(0);
    if combine == CumulativeOp::Sum {
        let back = Run { reverse: !run.reverse, ..run };
        return Ok(smallvec![Some(b.op(back.op(combine), &[g])?)]);
    }
    // As a run from the start to the end along the first dimension.
    let order = to_front(b.shape(x).len(), run.axis);
    let flipped = |run: Run| if run.reverse { vec![0] } else { Vec::new() };
    let forward = |b: &mut GraphBuilder<'_>, value| {
        let moved = b.transpose(value, &order)?;
        reversed(b, moved, flipped(run))
    };
    let (rows, g) = (forward(b, x)?, forward(b, g)?);
    let cotangent = match combine {
        CumulativeOp::Product => of_running_product(b, rows, run.exclusive, g)?,
        _ => of_running_extremum(b, combine, rows, run.exclusive, g)?,
    };
    let cotangent = reversed(b, cotangent, flipped(run))?;
    Ok(smallvec![Some(b.transpose(cotangent, &inverse(&order))?)])
}

/// The recurrence backwards: with running products yₜ = yₜ₋₁·xₜ the cotangent of yₜ is cₜ = gₜ + cₜ₊₁·xₜ₊₁, and that of xₜ is cₜ·yₜ₋₁. Right for zeros too.
fn of_running_product(b: &mut GraphBuilder<'_>, x: ValueId, exclusive: bool, g: ValueId) -> Built {
    let before = b.op(Run::new(0, true, false).op(CumulativeOp::Product), &[x])?;
    let ty = b.ty(x).clone();
    let row = TensorType::new(ty.dtype, ty.shape[1..].iter().cloned());
    let zeros = full(b, &row.shape, ty.dtype, 0.0)?;
    let mut body = b.region();
    let carried = body.param(row.clone(), None);
    let (x_row, g_row) = (body.param(row.clone(), None), body.param(row, None));
    // What is carried into trip t is cₜ₊₁·xₜ₊₁ of the inclusive product. The exclusive one is it shifted by one, so there g counts one element earlier.
    let yielded = if exclusive {
        let passed = mul(&mut body, carried, x_row)?;
        let next = add(&mut body, g_row, passed)?;
        [next, carried]
    } else {
        let cotangent = add(&mut body, g_row, carried)?;
        [mul(&mut body, cotangent, x_row)?, cotangent]
    };
    let body = body.finish(yielded.to_vec());
    let op = Op::Scan { carried: 1, scanned: 2, length: ty.shape[0].clone(), reverse: true };
    let node = b.node(op, &[zeros, x, g], vec![body])?;
    let cotangents = b.graph().node(node).results[1];
    mul(b, cotangents, before)
}

fn of_running_extremum(
    b: &mut GraphBuilder<'_>,
    combine: CumulativeOp,
    x: ValueId,
    exclusive: bool,
    g: ValueId,
) -> Built {
    let shape = b.shape(x);
    let g = if exclusive { earlier(b, g)? } else { g };
    let running = b.op(Run::new(0, false, false).op(combine), &[x])?;
    let places = iota(b, &shape, 0)?;
    let won = equal(b, x, running)?;
    // The first element always wins, so that 0 is right where nothing has since. (NaN is not equal to itself; its gradient goes there too.)
    let winners = where_or_zero(b, won, places)?;
    let last = b.op(Run::new(0, false, false).op(CumulativeOp::Max), &[winners])?;
    Places::Elements { axis: 0 }.add_to_zeros(b, x, [last, g])
}

/// Each row in the place of the one before, zeros in the last.
fn earlier(b: &mut GraphBuilder<'_>, g: ValueId) -> Built {
    let rank = b.shape(g).len();
    let (mut low, mut high) = (vec![Dim::ZERO; rank], vec![Dim::ZERO; rank]);
    (low[0], high[0]) = (Dim::from(-1), Dim::ONE);
    crate::autograd::calculus::pad_zeros(b, g, low, high, vec![0; rank])
}
