//! Fourier transforms, window functions, mel filters.
//!
//! A transform is one contraction with a constant matrix of sines and cosines: real and imaginary parts are the last dimension.

use super::constant::{filled, vector};
use super::slice::{pad_with, slice_axis};
use crate::import::onnx::context::{NodeContext, Outputs, normalize_axis};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, ConvDimensions, DType, Dim, Op, Tensor, TensorType, UnaryOp, ValueId};
use std::f64::consts::PI;

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Elements of a transform's matrix.
const MAX_MATRIX: usize = 1 << 24;

/// A transform of `length` points: rows are input samples and parts, columns output samples and parts.
struct Transform {
    /// Samples that are read.
    inputs: usize,
    /// Parts of an input sample: 1 for real numbers, 2 for complex ones.
    input_parts: usize,
    /// Samples that are written.
    outputs: usize,
    /// Parts of an output sample.
    output_parts: usize,
    length: usize,
    inverse: bool,
}

impl Transform {
    /// The factor of an input part in an output part.
    fn factor(&self, n: usize, part: usize, k: usize, output_part: usize) -> f64 {
        let angle = 2.0 * PI * ((n * k) % self.length) as f64 / self.length as f64;
        let sine = if self.inverse { angle.sin() } else { -angle.sin() };
        let value = match (part, output_part) {
            (0, 0) | (1, 1) => angle.cos(),
            (0, _) => sine,
            (_, _) => -sine,
        };
        let scale = if self.inverse { 1.0 / self.length as f64 } else { 1.0 };
        // The inverse of half a spectrum: all but the first and, of even lengths, the middle sample stand for two.
        let is_single = n == 0 || 2 * n == self.length;
        let weight = if self.inverse && self.output_parts == 1 && !is_single { 2.0 } else { 1.0 };
        value * scale * weight
    }

    /// The matrix in the order of `rows` and `columns`: \[input, part, output, part\], or with `outputs_first` \[output, part, part, input\].
    fn matrix(&self, dtype: DType, outputs_first: bool) -> Result<Tensor> {
        let shape = match outputs_first {
            false => vec![self.inputs, self.input_parts, self.outputs, self.output_parts],
            true => vec![self.outputs * self.output_parts, self.input_parts, self.inputs],
        };
        let size = shape.iter().fold(1usize, |product, extent| product.saturating_mul(*extent));
        if size > MAX_MATRIX || self.length == 0 {
            return unsupported(format!("a transform of {} points", self.length));
        }
        let mut values = Vec::with_capacity(size);
        if outputs_first {
            for k in 0..self.outputs {
                for output_part in 0..self.output_parts {
                    for part in 0..self.input_parts {
                        values.extend((0..self.inputs).map(|n| self.factor(n, part, k, output_part)));
                    }
                }
            }
        } else {
            for n in 0..self.inputs {
                for part in 0..self.input_parts {
                    for k in 0..self.outputs {
                        values.extend(
                            (0..self.output_parts).map(|output_part| self.factor(n, part, k, output_part)),
                        );
                    }
                }
            }
        }
        let tensor = vector(dtype, &values)?.reshaped(shape);
        tensor.map_err(|error| Failure::BadInput(error.to_string()))
    }
}

fn constant_extent(dim: &Dim, what: &str) -> Result<usize> {
    match dim.as_const().map(usize::try_from) {
        Some(Ok(extent)) => Ok(extent),
        _ => unsupported(format!("{what} is not constant")),
    }
}

