//! The graph that resizes one axis.

use super::taps::{Extents, Taps, source, taps};
use super::{Axis, Coordinates, Mode, Rounding, Settings};
use crate::import::onnx::context::NodeContext;
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use crate::import::onnx::ops::constant::vector;
use crate::import::onnx::ops::indexing::extent_value;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Tensor, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// More taps are applied as a matrix.
const MAX_TAPS: usize = 4;
/// Outputs of one axis for which indices are stored.
const MAX_OUTPUTS: i64 = 1 << 20;

/// Resizes one axis.
pub(super) fn resize_axis(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: &Axis,
    settings: &Settings,
) -> Result<ValueId> {
    if let Some(repeats) = repeats(axis, settings) {
        return repeat(c, x, axis, repeats);
    }
    let (Some(input), Some(output)) = (axis.input.as_const(), axis.output.as_const()) else {
        return at_run_time(c, x, axis, settings);
    };
    if input < 1 && output > 0 {
        return bad_input("can't resize an empty tensor");
    }
    if output > MAX_OUTPUTS {
        return unsupported(format!("resizing to {output} elements along one axis"));
    }
    let scale = axis.scale.unwrap_or(output as f64 / input as f64);
    let taps = taps(&Extents { input, output, scale, roi: axis.roi }, settings);
    let y = weighted_sum(c, x, axis, &taps)?;
    extrapolate(c, y, axis, settings, &taps.outside)
}

/// n where every element is repeated n times, whatever the extent.
fn repeats(axis: &Axis, settings: &Settings) -> Option<i64> {
    let Mode::Nearest(rounding) = settings.mode else { return None };
    let factor = axis.output.floor_div(&axis.input).as_const().filter(|factor| *factor >= 1)?;
    let is_exact = axis.output == &axis.input * &Dim::from(factor)
        && axis.scale.is_none_or(|scale| scale == factor as f64)
        && !matches!(settings.coordinates, Coordinates::AlignCorners | Coordinates::TfCropAndResize);
    // The sources of the second element's repeats tell those of all others.
    let probe = Extents { input: 3, output: 3 * factor, scale: factor as f64, roi: (0.0, 1.0) };
    let stays = |x: i64| super::taps::round(source(x, &probe, settings.coordinates), rounding) == 1;
    (is_exact && factor < 1 << 16 && (factor..2 * factor).all(stays)).then_some(factor)
}

fn repeat(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis, factor: i64) -> Result<ValueId> {
    let mut split = c.shape(x);
    split.insert(axis.axis + 1, Dim::from(factor));
    let dimensions = (0..split.len()).filter(|place| *place != axis.axis + 1).collect();
    let repeated = c.op(Op::Broadcast { shape: split.to_vec(), dimensions }, &[x])?;
    let mut joined = c.shape(x);
    joined[axis.axis] = axis.output.clone();
    Ok(c.reshape(repeated, &joined)?)
}

/// Σ weight · element.
fn weighted_sum(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis, taps: &Taps) -> Result<ValueId> {
    let count = taps.weights.first().map_or(1, Vec::len);
    if count > MAX_TAPS {
        return matrix(c, x, axis, taps);
    }
    let mut sum: Option<ValueId> = None;
    for tap in 0..count {
        let indices: Vec<i64> = taps.indices.iter().map(|indices| indices[tap]).collect();
        let weights: Vec<f64> = taps.weights.iter().map(|weights| weights[tap]).collect();
        if weights.iter().all(|weight| *weight == 0.0) && count > 1 {
            continue;
        }
        let mut part = gather_constant(c, x, axis.axis, &indices)?;
        if weights.iter().any(|weight| *weight != 1.0) {
            let weights = vector(c.dtype(x), &weights)?;
            let weights = c.constant(weights)?;
            part = times_along(c, part, weights, axis.axis)?;
        }
        sum = Some(match sum {
            None => part,
            Some(sum) => c.binary(BinaryOp::Add, sum, part)?,
        });
    }
    match sum {
        Some(sum) => Ok(sum),
        None => gather_constant(c, x, axis.axis, &[]),
    }
}

/// A gather by constant indices, or a slice where they are evenly spaced.
fn gather_constant(c: &mut Context<'_, '_, '_>, x: ValueId, axis: usize, indices: &[i64]) -> Result<ValueId> {
    let stride = match indices {
        [first, second, ..] => second - first,
        _ => 0,
    };
    if stride >= 1 && indices.windows(2).all(|pair| pair[1] - pair[0] == stride) {
        let shape = c.shape(x);
        let mut start = vec![Dim::ZERO; shape.len()];
        let mut limit = shape.to_vec();
        let mut steps = vec![1; shape.len()];
        start[axis] = Dim::from(indices[0]);
        limit[axis] = Dim::from(indices[indices.len() - 1] + 1);
        steps[axis] = stride;
        return Ok(c.op(Op::Slice { start, limit, stride: steps }, &[x])?);
    }
    let indices = c.constant(Tensor::from_i64s(indices))?;
    Ok(c.op(Op::Gather { axis }, &[x, indices])?)
}

