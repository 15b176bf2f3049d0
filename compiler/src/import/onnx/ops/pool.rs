//! Pools.

use super::conv::{Geometry, dilated, geometry};
use super::reduction::{Kind, reduce_over};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, DType, Dim, Op, ReduceOp, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// A pool's windows with padding extended for `ceil_mode`.
struct Pool {
    geometry: Geometry,
    /// Padding after, with what `ceil_mode` adds.
    extended: Vec<Dim>,
}

fn pool(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<Pool> {
    let shape = c.shape(x);
    let Some(size) = c.ints("kernel_shape")? else { return bad_input("attribute `kernel_shape` is missing") };
    if shape.len() < 3 || size.len() != shape.len() - 2 || size.iter().any(|size| *size < 1) {
        return bad_input(format!("can't pool {} by windows of {size:?}", c.ty(x)));
    }
    let spatial = &shape[2..];
    let geometry = geometry(c, spatial, size.iter().map(|size| Dim::from(*size)).collect())?;
    let mut extended = geometry.high.clone();
    if c.flag("ceil_mode", false)? {
        for axis in 0..spatial.len() {
            extended[axis] = ceil_padding(&geometry, axis, &spatial[axis]);
        }
    }
    Ok(Pool { geometry, extended })
}

/// Padding for ⌈·⌉ places, of which none starts in the padding after the elements.
fn ceil_padding(geometry: &Geometry, axis: usize, extent: &Dim) -> Dim {
    let (low, high, stride) = (&geometry.low[axis], &geometry.high[axis], geometry.stride[axis]);
    let step = Dim::from(stride);
    let covered = dilated(&geometry.size[axis], geometry.dilation[axis]);
    let places = (extent + low + high - &covered).ceil_div(&step) + 1;
    // The last window starts before extent + low.
    let limit = (extent + low).ceil_div(&step);
    let last = (places.minimum(&limit) - 1) * stride;
    (last + covered - extent - low).maximum(high)
}

/// Lists with one entry per dimension: nothing happens along batch and features.
fn widened<T: Clone>(spatial: &[T], neutral: T) -> Vec<T> {
    [neutral.clone(), neutral].into_iter().chain(spatial.iter().cloned()).collect()
}

fn window_sizes(geometry: &Geometry) -> Vec<i64> {
    let sizes: Vec<i64> = geometry.size.iter().map(|size| size.as_const().unwrap_or(1)).collect();
    widened(&sizes, 1)
}

fn reduce_window(c: &mut Context<'_, '_, '_>, combine: ReduceOp, x: ValueId, pool: &Pool) -> Result<ValueId> {
    let geometry = &pool.geometry;
    let op = Op::ReduceWindow {
        combine,
        size: window_sizes(geometry),
        stride: widened(&geometry.stride, 1),
        dilation: widened(&geometry.dilation, 1),
        padding_low: widened(&geometry.low, Dim::ZERO),
        padding_high: widened(&pool.extended, Dim::ZERO),
    };
    Ok(c.op(op, &[x])?)
}

/// `MaxPool`, with the places of the largest elements if they are wanted.
pub(super) fn max_pool(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let pool = pool(c, x)?;
    let values = reduce_window(c, ReduceOp::Max, x, &pool)?;
    if !c.wants(1) {
        return Ok(values.into());
    }
    let geometry = &pool.geometry;
    let op = Op::ArgMaxWindow {
        size: window_sizes(geometry),
        stride: widened(&geometry.stride, 1),
        dilation: widened(&geometry.dilation, 1),
        padding_low: widened(&geometry.low, Dim::ZERO),
        padding_high: widened(&pool.extended, Dim::ZERO),
    };
    let mut indices = c.op(op, &[x])?;
    if c.flag("storage_order", false)? {
        indices = column_major(c, indices, x)?;
    }
    Ok(Outputs::values([values, indices]))
}

/// Indices with the spatial dimensions counted column by column.
fn column_major(c: &mut Context<'_, '_, '_>, indices: ValueId, x: ValueId) -> Result<ValueId> {
    let shape = c.shape(x);
    let spatial: Option<Vec<i64>> = shape[2..].iter().map(Dim::as_const).collect();
    let Some(spatial) = spatial else { return unsupported("column-major indices of symbolic extents") };
    let plane: i64 = spatial.iter().product();
    let inner = c.binary_scalar(BinaryOp::Mod, indices, plane as f64)?;
    let mut result = c.binary(BinaryOp::Sub, indices, inner)?;
    let (mut row_stride, mut column_stride) = (plane, 1i64);
    for extent in spatial {
        row_stride /= extent.max(1);
        let quotient = c.binary_scalar(BinaryOp::Div, inner, row_stride as f64)?;
        let index = c.binary_scalar(BinaryOp::Mod, quotient, extent as f64)?;
        let offset = c.binary_scalar(BinaryOp::Mul, index, column_stride as f64)?;
        result = c.binary(BinaryOp::Add, result, offset)?;
        column_stride *= extent;
    }
    Ok(result)
}

/// `AveragePool`.
pub(super) fn average_pool(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let pool = pool(c, x)?;
    let include_pad = c.flag("count_include_pad", false)?;
    let sum = reduce_window(c, ReduceOp::Sum, x, &pool)?;
    let spatial = c.shape(x)[2..].to_vec();
    let counts = element_counts(&pool, &spatial, include_pad);
    let dtype = c.dtype(x);
    let Some(counts) = counts else {
        let counts = runtime_counts(c, &pool, &spatial, include_pad, dtype)?;
        return Ok(c.binary(BinaryOp::Div, sum, counts)?.into());
    };
    let mut result = sum;
    let mut uniform = 1.0;
    for (axis, counts) in counts.iter().enumerate() {
        let first = counts.first().copied().unwrap_or(1.0);
        if counts.iter().all(|count| *count == first) {
            uniform *= first;
            continue;
        }
        let vector = super::constant::vector(dtype, counts)?;
        let vector = c.constant(vector)?;
        let mut shape = vec![Dim::ONE; spatial.len()];
        shape[axis] = Dim::from(counts.len());
        let vector = c.reshape(vector, &shape)?;
        result = c.binary(BinaryOp::Div, result, vector)?;
    }
    Ok(if uniform == 1.0 { result } else { c.binary_scalar(BinaryOp::Div, result, uniform)? }.into())
}

/// How many elements count along each axis at each place, where the extents are known. The count of a window is their product.
fn element_counts(pool: &Pool, spatial: &[Dim], include_pad: bool) -> Option<Vec<Vec<f64>>> {
    let geometry = &pool.geometry;
    let axis_counts = |axis: usize| {
        let (low, high) = (geometry.low[axis].as_const()?, geometry.high[axis].as_const()?);
        let (extent, end) = (spatial[axis].as_const()?, pool.extended[axis].as_const()?);
        let (size, dilation) = (geometry.size[axis].as_const()?, geometry.dilation[axis]);
        let covered = (size - 1).checked_mul(dilation)? + 1;
        let places = (extent + low + end - covered).div_euclid(geometry.stride[axis]) + 1;
        let (first, last) = if include_pad { (-low, extent + high) } else { (0, extent) };
        if !(0..=1 << 20).contains(&places) || size > 1 << 12 {
            return None;
        }
        let count = |place: i64| {
            let start = place * geometry.stride[axis] - low;
            (0..size).filter(|tap| (first..last).contains(&(start + tap * dilation))).count() as f64
        };
        Some((0..places).map(count).collect())
    };
    (0..spatial.len()).map(axis_counts).collect()
}

/// The same as a tensor of run-time extents: windows over ones.
fn runtime_counts(
    c: &mut Context<'_, '_, '_>,
    pool: &Pool,
    spatial: &[Dim],
    include_pad: bool,
    dtype: DType,
) -> Result<ValueId> {
    let geometry = &pool.geometry;
    let mut shape = vec![Dim::ONE, Dim::ONE];
    let (mut low, mut high) = (geometry.low.clone(), pool.extended.clone());
    for (axis, extent) in spatial.iter().enumerate() {
        if include_pad {
            shape.push(extent + &geometry.low[axis] + &geometry.high[axis]);
            low[axis] = Dim::ZERO;
            high[axis] = &pool.extended[axis] - &geometry.high[axis];
        } else {
            shape.push(extent.clone());
        }
    }
    let one = c.scalar(dtype, 1.0)?;
    let ones = c.broadcast_to(one, &shape)?;
    let op = Op::ReduceWindow {
        combine: ReduceOp::Sum,
        size: window_sizes(geometry),
        stride: widened(&geometry.stride, 1),
        dilation: widened(&geometry.dilation, 1),
        padding_low: widened(&low, Dim::ZERO),
        padding_high: widened(&high, Dim::ZERO),
    };
    Ok(c.op(op, &[ones])?)
}

/// `LpPool`: (Σ|x|ᵖ)^(1 ÷ p).
pub(super) fn lp_pool(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let pool = pool(c, x)?;
    let p = c.int_or("p", 2)? as f64;
    let powers = power(c, x, p)?;
    let sum = reduce_window(c, ReduceOp::Sum, powers, &pool)?;
    Ok(root(c, sum, p)?.into())
}

/// |x|ᵖ.
fn power(c: &mut Context<'_, '_, '_>, x: ValueId, p: f64) -> Result<ValueId> {
    if p == 2.0 {
        return Ok(c.binary(BinaryOp::Mul, x, x)?);
    }
    let magnitude = c.unary(UnaryOp::Abs, x)?;
    if p == 1.0 { Ok(magnitude) } else { Ok(c.binary_scalar(BinaryOp::Pow, magnitude, p)?) }
}

/// x^(1 ÷ p) for x ≥ 0.
fn root(c: &mut Context<'_, '_, '_>, x: ValueId, p: f64) -> Result<ValueId> {
    match p {
        1.0 => Ok(x),
        2.0 => Ok(c.unary(UnaryOp::Sqrt, x)?),
        _ => Ok(c.binary_scalar(BinaryOp::Pow, x, 1.0 / p)?),
    }
}

/// The axes of a global pool.
fn spatial_axes(c: &Context<'_, '_, '_>, x: ValueId) -> Result<Vec<usize>> {
    match c.shape(x).len() {
        rank if rank >= 2 => Ok((2..rank).collect()),
        rank => bad_input(format!("needs batch and features, but has rank {rank}")),
    }
}

/// `GlobalAveragePool` and `GlobalMaxPool`.
pub(super) fn global(c: &mut Context<'_, '_, '_>, kind: Kind) -> Result<Outputs> {
    let x = c.value(0)?;
    let axes = spatial_axes(c, x)?;
    Ok(reduce_over(c, kind, x, &axes, true)?.into())
}

/// `GlobalLpPool`.
pub(super) fn global_lp(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let axes = spatial_axes(c, x)?;
    let p = c.int_or("p", 2)? as f64;
    let powers = power(c, x, p)?;
    let sum = c.reduce(ReduceOp::Sum, powers, &axes, true)?;
    Ok(root(c, sum, p)?.into())
}

/// `MaxUnpool`: elements go back to where `MaxPool` took them from.
pub(super) fn max_unpool(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, indices) = (c.value(0)?, c.value(1)?);
    let shape = c.shape(x);
    let Some(size) = c.ints("kernel_shape")? else { return bad_input("attribute `kernel_shape` is missing") };
    let rank = size.len();
    if shape.len() != rank + 2 {
        return bad_input(format!("can't unpool {} by windows of {size:?}", c.ty(x)));
    }
    let stride = super::conv::per_dimension(c, "strides", rank, 1)?;
    let pads = super::conv::explicit_pads(c, rank)?;
    let mut inferred: Vec<Dim> = shape[..2].to_vec();
    for axis in 0..rank {
        inferred.push((&shape[axis + 2] - 1) * stride[axis] + size[axis] - &pads[axis] - &pads[axis + rank]);
    }
    let target = if c.has(2) { c.dims(2, "the output shape")? } else { inferred.clone() };
    super::constant::check_extents(&target)?;
    if target.len() != inferred.len() {
        return bad_input("the output shape has another rank than the input");
    }
    // The indices count in the tensor that was pooled: the inferred shape. A larger output leaves room after it.
    let flat = inferred.iter().fold(Dim::ONE, |product, dim| &product * dim);
    let zero = c.scalar_like(x, 0.0)?;
    let empty = c.broadcast_to(zero, &[flat])?;
    let count = c.ty(x).elements();
    let updates = c.reshape(x, std::slice::from_ref(&count))?;
    let places = c.reshape(indices, &[count, Dim::ONE])?;
    let op = Op::ScatterNd { combine: graven_ir::ScatterOp::Replace };
    let scattered = c.op(op, &[empty, places, updates])?;
    let y = c.reshape(scattered, &inferred)?;
    let room: Vec<Dim> = target.iter().zip(&inferred).map(|(wanted, own)| wanted - own).collect();
    Ok(super::slice::pad_with(c, y, vec![Dim::ZERO; rank + 2], room, zero)?.into())
}
