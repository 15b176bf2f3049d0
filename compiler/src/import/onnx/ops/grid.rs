//! Sampling at places that the graph computes: `GridSample`, `AffineGrid`.

use super::indexing::extent_value;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// Coordinates along one spatial dimension: for each sample an element's index, its weight, and whether it is inside.
struct Tap {
    index: ValueId,
    weight: Option<ValueId>,
    inside: Option<ValueId>,
}

/// One spatial dimension of the sampled tensor.
struct Axis {
    extent: Dim,
    /// The extent in the coordinates' type.
    size: ValueId,
    align_corners: bool,
}

/// Moves coordinates from −1..1 to 0..extent − 1 (corners aligned) or −½..extent − ½.
fn denormalize(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis) -> Result<ValueId> {
    let shifted = c.binary_scalar(BinaryOp::Add, x, 1.0)?;
    if axis.align_corners {
        let last = c.binary_scalar(BinaryOp::Sub, axis.size, 1.0)?;
        let half = c.binary_scalar(BinaryOp::Mul, last, 0.5)?;
        return Ok(c.binary(BinaryOp::Mul, shifted, half)?);
    }
    let scaled = c.binary(BinaryOp::Mul, shifted, axis.size)?;
    let centred = c.binary_scalar(BinaryOp::Sub, scaled, 1.0)?;
    Ok(c.binary_scalar(BinaryOp::Mul, centred, 0.5)?)
}

/// Places beyond the border are mirrored at it as often as needed: with x relative to the lower border and a period of two
/// extents, r = x mod period and the result is min(r, period − r).
fn reflect(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis) -> Result<ValueId> {
    let low = if axis.align_corners { 0.0 } else { -0.5 };
    let span = if axis.align_corners { c.binary_scalar(BinaryOp::Sub, axis.size, 1.0)? } else { axis.size };
    // A single element with aligned corners has no span: any positive period gives its index after clamping.
    let span = c.binary_scalar(BinaryOp::Max, span, 0.5)?;
    let period = c.binary_scalar(BinaryOp::Mul, span, 2.0)?;
    let from_low = c.binary_scalar(BinaryOp::Sub, x, low)?;
    let rest = c.binary(BinaryOp::Mod, from_low, period)?;
    let mirrored = c.binary(BinaryOp::Sub, period, rest)?;
    let folded = c.binary(BinaryOp::Min, rest, mirrored)?;
    Ok(c.binary_scalar(BinaryOp::Add, folded, low)?)
}

/// A place clamped to 0..extent − 1.
fn clamp(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis) -> Result<ValueId> {
    let last = c.binary_scalar(BinaryOp::Sub, axis.size, 1.0)?;
    let low = c.binary_scalar(BinaryOp::Max, x, 0.0)?;
    Ok(c.binary(BinaryOp::Min, low, last)?)
}

/// A place beyond the border clamped to the elements; one between the border and the outermost element stays, which matters to the
/// cubic kernel.
fn clamp_outside(c: &mut Context<'_, '_, '_>, x: ValueId, axis: &Axis) -> Result<ValueId> {
    let clamped = clamp(c, x, axis)?;
    let difference = c.binary(BinaryOp::Sub, x, clamped)?;
    let distance = c.unary(UnaryOp::Abs, difference)?;
    let margin = if axis.align_corners { 0.0 } else { 0.5 };
    let beyond = super::elementwise::compare_scalar(c, CompareOp::Gt, distance, margin)?;
    Ok(c.select(beyond, clamped, x)?)
}

/// The element at an integer place, which padding brings inside.
fn tap(
    c: &mut Context<'_, '_, '_>,
    place: ValueId,
    weight: Option<ValueId>,
    axis: &Axis,
    padding: Padding,
) -> Result<Tap> {
    let clamped = match padding {
        Padding::Reflection => {
            let reflected = reflect(c, place, axis)?;
            clamp(c, reflected, axis)?
        }
        Padding::Zeros | Padding::Border => clamp(c, place, axis)?,
    };
    let inside = match padding {
        Padding::Zeros => Some(c.compare(CompareOp::Eq, clamped, place)?),
        Padding::Border | Padding::Reflection => None,
    };
    Ok(Tap { index: c.cast(clamped, DType::I64)?, weight, inside })
}

/// The elements that a sample takes along one dimension, at coordinates in −1..1.
fn taps(
    c: &mut Context<'_, '_, '_>,
    coordinate: ValueId,
    axis: &Axis,
    mode: Mode,
    padding: Padding,
) -> Result<Vec<Tap>> {
    let mut x = denormalize(c, coordinate, axis)?;
    if mode == Mode::Nearest {
        x = c.unary(UnaryOp::Round, x)?;
        return Ok(vec![tap(c, x, None, axis, padding)?]);
    }
    x = match padding {
        Padding::Zeros => x,
        Padding::Border => clamp_outside(c, x, axis)?,
        Padding::Reflection => reflect(c, x, axis)?,
    };
    taps_around(c, x, axis, mode, padding)
}