/// `DFT`: the axis is an attribute before opset 20, an input from then on.
pub(super) fn dft(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let rank = shape.len();
    let axis = match c.opset < 20 {
        true => c.int_or("axis", 1)?,
        false if c.has(2) => c.constant_int(2, "the axis")?,
        false => -2,
    };
    let axis = normalize_axis(axis, rank)?;
    if rank < 2 || axis == rank - 1 {
        return bad_input("the last dimension holds real and imaginary parts");
    }
    let (inverse, onesided) = (c.flag("inverse", false)?, c.flag("onesided", false)?);
    let extent = constant_extent(&shape[axis], "the extent of the axis")?;
    let parts = constant_extent(&shape[rank - 1], "the number of parts")?;
    let length = match c.has(1) {
        true => usize::try_from(c.constant_int(1, "the length")?).unwrap_or(0),
        false if inverse && onesided => 2 * extent.saturating_sub(1),
        false => extent,
    };
    let half = length / 2 + 1;
    let transform = Transform {
        inputs: if inverse && onesided { half } else { length },
        input_parts: parts,
        outputs: if onesided && !inverse { half } else { length },
        output_parts: if onesided && inverse { 1 } else { 2 },
        length,
        inverse,
    };
    let x = fit(c, x, axis, transform.inputs)?;
    let matrix = transform.matrix(c.dtype(x), false)?;
    let matrix = c.scope.builder.constant(matrix)?;
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![axis, rank - 1],
        rhs_contract: vec![0, 1],
    };
    let y = c.op(op, &[x, matrix])?;
    // The new axis and the parts come last: move the axis back.
    let mut permutation: Vec<usize> = (0..rank - 2).collect();
    permutation.insert(axis, rank - 2);
    permutation.push(rank - 1);
    Ok(c.transpose(y, &permutation)?.into())
}

/// An axis cut or filled with zeros to `extent`.
fn fit(c: &mut Context<'_, '_, '_>, x: ValueId, axis: usize, extent: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    let wanted = Dim::from(extent);
    let missing = &wanted - &shape[axis];
    if missing.upper() <= 0 {
        return slice_axis(c, x, axis, Dim::ZERO, wanted);
    }
    let zero = c.scalar_like(x, 0.0)?;
    let mut high = vec![Dim::ZERO; shape.len()];
    high[axis] = missing;
    pad_with(c, x, vec![Dim::ZERO; shape.len()], high, zero)
}

/// `STFT` as a convolution with the windowed waves.
pub(super) fn stft(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let signal = c.value(0)?;
    let shape = c.shape(signal);
    let [batch, samples, parts] = shape.as_slice() else { return bad_input("needs a signal of rank 3") };
    let parts = constant_extent(parts, "the number of parts")?;
    let step = c.constant_int(1, "the step between frames")?;
    if step < 1 {
        return bad_input(format!("the step between frames is {step}"));
    }
    let window = c.optional(2)?;
    let length = match window {
        _ if c.has(3) => usize::try_from(c.constant_int(3, "the length of a frame")?).unwrap_or(0),
        Some(window) => constant_extent(&c.ty(window).elements(), "the length of the window")?,
        None => constant_extent(samples, "the length of the signal")?,
    };
    let onesided = c.flag("onesided", true)?;
    let outputs = if onesided { length / 2 + 1 } else { length };
    let transform =
        Transform { inputs: length, input_parts: parts, outputs, output_parts: 2, length, inverse: false };
    let matrix = transform.matrix(c.dtype(signal), true)?;
    let mut kernel = c.scope.builder.constant(matrix)?;
    if let Some(window) = window {
        let dtype = c.dtype(signal);
        let window = c.cast(window, dtype)?;
        kernel = c.binary(BinaryOp::Mul, kernel, window)?;
    }
    let x = c.transpose(signal, &[0, 2, 1])?;
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(1),
        stride: vec![step],
        padding_low: vec![Dim::ZERO],
        padding_high: vec![Dim::ZERO],
        base_dilation: vec![1],
        kernel_dilation: vec![1],
        feature_groups: 1,
        batch_groups: 1,
    };
    let y = c.op(op, &[x, kernel])?;
    let frames = c.shape(y)[2].clone();
    let y = c.reshape(y, &[batch.clone(), Dim::from(outputs), Dim::from(2), frames])?;
    Ok(c.transpose(y, &[0, 3, 1, 2])?.into())
}

