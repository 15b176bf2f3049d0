//! Gathers, scatters and what else takes indices.

use super::elementwise::compare_scalar;
use super::slice::slice_axis;
use crate::import::onnx::context::{NodeContext, Output, Outputs, normalize_axis};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, ScatterOp, Shape, Tensor, TensorType, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The constant elements of an input of indices, counted from the start.
fn constant_indices(c: &mut Context<'_, '_, '_>, place: usize, extent: &Dim) -> Result<Option<Tensor>> {
    let Some(tensor) = c.maybe_constant(place) else { return Ok(None) };
    let Some(mut values) = tensor.to_i64s() else { return bad_input("the indices must be integers") };
    for value in &mut values {
        let index = match (*value < 0, extent.as_const()) {
            (false, _) => *value,
            (true, Some(extent)) => *value + extent,
            (true, None) => return Ok(None),
        };
        if index < 0 || index >= extent.upper() {
            return bad_input(format!("the index {value} is outside an extent of {extent}"));
        }
        *value = index;
    }
    let tensor = Tensor::from_i64s(&values).reshaped(tensor.shape().to_vec());
    tensor.map(Some).map_err(|error| Failure::BadInput(error.to_string()))
}

/// Indices counted from the start: negative ones are counted from the end of `extent`.
pub(super) fn wrap_indices(c: &mut Context<'_, '_, '_>, indices: ValueId, extent: &Dim) -> Result<ValueId> {
    if matches!(c.dtype(indices).int_range(), Some((0, _))) {
        return Ok(indices);
    }
    let extent = extent_value(c, extent, c.dtype(indices))?;
    let is_negative = compare_scalar(c, CompareOp::Lt, indices, 0.0)?;
    let wrapped = c.binary(BinaryOp::Add, indices, extent)?;
    Ok(c.select(is_negative, wrapped, indices)?)
}

/// An extent as a scalar.
pub(super) fn extent_value(c: &mut Context<'_, '_, '_>, extent: &Dim, dtype: DType) -> Result<ValueId> {
    match extent.as_const() {
        Some(extent) => Ok(c.scalar(dtype, extent as f64)?),
        None => {
            let value = c.op(Op::Extent { dim: extent.clone() }, &[])?;
            Ok(c.cast(value, dtype)?)
        }
    }
}

/// The indices of input `place` into `extent`.
fn indices(c: &mut Context<'_, '_, '_>, place: usize, extent: &Dim) -> Result<ValueId> {
    if let Some(tensor) = constant_indices(c, place, extent)? {
        return Ok(c.constant(tensor)?);
    }
    let value = c.value(place)?;
    // Indices shorter than 32 bits can't hold every extent.
    let value = match c.dtype(value) {
        dtype if dtype.bytes() >= 4 => value,
        _ => c.cast(value, DType::I64)?,
    };
    wrap_indices(c, value, extent)
}

/// `Gather`; a single constant index is a slice.
pub(super) fn gather(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let mut shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let single = constant_indices(c, 1, &shape[axis])?.filter(|tensor| tensor.len() == 1);
    if let Some(index) = single.as_ref().and_then(|tensor| tensor.to_i64s()?.first().copied()) {
        let rank = c.input_shape(1)?.len();
        let row = slice_axis(c, x, axis, Dim::from(index), Dim::from(index + 1))?;
        shape.remove(axis);
        shape.insert_many(axis, std::iter::repeat_n(Dim::ONE, rank));
        return Ok(c.reshape(row, &shape)?.into());
    }
    let indices = indices(c, 1, &shape[axis].clone())?;
    Ok(c.op(Op::Gather { axis }, &[x, indices])?.into())
}

/// `GatherElements`.
pub(super) fn gather_elements(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let indices = indices(c, 1, &shape[axis])?;
    Ok(c.op(Op::GatherElements { axis }, &[x, indices])?.into())
}