/// The elements around a place, with the weights of linear or cubic interpolation.
fn taps_around(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: &Axis,
    mode: Mode,
    padding: Padding,
) -> Result<Vec<Tap>> {
    let left = c.unary(UnaryOp::Floor, x)?;
    let ratio = c.binary(BinaryOp::Sub, x, left)?;
    let offsets = if mode == Mode::Linear { 0..2 } else { -1..3 };
    let mut taps = Vec::new();
    for offset in offsets {
        let place = c.binary_scalar(BinaryOp::Add, left, f64::from(offset))?;
        let distance = c.binary_scalar(BinaryOp::Sub, ratio, f64::from(offset))?;
        let distance = c.unary(UnaryOp::Abs, distance)?;
        let kernel = if mode == Mode::Linear { None } else { Some(-0.75) };
        let weight = super::resize::kernel_weight(c, distance, kernel, matches!(offset, 0 | 1))?;
        taps.push(tap(c, place, Some(weight), axis, padding)?);
    }
    Ok(taps)
}

/// Linear interpolation of x \[batch, features, spatial…\] with zeros outside, at places counted in elements: one tensor
/// \[batch, samples, 1\] per spatial dimension. The result is \[batch, samples, features\].
pub(super) fn linear_sample(c: &mut Context<'_, '_, '_>, x: ValueId, places: &[ValueId]) -> Result<ValueId> {
    let (shape, dtype) = (c.shape(x), c.dtype(x));
    let mut axes = Vec::with_capacity(places.len());
    for (extent, place) in shape[2..].iter().zip(places) {
        let wide = c.dtype(*place);
        let size = extent_value(c, extent, wide)?;
        let axis = Axis { extent: extent.clone(), size, align_corners: true };
        let taps = taps_around(c, *place, &axis, Mode::Linear, Padding::Zeros)?;
        axes.push((axis, taps));
    }
    sample(c, x, &axes, dtype)
}

/// `GridSample` in any number of spatial dimensions.
pub(super) fn grid_sample(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, grid) = (c.value(0)?, c.value(1)?);
    let (shape, places) = (c.shape(x), c.shape(grid));
    let rank = shape.len().saturating_sub(2);
    if rank < 1 || places.len() != rank + 2 || !places[rank + 1].is(rank as i64) {
        return bad_input(format!("can't sample {} at {}", c.ty(x), c.ty(grid)));
    }
    let mode = match c.text_or("mode", "linear")? {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let padding = match c.text_or("padding_mode", "zeros")? {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection,
        other => return bad_input(format!("there is no padding mode `{other}`")),
    };
    let align_corners = c.flag("align_corners", false)?;
    let dtype = c.dtype(x);
    let wide = if c.dtype(grid).bytes() < 4 { DType::F32 } else { c.dtype(grid) };
    // All samples of a batch element in one dimension.
    let samples = places[1..=rank].iter().fold(Dim::ONE, |product, dim| &product * dim);
    let grid = c.cast(grid, wide)?;
    let grid = c.reshape(grid, &[places[0].clone(), samples.clone(), places[rank + 1].clone()])?;
    let mut axes = Vec::with_capacity(rank);
    for place in 0..rank {
        let extent = shape[place + 2].clone();
        let size = extent_value(c, &extent, wide)?;
        let axis = Axis { extent, size, align_corners };
        // The last coordinate belongs to the first spatial dimension.
        let number = (rank - 1 - place) as i64;
        let coordinate = super::slice::slice_axis(c, grid, 2, Dim::from(number), Dim::from(number + 1))?;
        let taps = taps(c, coordinate, &axis, mode, padding)?;
        axes.push((axis, taps));
    }
    let y = sample(c, x, &axes, dtype)?;
    // [batch, samples, features] → [batch, features, samples…].
    let y = c.transpose(y, &[0, 2, 1])?;
    let result: Vec<Dim> = shape[..2].iter().chain(&places[1..=rank]).cloned().collect();
    Ok(c.reshape(y, &result)?.into())
}

