//! Named ops, from their definitions: everything in f64, one rounding at the end.

use super::EvalErrorKind;
use super::elementwise::sigmoid;
use super::index::{lanes, split};
use super::values::{Array, Number};
use crate::Tensor;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// eˣ⁻ᵐ of each element, and their sum, where m is the largest.
fn exponentials(values: &[f64]) -> (Vec<f64>, f64, f64) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, Number::maximum);
    let powers: Vec<f64> = values.iter().map(|x| libm::exp(x - largest)).collect();
    let sum = powers.iter().sum();
    (powers, sum, largest)
}

/// eˣ ÷ Σ eˣ.
fn softmax_of(values: &[f64]) -> Vec<f64> {
    let (powers, sum, _) = exponentials(values);
    powers.into_iter().map(|power| power / sum).collect()
}

/// x − m − ln Σ eˣ⁻ᵐ.
fn log_softmax_of(values: &[f64]) -> Vec<f64> {
    let (_, sum, largest) = exponentials(values);
    values.iter().map(|x| x - largest - libm::log(sum)).collect()
}

/// Applies `function` to each lane along `axis`.
fn by_lane(
    x: &Tensor,
    axis: usize,
    result: &Array,
    function: fn(&[f64]) -> Vec<f64>,
) -> Result<Tensor, EvalErrorKind> {
    let mut values = f64::decode(x);
    let (_, extent, inner) = split(x.shape(), axis);
    let mut lane = vec![0.0; extent];
    for first in lanes(x.shape(), axis) {
        lane.iter_mut().enumerate().for_each(|(i, value)| *value = values[first + i * inner]);
        for (i, value) in function(&lane).into_iter().enumerate() {
            values[first + i * inner] = value;
        }
    }
    result.encode(&values)
}

/// eˣ ÷ Σ eˣ along `axis`.
pub(super) fn softmax(x: &Tensor, axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    by_lane(x, axis, result, softmax_of)
}

/// ln(eˣ ÷ Σ eˣ) along `axis`.
pub(super) fn log_softmax(x: &Tensor, axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    by_lane(x, axis, result, log_softmax_of)
}

/// (x − mean) ÷ √(variance + ε) · scale + bias over the dimensions from `axis` on.
pub(super) fn layer_norm(
    operands: &[Tensor],
    axis: usize,
    epsilon: f64,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    normalize(operands, axis, result, |row| {
        let count = row.len() as f64;
        let mean = row.iter().sum::<f64>() / count;
        row.iter_mut().for_each(|x| *x -= mean);
        let variance = row.iter().map(|x| x * x).sum::<f64>() / count;
        (variance + epsilon).sqrt()
    })
}

/// x ÷ √(mean(x²) + ε) · scale over the dimensions from `axis` on.
pub(super) fn rms_norm(
    operands: &[Tensor],
    axis: usize,
    epsilon: f64,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    normalize(operands, axis, result, |row| {
        let mean_square = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        (mean_square + epsilon).sqrt()
    })
}

/// For each block of the dimensions from `axis` on: `divisor` may shift the block and gives what it is divided by; then scale and bias.
fn normalize(
    operands: &[Tensor],
    axis: usize,
    result: &Array,
    divisor: impl Fn(&mut [f64]) -> f64,
) -> Result<Tensor, EvalErrorKind> {
    let Some((x, affine)) = operands.split_first() else {
        return Err(EvalErrorKind::Internal("a norm without operands".into()));
    };
    let block: usize = x.shape()[axis..].iter().product();
    let scale = affine.first().map_or_else(|| vec![1.0; block], f64::decode);
    let bias = affine.get(1).map(f64::decode);
    let mut values = f64::decode(x);
    for row in values.chunks_exact_mut(block.max(1)) {
        let divisor = divisor(row);
        for (place, x) in row.iter_mut().enumerate() {
            *x = *x / divisor * scale[place] + bias.as_ref().map_or(-0.0, |bias| bias[place]);
        }
    }
    result.encode(&values)
}

/// x · Φ(x), or its tanh form.
pub(super) fn gelu(x: &Tensor, tanh: bool, result: &Array) -> Result<Tensor, EvalErrorKind> {
    // Φ(x) = ½ erfc(−x ÷ √2) keeps its digits for negative x, where 1 + erf(x ÷ √2) cancels.
    let exact = |x: f64| 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2);
    let approximate = |x: f64| 0.5 * x * (1.0 + libm::tanh(FRAC_2_PI.sqrt() * (x + 0.044715 * x * x * x)));
    let values = f64::decode(x).into_iter().map(|x| if tanh { approximate(x) } else { exact(x) });
    result.encode(&values.collect::<Vec<f64>>())
}

/// x · sigmoid(x).
pub(super) fn silu(x: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    result.encode(&f64::decode(x).into_iter().map(|x| x * sigmoid(x)).collect::<Vec<f64>>())
}

/// softmax(scale · q kᵀ + mask) v. A key that does not take part has the score −∞, so its weight is 0; a query without any key gives NaN.
pub(super) fn attention(
    operands: &[Tensor],
    scale: f64,
    causal: bool,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let [q, k, v, masks @ ..] = operands else {
        return Err(EvalErrorKind::Internal("attention without q, k and v".into()));
    };
    let last_two = |x: &Tensor| {
        let (_, rows, columns) = split(x.shape(), x.shape().len() - 2);
        (rows, columns)
    };
    let ((queries, depth), (keys, width)) = (last_two(q), last_two(v));
    let (q, k, v) = (f64::decode(q), f64::decode(k), f64::decode(v));
    let mask = masks.first().map(f64::decode);
    let mut values = vec![0.0; result.elements() as usize];
    for (row, output) in values.chunks_exact_mut(width.max(1)).enumerate() {
        let (batch, query) = (row / queries, row % queries);
        let q = &q[row * depth..(row + 1) * depth];
        let score = |key: usize| {
            let k = &k[(batch * keys + key) * depth..][..depth];
            let product = q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>();
            match causal && key + queries > query + keys {
                true => f64::NEG_INFINITY,
                false => scale * product + mask.as_ref().map_or(0.0, |mask| mask[row * keys + key]),
            }
        };
        let weights = softmax_of(&(0..keys).map(score).collect::<Vec<f64>>());
        for (key, weight) in weights.into_iter().enumerate() {
            let v = &v[(batch * keys + key) * width..][..width];
            output.iter_mut().zip(v).for_each(|(sum, v)| *sum += weight * v);
        }
    }
    result.encode(&values)
}
