//! Constants and counting.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use crate::import::onnx::tensor;
use graven_ir::{BinaryOp, DType, Dim, Op, Tensor, TensorType, element};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Constant`, whose value stands in one of several attributes.
pub(super) fn constant(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    if let Some(proto) = c.tensor("value")? {
        return Ok(tensor::tensor(proto, &mut c.importer.folder)?.into());
    }
    if let Some(sparse) = c.attribute("sparse_value").and_then(|attribute| attribute.sparse_tensor.as_ref()) {
        return Ok(tensor::sparse_tensor(sparse, &mut c.importer.folder)?.into());
    }
    let size = |error: graven_ir::SizeMismatch| Failure::BadInput(error.to_string());
    if let Some(value) = c.float("value_float")? {
        return Ok(Tensor::scalar(DType::F32, value).into());
    }
    if let Some(values) = c.floats("value_floats")? {
        return Ok(Tensor::from_f32s(vec![values.len()], values).map_err(size)?.into());
    }
    if let Some(value) = c.int("value_int")? {
        return Ok(Tensor::from_i64s(&[value]).reshaped(vec![]).map_err(size)?.into());
    }
    if let Some(values) = c.ints("value_ints")? {
        return Ok(Tensor::from_i64s(values).into());
    }
    match c.attribute("value_string").or(c.attribute("value_strings")) {
        Some(_) => unsupported("strings are not supported"),
        None => bad_input("has no value"),
    }
}

/// Extents must not be negative.
pub(super) fn check_extents(dims: &[Dim]) -> Result<()> {
    match dims.iter().find(|dim| dim.upper() < 0) {
        Some(dim) => bad_input(format!("the extent {dim} is negative")),
        None => Ok(()),
    }
}

/// `ConstantOfShape`.
pub(super) fn constant_of_shape(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let shape = c.dims(0, "the shape")?;
    check_extents(&shape)?;
    let value = match c.tensor("value")? {
        Some(proto) => tensor::tensor(proto, &mut c.importer.folder)?,
        None => Tensor::scalar(DType::F32, 0.0),
    };
    let scalar =
        value.reshaped(vec![]).map_err(|_| Failure::BadInput("`value` must have one element".into()))?;
    let scalar = c.constant(scalar)?;
    Ok(c.broadcast_to(scalar, &shape)?.into())
}

/// `Range`: start + i·delta for i < ⌈(limit − start) ÷ delta⌉.
pub(super) fn range(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let dtype = c.input_dtype(0)?;
    let count = range_length(c, dtype)?;
    let count = if count.upper() < 0 { Dim::ZERO } else { count.maximum(&Dim::ZERO) };
    let (start, delta) = (c.value(0)?, c.value(2)?);
    let (start, delta) = (c.reshape(start, &[])?, c.reshape(delta, &[])?);
    // Halves can't count far: the steps are computed in f32 and rounded once.
    let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    let steps = c.op(Op::Iota { shape: vec![count], axis: 0, dtype: wide }, &[])?;
    let (start, delta) = (c.cast(start, wide)?, c.cast(delta, wide)?);
    let scaled = c.binary(BinaryOp::Mul, steps, delta)?;
    let values = c.binary(BinaryOp::Add, scaled, start)?;
    Ok(c.cast(values, dtype)?.into())
}

fn range_length(c: &mut Context<'_, '_, '_>, dtype: DType) -> Result<Dim> {
    let what = "the number of elements";
    if dtype.is_float() {
        let mut number = |place| {
            let tensor = c.constant_input(place, what)?;
            tensor
                .to_f64s()
                .first()
                .copied()
                .ok_or_else(|| Failure::BadInput(format!("input {place} is empty")))
        };
        let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
        let count = ((limit - start) / delta).ceil();
        return match count.is_finite() && count < 1e12 {
            true => Ok(Dim::from(count as i64)),
            false => bad_input(format!("{limit} can't be reached from {start} in steps of {delta}")),
        };
    }
    let (start, limit) = (c.dim(0, what)?, c.dim(1, what)?);
    match c.constant_int(2, "the step")? {
        0 => bad_input("the step is 0"),
        step if step > 0 => Ok((limit - start).ceil_div(&Dim::from(step))),
        step => Ok((start - limit).ceil_div(&Dim::from(step.saturating_neg()))),
    }
}

/// `EyeLike`: ones on the k-th diagonal.
pub(super) fn eye_like(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let shape = c.input_shape(0)?;
    if shape.len() != 2 {
        return bad_input("needs a matrix");
    }
    let own = c.input_dtype(0)?;
    let dtype = c.dtype_attribute("dtype")?.unwrap_or(own);
    let k = c.int_or("k", 0)?;
    let (row, column) = row_and_column(c, &shape)?;
    let shifted = c.binary_scalar(BinaryOp::Add, row, k as f64)?;
    let diagonal = c.compare(graven_ir::CompareOp::Eq, shifted, column)?;
    Ok(c.cast(diagonal, dtype)?.into())
}

/// The row and column numbers of a matrix in i64.
pub(super) fn row_and_column(
    c: &mut Context<'_, '_, '_>,
    shape: &[Dim],
) -> Result<(graven_ir::ValueId, graven_ir::ValueId)> {
    let count = |axis| Op::Iota { shape: shape.to_vec(), axis, dtype: DType::I64 };
    Ok((c.op(count(0), &[])?, c.op(count(1), &[])?))
}

/// A tensor of one repeated value.
pub(super) fn filled(c: &mut Context<'_, '_, '_>, ty: &TensorType, value: f64) -> Result<graven_ir::ValueId> {
    let scalar = c.scalar(ty.dtype, value)?;
    Ok(c.broadcast_to(scalar, &ty.shape)?)
}

/// A rank-1 tensor of a dtype from numbers, each rounded to it.
pub(super) fn vector(dtype: DType, values: &[f64]) -> Result<Tensor> {
    let data: Vec<u8> = values.iter().flat_map(|value| element::encode_float(dtype, *value)).collect();
    Tensor::new(dtype, vec![values.len()], data).map_err(|error| Failure::BadInput(error.to_string()))
}
