//! Axes disappear or are accumulated along. Accumulators are not rounded; each result is rounded once.

use super::EvalErrorKind;
use super::index::{View, lanes, split, strides};
use super::values::{Array, Number};
use crate::{CumulativeOp, DType, ReduceOp, Tensor};

/// How two elements combine.
pub(super) fn combiner<N: Number>(combine: ReduceOp) -> fn(N, N) -> N {
    match combine {
        ReduceOp::Sum => N::add,
        ReduceOp::Product => N::mul,
        ReduceOp::Max => N::maximum,
        ReduceOp::Min => N::minimum,
    }
}

/// The result for no element.
pub(super) fn identity<N: Number>(combine: ReduceOp, dtype: DType) -> N {
    match combine {
        ReduceOp::Sum => N::default(),
        ReduceOp::Product => N::ONE,
        ReduceOp::Max => N::lowest(dtype),
        ReduceOp::Min => N::highest(dtype),
    }
}

/// The reduction over `axes`, elements taken in row-major order.
pub(super) fn reduce<N: Number>(
    x: &Tensor,
    combine: ReduceOp,
    axes: &[usize],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let mut reduced = vec![identity::<N>(combine, result.dtype); result.elements() as usize];
    let function = combiner::<N>(combine);
    // The place in the result of each element of x: reduced axes do not move it.
    let mut kept = strides(&result.shape).into_iter();
    let to_result =
        (0..x.shape().len()).map(|d| if axes.contains(&d) { 0 } else { kept.next().unwrap_or(0) });
    let view = View { strides: to_result.collect(), shape: x.shape().to_vec(), start: 0 };
    for (value, place) in N::decode(x).into_iter().zip(view.places()) {
        reduced[place] = function(reduced[place], value);
    }
    result.encode(&reduced)
}

/// Index of the largest or smallest element along `axis`; NaN counts as the one looked for.
pub(super) fn arg_reduce<N: Number>(
    x: &Tensor,
    axis: usize,
    largest: bool,
    last: bool,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let values = N::decode(x);
    let (_, extent, inner) = split(x.shape(), axis);
    let better = |candidate: N, best: N| {
        let order = match (largest, candidate.is_nan(), best.is_nan()) {
            (true, ..) => candidate.order(best),
            (false, false, false) => best.order(candidate),
            (false, candidate, best) => candidate.cmp(&best),
        };
        order.is_gt() || last && order.is_eq()
    };
    let lane_result = |first: usize| {
        let value = |i: usize| values[first + i * inner];
        (1..extent).fold(0, |best, i| if better(value(i), value(best)) { i } else { best }) as i128
    };
    let indices: Vec<i128> = lanes(x.shape(), axis).map(lane_result).collect();
    result.encode(&indices)
}

/// Running reduction along `axis`.
pub(super) fn cumulative<N: Number>(
    x: &Tensor,
    combine: CumulativeOp,
    axis: usize,
    exclusive: bool,
    reverse: bool,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let combine = match combine {
        CumulativeOp::Sum => ReduceOp::Sum,
        CumulativeOp::Product => ReduceOp::Product,
        CumulativeOp::Max => ReduceOp::Max,
        CumulativeOp::Min => ReduceOp::Min,
    };
    let function = combiner::<N>(combine);
    let (_, extent, inner) = split(x.shape(), axis);
    let mut values = N::decode(x);
    for first in lanes(x.shape(), axis) {
        let mut running = identity(combine, result.dtype);
        for step in 0..extent {
            let i = if reverse { extent - 1 - step } else { step };
            let value = &mut values[first + i * inner];
            let next = function(running, *value);
            *value = if exclusive { running } else { next };
            running = next;
        }
    }
    result.encode(&values)
}
