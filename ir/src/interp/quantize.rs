//! Between floats and integers with a scale and a zero point.

use super::EvalErrorKind;
use super::index::split;
use super::values::{Array, Number};
use crate::Tensor;

/// The element of a scalar or a vector along `axis` that belongs to each element of a tensor.
fn channels<'a, N: Number>(
    parameter: &Tensor,
    values: &'a [N],
    shape: &[usize],
    axis: usize,
) -> impl Iterator<Item = N> + 'a {
    let (extent, inner) = match parameter.shape() {
        [] => (1, 1),
        _ => {
            let (_, extent, inner) = split(shape, axis);
            (extent, inner)
        }
    };
    (0usize..).map(move |place| values[place / inner % extent])
}

/// saturate(round(x ÷ scale) + zero_point); NaN gives 0.
///
/// The quotient is rounded to the dtype of x before it is rounded to an integer, as in ONNX's QuantizeLinear and in the decomposition,
/// so that ties are decided alike everywhere.
pub(super) fn quantize(operands: &[Tensor], axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let [x, scale, zero_point] = super::operands(operands)?;
    let (scales, zero_points) = (f64::decode(scale), i128::decode(zero_point));
    let divisors = channels(scale, &scales, x.shape(), axis);
    let exact: Vec<f64> = f64::decode(x).into_iter().zip(divisors).map(|(x, scale)| x / scale).collect();
    let quotients = Array { dtype: x.dtype(), shape: result.shape.clone() }.encode(&exact)?;

    let (low, high) = result.dtype.int_range().unwrap_or((0, 0));
    let offsets = channels(zero_point, &zero_points, x.shape(), axis);
    let quantized = f64::decode(&quotients).into_iter().zip(offsets).map(|(quotient, zero_point)| {
        match quotient.is_nan() {
            true => 0,
            false => (quotient.round_ties_even() as i128).saturating_add(zero_point).clamp(low, high),
        }
    });
    result.encode(&quantized.collect::<Vec<i128>>())
}

/// (x − zero_point) · scale, rounded once.
pub(super) fn dequantize(operands: &[Tensor], axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let [x, scale, zero_point] = super::operands(operands)?;
    let (scales, zero_points) = (f64::decode(scale), i128::decode(zero_point));
    let offsets = channels(zero_point, &zero_points, x.shape(), axis);
    let factors = channels(scale, &scales, x.shape(), axis);
    let centred = i128::decode(x).into_iter().zip(offsets).map(|(x, zero_point)| (x - zero_point) as f64);
    result.encode(&centred.zip(factors).map(|(x, scale)| x * scale).collect::<Vec<f64>>())
}
