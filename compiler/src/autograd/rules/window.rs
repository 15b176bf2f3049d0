//! Window reductions.

use super::indexing::at_flat_places;
use super::local::rebuilt;
use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::{mul, neg, pad_zeros};
use graven_ir::infer::InferError;
use graven_ir::{Dim, GraphBuilder, Op, ReduceOp, ValueId};
use smallvec::smallvec;

/// The attributes of a window reduction.
struct Window<'a> {
    size: &'a [i64],
    stride: &'a [i64],
    dilation: &'a [i64],
    low: &'a [Dim],
    high: &'a [Dim],
}

/// Of equal elements of a window of `max` or `min` the first gets all.
pub(super) fn reduce_window(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    g: ValueId,
) -> Result<OperandCotangents, GradError> {
    let Op::ReduceWindow { combine, size, stride, dilation, padding_low, padding_high } = &site.node.op
    else {
        return site.unsupported("the rule for windows is for these only");
    };
    let window = Window { size, stride, dilation, low: padding_low, high: padding_high };
    let x = site.operand(0);
    match combine {
        ReduceOp::Sum => Ok(smallvec![Some(window.of_sum(b, x, g)?)]),
        ReduceOp::Max => Ok(smallvec![Some(window.of_largest(b, x, x, g)?)]),
        ReduceOp::Min => {
            let negative = neg(b, x)?;
            Ok(smallvec![Some(window.of_largest(b, x, negative, g)?)])
        }
        ReduceOp::Product => rebuilt(b, site, &[Some(g)], |b| Ok(vec![window.product(b, x)?])),
    }
}

impl Window<'_> {
    /// Each element gets the sum over the windows that it is in: window sums over g with stride − 1 zeros between neighbours.
    fn of_sum(&self, b: &mut GraphBuilder<'_>, x: ValueId, g: ValueId) -> Result<ValueId, InferError> {
        let (input, output) = (b.shape(x), b.shape(g));
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for axis in 0..self.size.len() {
            let reach = Dim::from((self.size[axis] - 1) * self.dilation[axis]);
            let given = (&output[axis] - &Dim::ONE) * Dim::from(self.stride[axis]) + Dim::ONE;
            let before = &reach - &self.low[axis];
            high.push(&input[axis] + &reach - given - &before);
            low.push(before);
        }
        let interior = self.stride.iter().map(|step| step - 1).collect();
        let padded = pad_zeros(b, g, low, high, interior)?;
        let op = Op::ReduceWindow {
            combine: ReduceOp::Sum,
            size: self.size.to_vec(),
            stride: vec![1; self.size.len()],
            dilation: self.dilation.to_vec(),
            padding_low: vec![Dim::ZERO; self.size.len()],
            padding_high: vec![Dim::ZERO; self.size.len()],
        };
        b.op(op, &[padded])
    }

    /// To the place of the largest element of `ordered`.
    fn of_largest(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        ordered: ValueId,
        g: ValueId,
    ) -> Result<ValueId, InferError> {
        let op = Op::ArgMaxWindow {
            size: self.size.to_vec(),
            stride: self.stride.to_vec(),
            dilation: self.dilation.to_vec(),
            padding_low: self.low.to_vec(),
            padding_high: self.high.to_vec(),
        };
        let places = b.op(op, &[ordered])?;
        let padded = self.low.iter().chain(self.high).any(|amount| !amount.is(0));
        at_flat_places(b, x, [places, g], padded)
    }

    /// The product as strided slices multiplied together, one per place of the window.
    fn product(&self, b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        let one = b.scalar(b.dtype(x), 1.0)?;
        let rank = self.size.len();
        let pad = Op::Pad { low: self.low.to_vec(), high: self.high.to_vec(), interior: vec![0; rank] };
        let padded = b.op(pad, &[x, one])?;
        let shape = b.shape(padded);
        let mut product = None;
        let mut place = vec![0_i64; rank];
        loop {
            let factor = b.op(self.slice(&shape, &place), &[padded])?;
            product = Some(match product {
                None => factor,
                Some(product) => mul(b, product, factor)?,
            });
            let next = (0..rank).rev().find(|axis| place[*axis] + 1 < self.size[*axis]);
            let Some(axis) = next else { break };
            place[axis] += 1;
            place[axis + 1..].fill(0);
        }
        Ok(product.unwrap_or(padded))
    }

    /// What the windows see at one of their places.
    fn slice(&self, padded: &[Dim], place: &[i64]) -> Op {
        let (mut start, mut limit) = (Vec::new(), Vec::new());
        for (axis, extent) in padded.iter().enumerate() {
            let before = place[axis] * self.dilation[axis];
            let behind = (self.size[axis] - 1 - place[axis]) * self.dilation[axis];
            start.push(Dim::from(before));
            limit.push(extent - &Dim::from(behind));
        }
        Op::Slice { start, limit, stride: self.stride.to_vec() }
    }
}
