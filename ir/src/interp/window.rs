//! Windows sliding over an operand.

use super::EvalErrorKind;
use super::index::for_each_index;
use super::reduction::{combiner, identity};
use super::taps::{Taps, window_dimensions};
use super::values::{Array, Number};
use crate::{Dim, ReduceOp, Tensor};

/// The reduction of each window over the elements that it covers.
pub(super) fn reduce_window<N: Number>(
    x: &Tensor,
    combine: ReduceOp,
    [size, stride, dilation]: [&[i64]; 3],
    padding_low: &[Dim],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    if result.elements() == 0 {
        return result.tensor(Default::default());
    }
    let low = super::constants(padding_low)?;
    let windows = Taps::new(&window_dimensions(x.shape(), &result.shape, size, stride, dilation, &low));
    let (values, function) = (N::decode(x), combiner::<N>(combine));
    let (mut taps, mut others) = (Vec::new(), Vec::new());
    let mut reduced = Vec::with_capacity(result.elements() as usize);
    for_each_index(&result.shape, |_, index| {
        windows.at(index, &mut taps, &mut others);
        let elements = taps.iter().map(|tap| values[tap.input]);
        reduced.push(elements.fold(identity(combine, result.dtype), function));
        Ok(())
    })?;
    result.encode(&reduced)
}

/// The place of the largest element of each window: NaN counts as largest, of equals the first wins, −1 for a window without elements.
pub(super) fn arg_max_window<N: Number>(
    x: &Tensor,
    [size, stride, dilation]: [&[i64]; 3],
    padding_low: &[Dim],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    if result.elements() == 0 {
        return result.tensor(Default::default());
    }
    let low = super::constants(padding_low)?;
    let windows = Taps::new(&window_dimensions(x.shape(), &result.shape, size, stride, dilation, &low));
    let values = N::decode(x);
    let (mut taps, mut others) = (Vec::new(), Vec::new());
    let mut places = Vec::with_capacity(result.elements() as usize);
    for_each_index(&result.shape, |_, index| {
        windows.at(index, &mut taps, &mut others);
        let places_of_window = taps.iter().map(|tap| tap.input);
        let best = places_of_window
            .reduce(|best, next| if values[next].order(values[best]).is_gt() { next } else { best });
        places.push(best.map_or(-1, |place| place as i128));
        Ok(())
    })?;
    result.encode(&places)
}
