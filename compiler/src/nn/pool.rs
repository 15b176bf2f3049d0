//! Pools.

use super::conv::{extents, integers};
use super::{Built, Forward, Layer};
use graven_ir::{BinaryOp, Op, ReduceOp, ValueId};

/// How a window is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Max,
    Average,
}

/// Windows over the last N dimensions of `[n, features, d…]`.
#[derive(Clone, Copy, Debug)]
pub struct Pool<const N: usize> {
    kind: Kind,
    size: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
}

impl<const N: usize> Pool<N> {
    /// The largest of each window, which do not overlap.
    pub fn max(size: [usize; N]) -> Pool<N> {
        Pool { kind: Kind::Max, size, stride: size, padding: [0; N] }
    }

    /// The mean of each window, which do not overlap. Zeros of the padding count.
    pub fn average(size: [usize; N]) -> Pool<N> {
        Pool { kind: Kind::Average, ..Pool::max(size) }
    }

    /// With other steps.
    #[must_use]
    pub fn stride(self, stride: [usize; N]) -> Pool<N> {
        Pool { stride, ..self }
    }

    /// With padding on both sides.
    #[must_use]
    pub fn padding(self, padding: [usize; N]) -> Pool<N> {
        Pool { padding, ..self }
    }
}

impl<const N: usize> Layer for Pool<N> {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let rank = f.ty(x).rank();
        let Some(outer) = rank.checked_sub(N) else {
            let ty = f.ty(x).clone();
            return f.refuse(format!("a pool over {N} dimensions of {ty}"));
        };
        let list = |outer_value: usize, values: &[usize]| {
            let mut list = vec![outer_value; outer];
            list.extend(values);
            list
        };
        let padding = extents(&list(0, &self.padding));
        let combine = if self.kind == Kind::Max { ReduceOp::Max } else { ReduceOp::Sum };
        let op = Op::ReduceWindow {
            combine,
            size: integers(&list(1, &self.size)),
            stride: integers(&list(1, &self.stride)),
            dilation: vec![1; rank],
            padding_low: padding.clone(),
            padding_high: padding,
        };
        let y = f.op(op, &[x])?;
        let count: usize = self.size.iter().product();
        match self.kind {
            Kind::Max => Ok(y),
            Kind::Average => Ok(f.binary_scalar(BinaryOp::Mul, y, 1.0 / count as f64)?),
        }
    }
}

/// The mean over all but the first two dimensions: `[n, features, d…]` to `[n, features]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAveragePool;

impl Layer for GlobalAveragePool {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let axes: Vec<usize> = (2..f.ty(x).rank()).collect();
        mean(f, x, &axes, false)
    }
}

/// The mean over known axes.
pub(super) fn mean(f: &mut Forward<'_>, x: ValueId, axes: &[usize], keep: bool) -> Built {
    let mut count = 1.0;
    for axis in axes {
        count *= f.extent(x, *axis)? as f64;
    }
    let sum = f.reduce(ReduceOp::Sum, x, axes, keep)?;
    Ok(f.binary_scalar(BinaryOp::Mul, sum, 1.0 / count)?)
}
