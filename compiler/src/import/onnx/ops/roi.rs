//! Pools over regions of interest: `RoiAlign`, `MaxRoiPool`.

use super::indexing::extent_value;
use super::slice::{concat_of, slice_axis};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, ReduceOp, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Samples per bin and dimension.
const MAX_SAMPLES: i64 = 1 << 10;

/// Regions along one spatial dimension, each \[regions, 1, 1\] in the type of the computation.
struct Span {
    start: ValueId,
    /// Extent of a bin.
    bin: ValueId,
    /// Extent of the tensor.
    extent: Dim,
    bins: i64,
}

/// Two neighbouring elements of each sample with their weights, all \[regions, bins · samples\].
struct Neighbours {
    index: [ValueId; 2],
    weight: [ValueId; 2],
    /// 1 for samples that count, else 0.
    counts: ValueId,
    /// Samples that count in a bin, \[regions, 1\].
    number: ValueId,
    samples: i64,
}

/// Column `place` of a matrix as \[rows, 1, 1\].
fn column(c: &mut Context<'_, '_, '_>, matrix: ValueId, place: i64) -> Result<ValueId> {
    let rows = c.shape(matrix)[0].clone();
    let column = slice_axis(c, matrix, 1, Dim::from(place), Dim::from(place + 1))?;
    Ok(c.reshape(column, &[rows, Dim::ONE, Dim::ONE])?)
}

fn output_extent(c: &Context<'_, '_, '_>, name: &str) -> Result<i64> {
    match c.int_or(name, 1)? {
        extent @ 1..=0xFFFF => Ok(extent),
        other => bad_input(format!("attribute `{name}` is {other}")),
    }
}