/// Coordinates of several dimensions, each counted from the start.
fn coordinates(c: &mut Context<'_, '_, '_>, place: usize, extents: &[Dim]) -> Result<ValueId> {
    let value = c.value(place)?;
    let value = c.cast(value, DType::I64)?;
    let Some(width) = c.shape(value).last().and_then(Dim::as_const) else {
        return unsupported("the number of coordinates is not constant");
    };
    let Some(extents) = usize::try_from(width).ok().and_then(|width| extents.get(..width)) else {
        return bad_input(format!("{width} coordinates are more than there are dimensions"));
    };
    let is_known = c.maybe_constant(place).and_then(|tensor| tensor.to_i64s());
    if is_known.is_some_and(|values| values.iter().all(|value| *value >= 0)) {
        return Ok(value);
    }
    let sizes: Vec<ValueId> = extents
        .iter()
        .map(|extent| {
            let size = extent_value(c, extent, DType::I64)?;
            Ok(c.reshape(size, &[Dim::ONE])?)
        })
        .collect::<Result<_>>()?;
    if sizes.is_empty() {
        return Ok(value);
    }
    let sizes = super::slice::concat_of(c, &sizes, 0)?;
    let is_negative = compare_scalar(c, CompareOp::Lt, value, 0.0)?;
    let wrapped = c.binary(BinaryOp::Add, value, sizes)?;
    Ok(c.select(is_negative, wrapped, value)?)
}

/// `GatherND`.
pub(super) fn gather_nd(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let batch = usize::try_from(c.int_or("batch_dims", 0)?).unwrap_or(usize::MAX);
    let Some(extents) = shape.get(batch..) else {
        return bad_input("has more batch dimensions than dimensions");
    };
    let indices = coordinates(c, 1, extents)?;
    Ok(c.op(Op::GatherNd { batch_dimensions: batch }, &[x, indices])?.into())
}

fn combination(c: &Context<'_, '_, '_>) -> Result<ScatterOp> {
    Ok(match c.text_or("reduction", "none")? {
        "none" => ScatterOp::Replace,
        "add" => ScatterOp::Add,
        "mul" => ScatterOp::Mul,
        "max" => ScatterOp::Max,
        "min" => ScatterOp::Min,
        other => return bad_input(format!("there is no reduction `{other}`")),
    })
}

/// `ScatterElements`, and `Scatter` before opset 11.
pub(super) fn scatter_elements(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, updates) = (c.value(0)?, c.value(2)?);
    let shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let indices = indices(c, 1, &shape[axis])?;
    let combine = combination(c)?;
    Ok(c.op(Op::ScatterElements { axis, combine }, &[x, indices, updates])?.into())
}

/// `ScatterND`.
pub(super) fn scatter_nd(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, updates) = (c.value(0)?, c.value(2)?);
    let shape = c.shape(x);
    let indices = coordinates(c, 1, &shape)?;
    let combine = combination(c)?;
    Ok(c.op(Op::ScatterNd { combine }, &[x, indices, updates])?.into())
}

/// `Compress` with a constant condition.
pub(super) fn compress(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let condition = c.constant_input(1, "the condition")?;
    let Some(values) = condition.to_i64s() else { return bad_input("the condition must be of bool") };
    let picked: Vec<i64> =
        (0..values.len()).filter(|place| values[*place] != 0).map(|place| place as i64).collect();
    let (x, axis) = match c.int("axis")? {
        Some(axis) => (x, normalize_axis(axis, c.shape(x).len())?),
        None => {
            let count = c.ty(x).elements();
            (c.reshape(x, &[count])?, 0)
        }
    };
    let extent = c.shape(x)[axis].upper();
    if picked.last().is_some_and(|last| *last >= extent) {
        return bad_input("the condition is longer than the axis");
    }
    let indices = c.constant(Tensor::from_i64s(&picked))?;
    Ok(c.op(Op::Gather { axis }, &[x, indices])?.into())
}

/// `NonZero` of a constant: the coordinates of elements that are not zero, one column each.
pub(super) fn non_zero(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let tensor = c.constant_input(0, "the tensor")?;
    let shape = tensor.shape().to_vec();
    let places: Vec<usize> = tensor
        .to_f64s()
        .iter()
        .enumerate()
        .filter(|(_, value)| **value != 0.0)
        .map(|(place, _)| place)
        .collect();
    let mut rows = Vec::with_capacity(shape.len() * places.len());
    let mut stride: usize = shape.iter().product();
    for extent in &shape {
        stride /= (*extent).max(1);
        rows.extend(places.iter().map(|place| (place / stride.max(1) % extent) as i64));
    }
    let result = Tensor::from_i64s(&rows).reshaped(vec![shape.len(), places.len()]);
    Ok(result.map_err(|error| Failure::BadInput(error.to_string()))?.into())
}