/// Σ weight · element over all combinations of taps: \[batch, samples, features\].
fn sample(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axes: &[(Axis, Vec<Tap>)],
    dtype: DType,
) -> Result<ValueId> {
    let shape = c.shape(x);
    let plane = axes.iter().fold(Dim::ONE, |product, (axis, _)| &product * &axis.extent);
    let rows = c.reshape(x, &[shape[0].clone(), shape[1].clone(), plane])?;
    let rows = c.transpose(rows, &[0, 2, 1])?;
    let combinations: usize = axes.iter().map(|(_, taps)| taps.len()).product();
    let mut sum: Option<ValueId> = None;
    for combination in 0..combinations {
        let mut rest = combination;
        let mut chosen = Vec::with_capacity(axes.len());
        for (axis, taps) in axes.iter().rev() {
            chosen.push((axis, &taps[rest % taps.len()]));
            rest /= taps.len();
        }
        chosen.reverse();
        let part = element(c, rows, &chosen, dtype)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => c.binary(BinaryOp::Add, sum, part)?,
        });
    }
    sum.ok_or_else(|| Failure::BadInput("has no spatial dimensions".into()))
}

/// The elements of one combination of taps, weighted.
fn element(
    c: &mut Context<'_, '_, '_>,
    rows: ValueId,
    chosen: &[(&Axis, &Tap)],
    dtype: DType,
) -> Result<ValueId> {
    let [(_, first), others @ ..] = chosen else { return unsupported("sampling without dimensions") };
    let (mut index, mut weight, mut inside) = (first.index, first.weight, first.inside);
    for (axis, tap) in others {
        let extent = extent_value(c, &axis.extent, DType::I64)?;
        let scaled = c.binary(BinaryOp::Mul, index, extent)?;
        index = c.binary(BinaryOp::Add, scaled, tap.index)?;
        weight = combine(c, BinaryOp::Mul, weight, tap.weight)?;
        inside = combine(c, BinaryOp::And, inside, tap.inside)?;
    }
    // The last dimension of the indices, of extent 1, holds the one coordinate.
    let mut value = c.op(Op::GatherNd { batch_dimensions: 1 }, &[rows, index])?;
    if let Some(weight) = weight {
        let weight = c.cast(weight, dtype)?;
        value = c.binary(BinaryOp::Mul, value, weight)?;
    }
    if let Some(inside) = inside {
        let zero = c.scalar_like(value, 0.0)?;
        value = c.select(inside, value, zero)?;
    }
    Ok(value)
}

fn combine(
    c: &mut Context<'_, '_, '_>,
    op: BinaryOp,
    a: Option<ValueId>,
    b: Option<ValueId>,
) -> Result<Option<ValueId>> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some(c.binary(op, a, b)?)),
        (one, other) => Ok(one.or(other)),
    }
}

/// `AffineGrid`: the places −1..1 of every output element, transformed by an affine map per batch element.
pub(super) fn affine_grid(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let theta = c.value(0)?;
    let size = c.dims(1, "the size")?;
    let dtype = c.dtype(theta);
    let align_corners = c.flag("align_corners", false)?;
    let Some(spatial) = size.get(2..).filter(|spatial| !spatial.is_empty()) else {
        return bad_input("the size must have batch, features and spatial extents");
    };
    let rank = spatial.len();
    // Homogeneous coordinates, the innermost dimension first.
    let mut columns = Vec::with_capacity(rank + 1);
    for axis in (0..rank).rev() {
        let steps = c.op(Op::Iota { shape: spatial.to_vec(), axis, dtype }, &[])?;
        let extent = extent_value(c, &spatial[axis], dtype)?;
        let place = if align_corners {
            // A single element lies at −1.
            let last = c.binary_scalar(BinaryOp::Sub, extent, 1.0)?;
            let last = c.binary_scalar(BinaryOp::Max, last, 1.0)?;
            let doubled = c.binary_scalar(BinaryOp::Mul, steps, 2.0)?;
            c.binary(BinaryOp::Div, doubled, last)?
        } else {
            let doubled = c.binary_scalar(BinaryOp::Mul, steps, 2.0)?;
            let centred = c.binary_scalar(BinaryOp::Add, doubled, 1.0)?;
            c.binary(BinaryOp::Div, centred, extent)?
        };
        columns.push(c.binary_scalar(BinaryOp::Sub, place, 1.0)?);
    }
    let one = c.scalar(dtype, 1.0)?;
    columns.push(c.broadcast_to(one, spatial)?);
    let wide: Vec<Dim> = spatial.iter().cloned().chain([Dim::ONE]).collect();
    for column in &mut columns {
        *column = c.reshape(*column, &wide)?;
    }
    let places = c.op(Op::Concat { axis: rank }, &columns)?;
    // theta [batch, rank, rank + 1] · places [spatial…, rank + 1] → [batch, rank, spatial…].
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![2],
        rhs_contract: vec![rank],
    };
    let product = c.op(op, &[theta, places])?;
    let permutation: Vec<usize> = [0].into_iter().chain(2..rank + 2).chain([1]).collect();
    Ok(c.transpose(product, &permutation)?.into())
}