/// `RoiAlign` (He et al., 2017): the mean or the maximum of linearly interpolated samples in each bin.
pub(super) fn roi_align(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, rois, batch) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let shape = c.shape(x);
    let [_, _, height, width] = shape.as_slice() else { return bad_input("needs an NCHW tensor") };
    if c.shape(rois).len() != 2 || !c.shape(rois)[1].is(4) {
        return bad_input(format!("regions need four coordinates, not {}", c.ty(rois)));
    }
    let dtype = c.dtype(x);
    let wide = if dtype.bytes() < 4 { DType::F32 } else { dtype };
    let default = if c.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let is_shifted = match c.text_or("coordinate_transformation_mode", default)? {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let is_max = match c.text_or("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let scale = c.float_or("spatial_scale", 1.0)?;
    let regions = c.cast(rois, wide)?;
    let scaled = c.binary_scalar(BinaryOp::Mul, regions, scale)?;
    let scaled = if is_shifted { c.binary_scalar(BinaryOp::Sub, scaled, 0.5)? } else { scaled };
    let mut sides = Vec::with_capacity(2);
    for (first, extent, name) in [(1, height, "output_height"), (0, width, "output_width")] {
        let bins = output_extent(c, name)?;
        let (start, end) = (column(c, scaled, first)?, column(c, scaled, first + 2)?);
        let mut length = c.binary(BinaryOp::Sub, end, start)?;
        if !is_shifted {
            length = c.binary_scalar(BinaryOp::Max, length, 1.0)?;
        }
        let bin = c.binary_scalar(BinaryOp::Div, length, bins as f64)?;
        let span = Span { start, bin, extent: extent.clone(), bins };
        let samples = samples_per_bin(c)?;
        if is_max && samples.is_none() {
            return unsupported("the maximum of as many samples as a bin has elements");
        }
        sides.push((neighbours(c, &span, samples, wide)?, bins));
    }
    let [(rows, high), (columns, broad)] = sides.as_slice() else { return bad_input("needs two dimensions") };
    let x = c.cast(x, wide)?;
    let y = pooled(c, x, batch, [rows, columns], [*high, *broad], is_max)?;
    Ok(c.cast(y, dtype)?.into())
}

/// The number of samples in a bin and dimension; `None` for about one per element.
fn samples_per_bin(c: &Context<'_, '_, '_>) -> Result<Option<i64>> {
    match c.int_or("sampling_ratio", 0)? {
        0 => Ok(None),
        ratio @ 1..=MAX_SAMPLES => Ok(Some(ratio)),
        other => bad_input(format!("attribute `sampling_ratio` is {other}")),
    }
}

fn neighbours(
    c: &mut Context<'_, '_, '_>,
    span: &Span,
    samples: Option<i64>,
    dtype: DType,
) -> Result<Neighbours> {
    let number = match samples {
        Some(samples) => c.scalar(dtype, samples as f64)?,
        None => c.unary(UnaryOp::Ceil, span.bin)?,
    };
    let most = match samples {
        Some(samples) => samples,
        None => {
            let arg = c.scope.add_value(number);
            let Some(tensor) = c.scope.constant(arg) else {
                return unsupported("the number of samples in a bin depends on data");
            };
            let most = tensor.to_f64s().into_iter().fold(1.0, f64::max);
            match most <= MAX_SAMPLES as f64 {
                true => most as i64,
                false => return unsupported(format!("{most} samples in a bin are too many")),
            }
        }
    };
    let regions = c.shape(span.start)[0].clone();
    let grid = [Dim::ONE, Dim::from(span.bins), Dim::from(most)];
    let count = |axis| Op::Iota { shape: grid.to_vec(), axis, dtype };
    let (bin, sample) = (c.op(count(1), &[])?, c.op(count(2), &[])?);
    let offset = c.binary(BinaryOp::Mul, bin, span.bin)?;
    let middle = c.binary_scalar(BinaryOp::Add, sample, 0.5)?;
    let step = c.binary(BinaryOp::Div, span.bin, number)?;
    let within = c.binary(BinaryOp::Mul, middle, step)?;
    let place = c.binary(BinaryOp::Add, span.start, offset)?;
    let place = c.binary(BinaryOp::Add, place, within)?;
    let flat = [regions.clone(), Dim::from(span.bins * most)];
    let place = c.reshape(place, &flat)?;
    // Samples more than one element outside give 0; the others are moved to the border.
    let size = extent_value(c, &span.extent, dtype)?;
    let above = super::elementwise::compare_scalar(c, CompareOp::Ge, place, -1.0)?;
    let below = c.compare(CompareOp::Le, place, size)?;
    let is_inside = c.binary(BinaryOp::And, above, below)?;
    let is_used = c.compare(CompareOp::Lt, sample, number)?;
    let is_used = c.broadcast_to(is_used, &[regions.clone(), grid[1].clone(), grid[2].clone()])?;
    let is_used = c.reshape(is_used, &flat)?;
    let counts = c.binary(BinaryOp::And, is_inside, is_used)?;
    let last = c.binary_scalar(BinaryOp::Sub, size, 1.0)?;
    let place = c.binary_scalar(BinaryOp::Max, place, 0.0)?;
    let place = c.binary(BinaryOp::Min, place, last)?;
    let low = c.unary(UnaryOp::Floor, place)?;
    let next = c.binary_scalar(BinaryOp::Add, low, 1.0)?;
    let high = c.binary(BinaryOp::Min, next, last)?;
    let ratio = c.binary(BinaryOp::Sub, place, low)?;
    let negated = c.unary(UnaryOp::Neg, ratio)?;
    let rest = c.binary_scalar(BinaryOp::Add, negated, 1.0)?;
    let number = c.broadcast_to(number, &[regions.clone(), Dim::ONE, Dim::ONE])?;
    Ok(Neighbours {
        index: [c.cast(low, DType::I64)?, c.cast(high, DType::I64)?],
        weight: [rest, ratio],
        counts: c.cast(counts, dtype)?,
        number: c.reshape(number, &[regions, Dim::ONE])?,
        samples: most,
    })
}

/// A matrix \[regions, n\] along rows (`axis` 1) or columns (`axis` 2) of \[regions, rows, columns, 1\].
fn along(c: &mut Context<'_, '_, '_>, matrix: ValueId, axis: usize) -> Result<ValueId> {
    let shape = c.shape(matrix);
    let mut wide = vec![shape[0].clone(), Dim::ONE, Dim::ONE, Dim::ONE];
    wide[axis] = shape[1].clone();
    Ok(c.reshape(matrix, &wide)?)
}

/// The bins of all regions: \[regions, features, bins, bins\].
fn pooled(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    batch: ValueId,
    [rows, columns]: [&Neighbours; 2],
    [high, broad]: [i64; 2],
    is_max: bool,
) -> Result<ValueId> {
    let x = c.transpose(x, &[0, 2, 3, 1])?;
    let regions = c.shape(batch)[0].clone();
    let features = c.shape(x)[3].clone();
    let batch = c.cast(batch, DType::I64)?;
    let batch = c.reshape(batch, &[regions.clone(), Dim::ONE, Dim::ONE, Dim::ONE])?;
    let grid =
        [regions.clone(), Dim::from(high * rows.samples), Dim::from(broad * columns.samples), Dim::ONE];
    let mut sum: Option<ValueId> = None;
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (row, column) = (along(c, rows.index[i], 1)?, along(c, columns.index[j], 2)?);
        let mut coordinates = Vec::with_capacity(3);
        for index in [batch, row, column] {
            coordinates.push(c.broadcast_to(index, &grid)?);
        }
        let coordinates = concat_of(c, &coordinates, 3)?;
        let elements = c.op(Op::GatherNd { batch_dimensions: 0 }, &[x, coordinates])?;
        let (row, column) = (along(c, rows.weight[i], 1)?, along(c, columns.weight[j], 2)?);
        let weight = c.binary(BinaryOp::Mul, row, column)?;
        let part = c.binary(BinaryOp::Mul, elements, weight)?;
        // The maximum is that of the weighted elements, not of their sums.
        let combine = if is_max { BinaryOp::Max } else { BinaryOp::Add };
        sum = Some(match sum {
            None => part,
            Some(sum) => c.binary(combine, sum, part)?,
        });
    }
    let Some(sum) = sum else { return bad_input("has no samples") };
    let (row, column) = (along(c, rows.counts, 1)?, along(c, columns.counts, 2)?);
    let counts = c.binary(BinaryOp::Mul, row, column)?;
    let counted = c.binary(BinaryOp::Mul, sum, counts)?;
    let split = [
        regions,
        Dim::from(high),
        Dim::from(rows.samples),
        Dim::from(broad),
        Dim::from(columns.samples),
        features,
    ];
    let bins = c.reshape(counted, &split)?;
    let combine = if is_max { ReduceOp::Max } else { ReduceOp::Sum };
    let mut y = c.reduce(combine, bins, &[2, 4], false)?;
    if !is_max {
        let (row, column) = (along(c, rows.number, 1)?, along(c, columns.number, 2)?);
        let number = c.binary(BinaryOp::Mul, row, column)?;
        let number = c.binary_scalar(BinaryOp::Max, number, 1.0)?;
        y = c.binary(BinaryOp::Div, y, number)?;
    }
    Ok(c.transpose(y, &[0, 3, 1, 2])?)
}