/// x · a vector along an axis.
fn times_along(c: &mut Context<'_, '_, '_>, x: ValueId, factors: ValueId, axis: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    let mut wide = vec![Dim::ONE; shape.len()];
    wide[axis] = shape[axis].clone();
    let factors = c.reshape(factors, &wide)?;
    Ok(c.binary(BinaryOp::Mul, x, factors)?)
}

/// The weights as a matrix \[input, output\], contracted with the axis.
fn matrix(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis, taps: &Taps) -> Result<ValueId> {
    let (Some(input), output) = (axis.input.as_const(), taps.indices.len()) else {
        return unsupported("resizing symbolic extents by a matrix");
    };
    let input = usize::try_from(input).map_err(|_| Failure::BadInput("has a negative extent".into()))?;
    let size = input.saturating_mul(output);
    if size > 1 << 24 {
        return unsupported(format!("resizing {input} to {output} elements by that many taps"));
    }
    let mut weights = vec![0.0; size];
    for (column, (indices, values)) in taps.indices.iter().zip(&taps.weights).enumerate() {
        for (index, weight) in indices.iter().zip(values) {
            weights[*index as usize * output + column] += weight;
        }
    }
    let tensor = vector(c.dtype(x), &weights)?.reshaped(vec![input, output]);
    let tensor = c.constant(tensor.map_err(|error| Failure::BadInput(error.to_string()))?)?;
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![axis.axis],
        rhs_contract: vec![0],
    };
    let product = c.op(op, &[x, tensor])?;
    // The resized dimension comes last: move it back.
    let rank = c.shape(x).len();
    let mut permutation: Vec<usize> = (0..rank - 1).collect();
    permutation.insert(axis.axis, rank - 1);
    Ok(c.transpose(product, &permutation)?)
}

/// Outputs outside the input get the extrapolation value.
fn extrapolate(
    c: &mut Context<'_, '_, '_>,
    y: ValueId,
    axis: &Axis,
    settings: &Settings,
    outside: &[bool],
) -> Result<ValueId> {
    if !outside.contains(&true) {
        return Ok(y);
    }
    let data: Vec<u8> = outside.iter().map(|outside| *outside as u8).collect();
    let mask = Tensor::new(DType::Bool, vec![outside.len()], data);
    let mask = c.constant(mask.map_err(|error| Failure::BadInput(error.to_string()))?)?;
    let mut wide = vec![Dim::ONE; c.shape(y).len()];
    wide[axis.axis] = Dim::from(outside.len());
    let mask = c.reshape(mask, &wide)?;
    let value = c.scalar_like(y, settings.extrapolation)?;
    Ok(c.select(mask, value, y)?)
}

/// The same for symbolic extents: places, indices and weights are computed by the graph, in f32 as run-time libraries do.
fn at_run_time(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis, settings: &Settings) -> Result<ValueId> {
    if settings.antialias || settings.exclude_outside {
        return unsupported("antialiasing of symbolic extents");
    }
    let place = run_time_source(c, axis, settings.coordinates)?;
    let last = extent_value(c, &(&axis.input - 1), DType::I64)?;
    let clamped = |c: &mut Context<'_, '_, '_>, place: ValueId, offset: f64| -> Result<ValueId> {
        let index = c.cast(place, DType::I64)?;
        let index = c.binary_scalar(BinaryOp::Add, index, offset)?;
        let index = c.binary_scalar(BinaryOp::Max, index, 0.0)?;
        Ok(c.binary(BinaryOp::Min, index, last)?)
    };
    if let Mode::Nearest(rounding) = settings.mode {
        let shifted = match rounding {
            Rounding::PreferFloor => c.binary_scalar(BinaryOp::Sub, place, 0.5)?,
            Rounding::PreferCeil => c.binary_scalar(BinaryOp::Add, place, 0.5)?,
            Rounding::Floor | Rounding::Ceil => place,
        };
        let op = match rounding {
            Rounding::PreferFloor | Rounding::Ceil => UnaryOp::Ceil,
            Rounding::PreferCeil | Rounding::Floor => UnaryOp::Floor,
        };
        let index = c.unary(op, shifted)?;
        let index = clamped(c, index, 0.0)?;
        return Ok(c.op(Op::Gather { axis: axis.axis }, &[x, index])?);
    }
    let left = c.unary(UnaryOp::Floor, place)?;
    let ratio = c.binary(BinaryOp::Sub, place, left)?;
    let dtype = c.dtype(x);
    let mut sum: Option<ValueId> = None;
    let offsets = if settings.mode == Mode::Linear { 0..2 } else { -1..3 };
    for offset in offsets {
        let index = clamped(c, left, f64::from(offset))?;
        let distance = c.binary_scalar(BinaryOp::Sub, ratio, f64::from(offset))?;
        let distance = c.unary(UnaryOp::Abs, distance)?;
        let weight = kernel_weight(c, distance, settings.mode.coefficient(), matches!(offset, 0 | 1))?;
        let weight = c.cast(weight, dtype)?;
        let part = c.op(Op::Gather { axis: axis.axis }, &[x, index])?;
        let part = times_along(c, part, weight, axis.axis)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => c.binary(BinaryOp::Add, sum, part)?,
        });
    }
    sum.ok_or_else(|| Failure::BadInput("has no taps".into()))
}