/// `HannWindow`, `HammingWindow`, `BlackmanWindow`: Σ (−1)ʲ aⱼ cos(2πji ÷ N) with N the size, or one less if not periodic.
pub(super) fn window(c: &mut Context<'_, '_, '_>, coefficients: &[f64]) -> Result<Outputs> {
    let size = c.dim(0, "the size")?;
    super::constant::check_extents(std::slice::from_ref(&size))?;
    let dtype = c.dtype_attribute("output_datatype")?.unwrap_or(DType::F32);
    let period = if c.flag("periodic", true)? { size.clone() } else { (&size - 1).maximum(&Dim::ONE) };
    let steps = c.op(Op::Iota { shape: vec![size.clone()], axis: 0, dtype: DType::F64 }, &[])?;
    let period = super::indexing::extent_value(c, &period, DType::F64)?;
    let turns = c.binary(BinaryOp::Div, steps, period)?;
    let mut sum =
        filled(c, &TensorType::new(DType::F64, [size]), coefficients.first().copied().unwrap_or(0.0))?;
    for (j, coefficient) in coefficients.iter().enumerate().skip(1) {
        let angle = c.binary_scalar(BinaryOp::Mul, turns, 2.0 * PI * j as f64)?;
        let cosine = c.unary(UnaryOp::Cos, angle)?;
        let signed = if j % 2 == 1 { -coefficient } else { *coefficient };
        let term = c.binary_scalar(BinaryOp::Mul, cosine, signed)?;
        sum = c.binary(BinaryOp::Add, sum, term)?;
    }
    Ok(c.cast(sum, dtype)?.into())
}

/// `MelWeightMatrix`: triangles over the bins of a spectrum, evenly spaced on the mel scale 2595·log₁₀(1 + f ÷ 700).
pub(super) fn mel_weight_matrix(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let bands = c.constant_int(0, "the number of bands")?;
    let length = c.constant_int(1, "the length of the transform")?;
    let rate = c.constant_int(2, "the sample rate")?;
    let mut edge = |place| -> Result<f64> {
        let tensor = c.constant_input(place, "the edge frequency")?;
        tensor
            .to_f64s()
            .first()
            .copied()
            .ok_or_else(|| Failure::BadInput("an edge frequency is empty".into()))
    };
    let (low, high) = (edge(3)?, edge(4)?);
    let (Ok(bands), Ok(length)) = (usize::try_from(bands), usize::try_from(length)) else {
        return bad_input("the number of bands and the length must not be negative");
    };
    let bins = length / 2 + 1;
    if rate < 1 || bands.saturating_mul(bins) > MAX_MATRIX {
        return bad_input(format!(
            "{bands} bands of {bins} bins at {rate} samples per second are not possible"
        ));
    }
    let mel = |hertz: f64| 2595.0 * (hertz / 700.0).ln_1p() / 10f64.ln();
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    let bin = |band: usize| {
        let hertz = 700.0 * ((band as f64 * step + mel(low)) / 2595.0 * 10f64.ln()).exp_m1();
        ((length + 1) as f64 * hertz / rate as f64).floor().clamp(0.0, bins as f64 - 1.0) as usize
    };
    let mut values = vec![0.0; bins * bands];
    for band in 0..bands {
        let (left, centre, right) = (bin(band), bin(band + 1), bin(band + 2));
        for place in left..=centre {
            let rise = if centre == left { 1.0 } else { (place - left) as f64 / (centre - left) as f64 };
            values[place * bands + band] = rise;
        }
        for place in centre..right {
            values[place * bands + band] = (right - place) as f64 / (right - centre) as f64;
        }
    }
    let dtype = c.dtype_attribute("output_datatype")?.unwrap_or(DType::F32);
    let tensor = vector(dtype, &values)?.reshaped(vec![bins, bands]);
    Ok(tensor.map_err(|error| Failure::BadInput(error.to_string()))?.into())
}