/// `MaxRoiPool` (Girshick, 2015): the maximum of the elements in each bin of a region with rounded borders; 0 for an empty bin.
pub(super) fn max_roi_pool(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, rois) = (c.value(0)?, c.value(1)?);
    let shape = c.shape(x);
    let [_, features, height, width] = shape.as_slice() else { return bad_input("needs an NCHW tensor") };
    if c.shape(rois).len() != 2 || !c.shape(rois)[1].is(5) {
        return bad_input(format!("regions need a batch index and four coordinates, not {}", c.ty(rois)));
    }
    let regions = c.shape(rois)[0].clone();
    let bins = match c.ints("pooled_shape")? {
        Some([high @ 1..=0xFFFF, broad @ 1..=0xFFFF]) => [*high, *broad],
        other => return bad_input(format!("attribute `pooled_shape` is {other:?}")),
    };
    let scale = c.float_or("spatial_scale", 1.0)?;
    let batch = slice_axis(c, rois, 1, Dim::ZERO, Dim::ONE)?;
    let batch = c.reshape(batch, std::slice::from_ref(&regions))?;
    let batch = c.cast(batch, DType::I64)?;
    let low = c.scalar_like(x, f64::NEG_INFINITY)?;
    // [regions, features, height, width], then one dimension after the other into bins.
    let mut y = c.op(Op::Gather { axis: 0 }, &[x, batch])?;
    for (place, extent) in [height, width].into_iter().enumerate() {
        let inside = bin_mask(c, rois, 2 - place as i64, extent, bins[place], scale)?;
        let mut wide = c.shape(y).to_vec();
        wide.insert(2 + place, Dim::ONE);
        let spread = c.reshape(y, &wide)?;
        let mut aligned = vec![Dim::ONE; 5];
        aligned[0] = regions.clone();
        aligned[2 + place] = Dim::from(bins[place]);
        aligned[3 + place] = extent.clone();
        let inside = c.reshape(inside, &aligned)?;
        let masked = c.select(inside, spread, low)?;
        y = c.reduce(ReduceOp::Max, masked, &[3 + place], false)?;
    }
    debug_assert_eq!(c.shape(y)[1], *features);
    let is_empty = c.compare(CompareOp::Eq, y, low)?;
    let zero = c.scalar_like(y, 0.0)?;
    Ok(c.select(is_empty, zero, y)?.into())
}

