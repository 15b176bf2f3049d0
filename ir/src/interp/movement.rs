//! Elements move or are repeated; bytes are copied as they are.

use super::EvalErrorKind;
use super::index::{View, for_each_index, split, strides};
use super::values::Array;
use crate::{Dim, Tensor};

/// The elements at `places`, in that order.
fn pick(x: &Tensor, places: impl Iterator<Item = usize>, result: &Array) -> Result<Tensor, EvalErrorKind> {
    match x.dtype().bytes() {
        1 => pick_sized::<1>(x, places, result),
        2 => pick_sized::<2>(x, places, result),
        4 => pick_sized::<4>(x, places, result),
        _ => pick_sized::<8>(x, places, result),
    }
}

fn pick_sized<const SIZE: usize>(
    x: &Tensor,
    places: impl Iterator<Item = usize>,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let (elements, _) = x.data().as_chunks::<SIZE>();
    let mut data = Vec::with_capacity(result.elements() as usize * SIZE);
    places.for_each(|place| data.extend_from_slice(&elements[place]));
    result.tensor(data.into())
}

/// Dimension i of the result is dimension `permutation[i]`.
pub(super) fn transpose(x: &Tensor, permutation: &[usize], result: &Array) -> Result<Tensor, EvalErrorKind> {
    let own = strides(x.shape());
    let view = View {
        shape: result.shape.clone(),
        strides: permutation.iter().map(|dimension| own[*dimension]).collect(),
        start: 0,
    };
    pick(x, view.places(), result)
}

/// Dimension i of x becomes dimension `dimensions[i]`.
pub(super) fn broadcast(x: &Tensor, dimensions: &[usize], result: &Array) -> Result<Tensor, EvalErrorKind> {
    let mut repeated = vec![0; result.shape.len()];
    for ((dimension, extent), stride) in dimensions.iter().zip(x.shape()).zip(strides(x.shape())) {
        repeated[*dimension] = if *extent == 1 { 0 } else { stride };
    }
    pick(x, View { shape: result.shape.clone(), strides: repeated, start: 0 }.places(), result)
}

/// y\[i\] = x\[start + i·stride\].
pub(super) fn slice(
    x: &Tensor,
    start: &[Dim],
    stride: &[i64],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let start = super::constants(start)?;
    // With at most one element the stride is not used and may be larger than any place.
    let steps = strides(x.shape())
        .into_iter()
        .zip(stride.iter().zip(&result.shape))
        .map(|(own, (stride, extent))| if *extent > 1 { own * *stride as isize } else { 0 });
    let view = View {
        shape: result.shape.clone(),
        strides: steps.collect(),
        start: strides(x.shape()).into_iter().zip(&start).map(|(own, start)| own * *start as isize).sum(),
    };
    pick(x, view.places(), result)
}

/// Reversed order along the axes.
pub(super) fn reverse(x: &Tensor, axes: &[usize], result: &Array) -> Result<Tensor, EvalErrorKind> {
    let mut view = View { shape: result.shape.clone(), strides: strides(x.shape()), start: 0 };
    for axis in axes {
        view.start += view.strides[*axis] * (x.shape()[*axis] as isize - 1);
        view.strides[*axis] = -view.strides[*axis];
    }
    pick(x, view.places(), result)
}

/// `value` before, after and between the elements; negative amounts cut.
pub(super) fn pad(
    x: &Tensor,
    value: &Tensor,
    low: &[Dim],
    interior: &[i64],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let low = super::constants(low)?;
    let size = x.dtype().bytes();
    let mut data = value.data().repeat(result.elements() as usize);
    let steps = strides(&result.shape);
    let target = |index: &[usize]| {
        let mut target = 0;
        for (dimension, i) in index.iter().enumerate() {
            let step = i128::from(interior[dimension]) + 1;
            let place = usize::try_from(i128::from(low[dimension]) + *i as i128 * step).ok()?;
            if place >= result.shape[dimension] {
                return None;
            }
            target += place * steps[dimension] as usize;
        }
        Some(target)
    };
    for_each_index(x.shape(), |place, index| {
        if let Some(target) = target(index) {
            data[target * size..(target + 1) * size]
                .copy_from_slice(&x.data()[place * size..(place + 1) * size]);
        }
        Ok(())
    })?;
    result.tensor(data.into())
}

/// Joined along `axis`.
pub(super) fn concat(parts: &[Tensor], axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let (outer, _, inner) = split(&result.shape, axis);
    let size = result.dtype.bytes();
    let mut data = Vec::with_capacity(result.elements() as usize * size);
    for o in 0..outer {
        for part in parts {
            let run = part.shape()[axis] * inner * size;
            data.extend_from_slice(&part.data()[o * run..(o + 1) * run]);
        }
    }
    result.tensor(data.into())
}

/// Run-time starts, clamped so that `extents` elements from there lie within `shape`.
fn clamped_starts(starts: &Tensor, shape: &[usize], extents: &[usize]) -> Vec<usize> {
    let clamp = |(start, (shape, extent)): (i128, (&usize, &usize))| {
        start.clamp(0, (shape - extent) as i128) as usize
    };
    let starts = starts.to_ints().unwrap_or_default();
    starts.into_iter().zip(shape.iter().zip(extents)).map(clamp).collect()
}

/// A slice from run-time starts.
pub(super) fn dynamic_slice(x: &Tensor, starts: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let starts = clamped_starts(starts, x.shape(), &result.shape);
    let own = strides(x.shape());
    let start = own.iter().zip(&starts).map(|(stride, start)| stride * *start as isize).sum();
    pick(x, View { shape: result.shape.clone(), strides: own, start }.places(), result)
}

/// x with `update` at run-time starts.
pub(super) fn dynamic_update_slice(
    x: &Tensor,
    update: &Tensor,
    starts: &Tensor,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let starts = clamped_starts(starts, x.shape(), update.shape());
    let own = strides(x.shape());
    let start = own.iter().zip(&starts).map(|(stride, start)| stride * *start as isize).sum();
    let view = View { shape: update.shape().to_vec(), strides: own, start };
    let size = x.dtype().bytes();
    let mut data = x.data().to_vec();
    for (place, element) in view.places().zip(update.data().chunks_exact(size)) {
        data[place * size..(place + 1) * size].copy_from_slice(element);
    }
    result.tensor(data.into())
}
