//! Gathers and scatters: places that come from the data, checked before they are used.

use super::EvalErrorKind;
use super::index::{for_each_index, split, strides};
use super::values::{Array, Number, by_number};
use crate::{ScatterOp, Tensor};

/// The index as a place, if it lies in the dimension.
fn checked(index: i128, extent: usize) -> Result<usize, EvalErrorKind> {
    match usize::try_from(index) {
        Ok(place) if place < extent => Ok(place),
        _ => Err(EvalErrorKind::IndexOutOfRange { index, extent }),
    }
}

/// Blocks of `run` elements from the places, one after the other.
fn copy_runs(x: &Tensor, places: &[usize], run: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let bytes = run * x.dtype().bytes();
    let mut data = Vec::with_capacity(places.len() * bytes);
    let size = x.dtype().bytes();
    places.iter().for_each(|place| data.extend_from_slice(&x.data()[place * size..place * size + bytes]));
    result.tensor(data.into())
}

/// y\[a…, i…, b…\] = x\[a…, indices\[i…\], b…\].
pub(super) fn gather(
    x: &Tensor,
    indices: &Tensor,
    axis: usize,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let (outer, extent, inner) = split(x.shape(), axis);
    let indices = i128::decode(indices);
    let indices = indices.into_iter().map(|index| checked(index, extent)).collect::<Result<Vec<_>, _>>()?;
    let places: Vec<usize> =
        (0..outer).flat_map(|o| indices.iter().map(move |i| (o * extent + i) * inner)).collect();
    copy_runs(x, &places, inner, result)
}

/// For each element of `indices` the place in a tensor of `shape` that it names: its own index, with its value at `axis`.
fn element_places(shape: &[usize], indices: &Tensor, axis: usize) -> Result<Vec<usize>, EvalErrorKind> {
    let own = strides(shape);
    let values = i128::decode(indices);
    let mut places = Vec::with_capacity(values.len());
    for_each_index(indices.shape(), |n, index| {
        let named = checked(values[n], shape[axis])?;
        let coordinate = |(dimension, i): (usize, &usize)| if dimension == axis { named } else { *i };
        let coordinates = index.iter().enumerate().map(coordinate);
        places.push(coordinates.zip(&own).map(|(i, stride)| i * *stride as usize).sum());
        Ok(())
    })?;
    Ok(places)
}

/// y\[…, i, …\] = x\[…, indices\[…, i, …\], …\].
pub(super) fn gather_elements(
    x: &Tensor,
    indices: &Tensor,
    axis: usize,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    copy_runs(x, &element_places(x.shape(), indices, axis)?, 1, result)
}

/// For each coordinate vector in the last dimension of `indices` the place of the block of x that it names, and the elements of a block.
///
/// The vectors run over the batch dimensions of x first.
fn block_places(
    shape: &[usize],
    indices: &Tensor,
    batch_dimensions: usize,
) -> Result<(Vec<usize>, usize), EvalErrorKind> {
    let coordinates = indices.shape().last().copied().unwrap_or(0);
    let own = strides(shape);
    let indexed = batch_dimensions..batch_dimensions + coordinates;
    let block: usize = shape[indexed.end..].iter().product();
    let batch: usize = shape[..batch_dimensions].iter().product();
    let batch_stride: usize = shape[batch_dimensions..].iter().product();
    // Counted from the shape: with no coordinates the vectors have no elements.
    let vectors: usize = indices.shape().iter().rev().skip(1).product();
    let values = i128::decode(indices);
    let mut places = Vec::with_capacity(vectors);
    for n in 0..vectors {
        let mut place = n / (vectors / batch.max(1)).max(1) * batch_stride;
        for (value, dimension) in values[n * coordinates..(n + 1) * coordinates].iter().zip(indexed.clone()) {
            place += checked(*value, shape[dimension])? * own[dimension] as usize;
        }
        places.push(place);
    }
    Ok((places, block))
}

/// y\[b…, i…, rest…\] = x\[b…, indices\[b…, i…, 0\], indices\[b…, i…, 1\], …, rest…\].
pub(super) fn gather_nd(
    x: &Tensor,
    indices: &Tensor,
    batch_dimensions: usize,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let (places, block) = block_places(x.shape(), indices, batch_dimensions)?;
    copy_runs(x, &places, block, result)
}

/// x with updates\[…, i, …\] combined into \[…, indices\[…, i, …\], …\].
pub(super) fn scatter_elements(
    operands: &[Tensor],
    axis: usize,
    combine: ScatterOp,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let [x, indices, updates] = super::operands(operands)?;
    let places = element_places(x.shape(), indices, axis)?;
    by_number!(result.dtype, combine_blocks(x, updates, &places, 1, combine, result))
}

/// x with the updates combined into the blocks that the coordinates name.
pub(super) fn scatter_nd(
    operands: &[Tensor],
    combine: ScatterOp,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let [x, indices, updates] = super::operands(operands)?;
    let (places, block) = block_places(x.shape(), indices, 0)?;
    by_number!(result.dtype, combine_blocks(x, updates, &places, block, combine, result))
}

/// Combines blocks of updates into x at the places, in order; floats are rounded once at the end.
fn combine_blocks<N: Number>(
    x: &Tensor,
    updates: &Tensor,
    places: &[usize],
    block: usize,
    combine: ScatterOp,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let function: fn(N, N) -> N = match combine {
        ScatterOp::Replace => |_, update| update,
        ScatterOp::Add => N::add,
        ScatterOp::Mul => N::mul,
        ScatterOp::Max => N::maximum,
        ScatterOp::Min => N::minimum,
    };
    let (mut values, updates) = (N::decode(x), N::decode(updates));
    for (n, place) in places.iter().enumerate() {
        for i in 0..block {
            let element = &mut values[place + i];
            *element = function(*element, updates[n * block + i]);
        }
    }
    result.encode(&values)
}