/// The kernel at a distance, of which `near` says that it is at most 1: linear, or cubic with the coefficient `cubic`.
pub(in crate::import::onnx::ops) fn kernel_weight(
    c: &mut Context<'_, '_, '_>,
    distance: ValueId,
    cubic: Option<f64>,
    near: bool,
) -> Result<ValueId> {
    let Some(a) = cubic else {
        let negated = c.unary(UnaryOp::Neg, distance)?;
        return Ok(c.binary_scalar(BinaryOp::Add, negated, 1.0)?);
    };
    // Coefficients of 1, x, x² and x³ in the two pieces of the kernel.
    let [k0, k1, k2, k3] =
        if near { [1.0, 0.0, -(a + 3.0), a + 2.0] } else { [-4.0 * a, 8.0 * a, -5.0 * a, a] };
    let mut weight = c.binary_scalar(BinaryOp::Mul, distance, k3)?;
    for coefficient in [k2, k1] {
        weight = c.binary_scalar(BinaryOp::Add, weight, coefficient)?;
        weight = c.binary(BinaryOp::Mul, weight, distance)?;
    }
    Ok(c.binary_scalar(BinaryOp::Add, weight, k0)?)
}

/// The places in the input of all outputs.
fn run_time_source(c: &mut Context<'_, '_, '_>, axis: &Axis, coordinates: Coordinates) -> Result<ValueId> {
    let dtype = DType::F32;
    let x = c.op(Op::Iota { shape: vec![axis.output.clone()], axis: 0, dtype }, &[])?;
    let (input, output) = (extent_value(c, &axis.input, dtype)?, extent_value(c, &axis.output, dtype)?);
    let scale = match axis.scale {
        Some(scale) => c.scalar(dtype, scale)?,
        None => c.binary(BinaryOp::Div, output, input)?,
    };
    let half_pixel = |c: &mut Context<'_, '_, '_>| -> Result<ValueId> {
        let centre = c.binary_scalar(BinaryOp::Add, x, 0.5)?;
        Ok(c.binary(BinaryOp::Div, centre, scale)?)
    };
    match coordinates {
        Coordinates::Asymmetric => Ok(c.binary(BinaryOp::Div, x, scale)?),
        Coordinates::TfHalfPixelForNn => half_pixel(c),
        Coordinates::HalfPixel => {
            let place = half_pixel(c)?;
            Ok(c.binary_scalar(BinaryOp::Sub, place, 0.5)?)
        }
        Coordinates::PytorchHalfPixel => {
            let place = half_pixel(c)?;
            let place = c.binary_scalar(BinaryOp::Sub, place, 0.5)?;
            let one = c.scalar(dtype, 1.0)?;
            let is_wide = c.compare(CompareOp::Gt, output, one)?;
            let zero = c.scalar(dtype, 0.0)?;
            Ok(c.select(is_wide, place, zero)?)
        }
        Coordinates::AlignCorners => {
            let last = c.binary_scalar(BinaryOp::Sub, input, 1.0)?;
            let width = c.binary(BinaryOp::Mul, scale, input)?;
            let span = c.binary_scalar(BinaryOp::Sub, width, 1.0)?;
            let is_single = super::super::elementwise::compare_scalar(c, CompareOp::Eq, span, 0.0)?;
            let one = c.scalar(dtype, 1.0)?;
            let span = c.select(is_single, one, span)?;
            let scaled = c.binary(BinaryOp::Mul, x, last)?;
            Ok(c.binary(BinaryOp::Div, scaled, span)?)
        }
        Coordinates::HalfPixelSymmetric | Coordinates::TfCropAndResize => {
            unsupported("this coordinate transformation of symbolic extents")
        }
    }
}
