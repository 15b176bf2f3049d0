//! Ordering along an axis.

use super::EvalErrorKind;
use super::index::{lanes, split};
use super::values::{Array, Number};
use crate::Tensor;

/// The first elements of the sorted lanes along `axis`, as many as the results have, and their indices. Equal elements keep their order;
/// NaN counts as larger than every number.
pub(super) fn sorted<N: Number>(
    x: &Tensor,
    axis: usize,
    descending: bool,
    results: &[Array],
) -> Result<Vec<Tensor>, EvalErrorKind> {
    let [values_type, indices_type] = results else {
        return Err(EvalErrorKind::Internal(format!("{} results of a sort", results.len())));
    };
    let values = N::decode(x);
    let (_, extent, inner) = split(x.shape(), axis);
    let taken = values_type.shape[axis];
    let count = values_type.elements() as usize;
    let (mut places, mut indices) = (vec![0; count], vec![0i128; count]);
    for (first, target) in lanes(x.shape(), axis).zip(lanes(&values_type.shape, axis)) {
        let mut order: Vec<usize> = (0..extent).collect();
        let value = |i: &usize| values[first + i * inner];
        order.sort_by(|a, b| match descending {
            false => value(a).order(value(b)),
            true => value(b).order(value(a)),
        });
        for (n, i) in order.into_iter().take(taken).enumerate() {
            places[target + n * inner] = first + i * inner;
            indices[target + n * inner] = i as i128;
        }
    }
    let size = x.dtype().bytes();
    let picked = places.iter().flat_map(|place| &x.data()[place * size..(place + 1) * size]);
    Ok(vec![values_type.tensor(picked.copied().collect())?, indices_type.encode(&indices)?])
}