/// Which elements belong to which bin of a region: bool \[regions, bins, extent\].
fn bin_mask(
    c: &mut Context<'_, '_, '_>,
    rois: ValueId,
    first: i64,
    extent: &Dim,
    bins: i64,
    scale: f64,
) -> Result<ValueId> {
    let border = |c: &mut Context<'_, '_, '_>, place| -> Result<ValueId> {
        let value = column(c, rois, place)?;
        let scaled = c.binary_scalar(BinaryOp::Mul, value, scale)?;
        // Halves are rounded away from zero.
        let shifted = c.binary_scalar(BinaryOp::Add, scaled, 0.5)?;
        Ok(c.unary(UnaryOp::Floor, shifted)?)
    };
    let (start, end) = (border(c, first)?, border(c, first + 2)?);
    let length = c.binary(BinaryOp::Sub, end, start)?;
    let length = c.binary_scalar(BinaryOp::Add, length, 1.0)?;
    let length = c.binary_scalar(BinaryOp::Max, length, 1.0)?;
    let size = c.binary_scalar(BinaryOp::Div, length, bins as f64)?;
    let dtype = c.dtype(start);
    let bin = c.op(Op::Iota { shape: vec![Dim::ONE, Dim::from(bins), Dim::ONE], axis: 1, dtype }, &[])?;
    let begin = c.binary(BinaryOp::Mul, bin, size)?;
    let begin = c.unary(UnaryOp::Floor, begin)?;
    let begin = c.binary(BinaryOp::Add, begin, start)?;
    let next = c.binary_scalar(BinaryOp::Add, bin, 1.0)?;
    let finish = c.binary(BinaryOp::Mul, next, size)?;
    let finish = c.unary(UnaryOp::Ceil, finish)?;
    let finish = c.binary(BinaryOp::Add, finish, start)?;
    let place = c.op(Op::Iota { shape: vec![Dim::ONE, Dim::ONE, extent.clone()], axis: 2, dtype }, &[])?;
    let after = c.compare(CompareOp::Ge, place, begin)?;
    let before = c.compare(CompareOp::Lt, place, finish)?;
    Ok(c.binary(BinaryOp::And, after, before)?)
}