/// `OneHot`: `on` at the index, else `off`; indices outside the depth give only `off`.
pub(super) fn one_hot(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let indices = c.value(0)?;
    let depth = match c.input_dtype(1)?.is_float() {
        false => c.dim(1, "the depth")?,
        true => match c.constant_input(1, "the depth")?.to_f64s().as_slice() {
            [depth] => Dim::from(*depth as i64),
            _ => return bad_input("the depth must have one element"),
        },
    };
    super::constant::check_extents(std::slice::from_ref(&depth))?;
    let values = c.value(2)?;
    let dtype = c.dtype(values);
    let own = c.shape(indices);
    let axis = normalize_axis(c.int_or("axis", -1)?, own.len() + 1)?;
    let mut shape: Shape = own.clone();
    shape.insert(axis, Dim::ONE);
    let indices = c.cast(indices, DType::I64)?;
    let indices = wrap_indices(c, indices, &depth)?;
    let indices = c.reshape(indices, &shape)?;
    let mut counter = vec![Dim::ONE; shape.len()];
    counter[axis] = depth;
    let counter = c.op(Op::Iota { shape: counter, axis, dtype: DType::I64 }, &[])?;
    let is_on = c.compare(CompareOp::Eq, indices, counter)?;
    let pick = |c: &mut Context<'_, '_, '_>, place: i64| {
        let value = slice_axis(c, values, 0, Dim::from(place), Dim::from(place + 1))?;
        Ok::<ValueId, Failure>(c.reshape(value, &[])?)
    };
    let (off, on) = (pick(c, 0)?, pick(c, 1)?);
    debug_assert_eq!(c.dtype(off), dtype);
    Ok(c.select(is_on, on, off)?.into())
}

/// `Trilu`: the triangle above or below a diagonal of the last two dimensions.
pub(super) fn trilu(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let [.., rows, columns] = shape.as_slice() else { return bad_input("needs at least two dimensions") };
    let (row, column) = super::constant::row_and_column(c, &[rows.clone(), columns.clone()])?;
    let row = match c.optional(1)? {
        None => row,
        Some(k) => {
            let k = c.reshape(k, &[])?;
            let k = c.cast(k, DType::I64)?;
            c.binary(BinaryOp::Add, row, k)?
        }
    };
    let op = if c.flag("upper", true)? { CompareOp::Ge } else { CompareOp::Le };
    let keep = c.compare(op, column, row)?;
    let zero = c.scalar_like(x, 0.0)?;
    Ok(c.select(keep, x, zero)?.into())
}

/// `TopK`.
pub(super) fn top_k(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", -1)?, shape.len())?;
    let k = match c.opset < 10 {
        true => Dim::from(c.int_or("k", 0)?),
        false => c.dim(1, "k")?,
    };
    super::constant::check_extents(std::slice::from_ref(&k))?;
    let largest = c.flag("largest", true)?;
    Ok(Outputs::values(c.results(Op::TopK { axis, k, largest }, &[x])?))
}

/// `TensorScatter`: writes a sequence into a cache, from a place of its own in each batch.
pub(super) fn tensor_scatter(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (cache, update) = (c.value(0)?, c.value(1)?);
    let shape = c.shape(cache);
    let axis = normalize_axis(c.int_or("axis", -2)?, shape.len())?;
    let circular = match c.text_or("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    if axis == 0 {
        return bad_input("the sequence axis can't be the batch");
    }
    let places = TensorType { dtype: DType::I64, shape: c.shape(update) };
    let mut index = c.op(Op::Iota { shape: places.shape.to_vec(), axis, dtype: DType::I64 }, &[])?;
    if let Some(starts) = c.optional(2)? {
        let mut aligned = vec![Dim::ONE; shape.len()];
        aligned[0] = c.shape(starts).first().cloned().unwrap_or(Dim::ONE);
        let starts = c.cast(starts, DType::I64)?;
        let starts = c.reshape(starts, &aligned)?;
        index = c.binary(BinaryOp::Add, index, starts)?;
    }
    if circular {
        let extent = extent_value(c, &shape[axis], DType::I64)?;
        index = c.binary(BinaryOp::Mod, index, extent)?;
    }
    let op = Op::ScatterElements { axis, combine: ScatterOp::Replace };
    Ok(Output::Value(c.op(op, &[cache, index, update])?).into())
}
