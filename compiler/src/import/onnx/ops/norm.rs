//! Normalisations.

use super::reduction::{Kind, reduce_over};
use crate::import::BatchNorm;
use crate::import::onnx::context::{NodeContext, Output, Outputs, normalize_axes, normalize_axis};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Real, ReduceOp, Shape, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// A vector shaped to be broadcast along the features.
fn per_feature(c: &mut Context<'_, '_, '_>, vector: ValueId, rank: usize) -> Result<ValueId> {
    let shape = c.shape(vector);
    let [features] = shape.as_slice() else { return bad_input("scale, bias and statistics must be vectors") };
    let mut wide = vec![Dim::ONE; rank];
    match wide.get_mut(1) {
        Some(extent) => *extent = features.clone(),
        None => wide = vec![features.clone()],
    }
    Ok(c.reshape(vector, &wide)?)
}

/// (x − mean) · scale ÷ √(variance + ε) + bias.
fn normalize(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    [mean, variance]: [ValueId; 2],
    [scale, bias]: [Option<ValueId>; 2],
    epsilon: f64,
) -> Result<ValueId> {
    let shifted = c.binary_scalar(BinaryOp::Add, variance, epsilon)?;
    let deviation = c.unary(UnaryOp::Sqrt, shifted)?;
    let factor = match scale {
        Some(scale) => c.binary(BinaryOp::Div, scale, deviation)?,
        None => c.unary(UnaryOp::Reciprocal, deviation)?,
    };
    let centered = c.binary(BinaryOp::Sub, x, mean)?;
    let scaled = c.binary(BinaryOp::Mul, centered, factor)?;
    match bias {
        Some(bias) => Ok(c.binary(BinaryOp::Add, scaled, bias)?),
        None => Ok(scaled),
    }
}

/// Mean and variance over axes, which stay with extent 1.
fn moments(c: &mut Context<'_, '_, '_>, x: ValueId, axes: &[usize]) -> Result<[ValueId; 2]> {
    let mean = reduce_over(c, Kind::Mean, x, axes, true)?;
    let centered = c.binary(BinaryOp::Sub, x, mean)?;
    let squares = c.binary(BinaryOp::Mul, centered, centered)?;
    let variance = reduce_over(c, Kind::Mean, squares, axes, true)?;
    Ok([mean, variance])
}

/// `BatchNormalization` with running statistics or those of the batch; see [`BatchNorm`].
pub(super) fn batch_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    let epsilon = c.float_or("epsilon", 1e-5)?;
    if c.opset < 9 && !c.flag("spatial", true)? {
        return unsupported("statistics per element (`spatial` = 0)");
    }
    let dtype = c.dtype(x);
    let mut vectors = Vec::with_capacity(4);
    let initializers = [c.statistic(3), c.statistic(4)];
    for place in 1..5_usize {
        let vector = match initializers.get(place.wrapping_sub(3)) {
            Some(Some(statistic)) => c.scope.constant_value(statistic)?,
            _ => c.value(place)?,
        };
        let vector = c.cast(vector, dtype)?;
        vectors.push(per_feature(c, vector, rank)?);
    }
    let [scale, bias, mean, variance] = vectors[..] else { return bad_input("needs five inputs") };
    let names = initializers.iter().flatten().map(|constant| constant.name().to_string());
    c.importer.report.statistics.extend(names);
    let mode = c.importer.batch_norm;
    if let (BatchNorm::Batch, [Some(mean), Some(variance)]) = (mode, &initializers) {
        let places = [c.scope.running_statistic(mean), c.scope.running_statistic(variance)];
        if let [Some(mean), Some(variance)] = places {
            return batch_norm_with_states(c, x, [scale, bias], [mean, variance], epsilon);
        }
    }
    if mode == BatchNorm::Running || !c.flag("training_mode", false)? {
        let y = normalize(c, x, [mean, variance], [Some(scale), Some(bias)], epsilon)?;
        let unchanged = [c.value(3)?, c.value(4)?];
        return Ok(Outputs::values([y].into_iter().chain(unchanged)));
    }
    let axes: Vec<usize> = (0..rank).filter(|axis| *axis != 1).collect();
    let statistics = moments(c, x, &axes)?;
    let y = normalize(c, x, statistics, [Some(scale), Some(bias)], epsilon)?;
    let mut outputs = vec![y];
    for (place, (running, current)) in [mean, variance].into_iter().zip(statistics).enumerate() {
        let dtype = c.input_dtype(place + 3)?;
        outputs.push(blend(c, running, current, dtype)?);
    }
    Ok(Outputs::values(outputs))
}

/// running · momentum + current · (1 − momentum), as a vector.
fn blend(c: &mut Context<'_, '_, '_>, running: ValueId, current: ValueId, dtype: DType) -> Result<ValueId> {
    let momentum = c.float_or("momentum", 0.9)?;
    let old = c.binary_scalar(BinaryOp::Mul, running, momentum)?;
    let new = c.binary_scalar(BinaryOp::Mul, current, 1.0 - momentum)?;
    let blended = c.binary(BinaryOp::Add, old, new)?;
    let features = c.ty(blended).elements();
    let vector = c.reshape(blended, &[features])?;
    Ok(c.cast(vector, dtype)?)
}

/// Normalisation by the batch, which blends its statistics into the states of these places.
fn batch_norm_with_states(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    [scale, bias]: [ValueId; 2],
    places: [usize; 2],
    epsilon: f64,
) -> Result<Outputs> {
    let (shape, dtype) = (c.shape(x), c.dtype(x));
    let axes: Vec<usize> = (0..shape.len()).filter(|axis| *axis != 1).collect();
    let [mean, variance] = moments(c, x, &axes)?;
    let y = normalize(c, x, [mean, variance], [Some(scale), Some(bias)], epsilon)?;
    let count = axes.iter().fold(Dim::ONE, |count, axis| count * shape[*axis].clone());
    let unbiased = match count.as_const() {
        Some(count) if count > 1 => {
            c.binary_scalar(BinaryOp::Mul, variance, count as f64 / (count - 1) as f64)?
        }
        Some(_) => return bad_input("statistics of the batch need more than one value per feature"),
        None => return unsupported("statistics of a batch whose extents are not known"),
    };
    let mut outputs = vec![y];
    for (place, current) in places.into_iter().zip([mean, unbiased]) {
        let state = c.scope.running.as_ref().and_then(|running| running.get(place));
        let Some(state) = state.map(|statistic| statistic.value) else {
            return bad_input("the running statistics vanished");
        };
        let wide = c.cast(state, dtype)?;
        let wide = per_feature(c, wide, shape.len())?;
        let state_dtype = c.dtype(state);
        let blended = blend(c, wide, current, state_dtype)?;
        if let Some(statistic) = c.scope.running.as_mut().and_then(|running| running.get_mut(place)) {
            statistic.value = blended;
        }
        outputs.push(blended);
    }
    Ok(Outputs::values(outputs))
}

/// `InstanceNormalization`: statistics per batch element and feature.
pub(super) fn instance_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale, bias) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let rank = c.shape(x).len();
    let epsilon = c.float_or("epsilon", 1e-5)?;
    let axes: Vec<usize> = (2..rank).collect();
    let statistics = moments(c, x, &axes)?;
    let scale = per_feature(c, scale, rank)?;
    let bias = per_feature(c, bias, rank)?;
    Ok(normalize(c, x, statistics, [Some(scale), Some(bias)], epsilon)?.into())
}

/// `GroupNormalization` (Wu and He, 2018): scale and bias per group before opset 21, per feature from then on.
pub(super) fn group_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale, bias) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let shape = c.shape(x);
    let dtype = c.dtype(x);
    let Some(groups) = c.int("num_groups")?.filter(|groups| *groups > 0) else {
        return bad_input("attribute `num_groups` is missing");
    };
    if shape.len() < 2 {
        return bad_input("needs batch and features");
    }
    let g = Dim::from(groups);
    let members = shape[1].floor_div(&g);
    let mut grouped: Shape = [shape[0].clone(), g, members.clone()].into_iter().collect();
    grouped.extend(shape[2..].iter().cloned());
    // Statistics in f32 or wider.
    let wide = if dtype.bytes() < 4 { DType::F32 } else { dtype };
    let x = c.cast(x, wide)?;
    let x = c.reshape(x, &grouped)?;
    let rank = grouped.len();
    let statistics = moments(c, x, &(2..rank).collect::<Vec<usize>>())?;
    let mut vectors = [None, None];
    for (vector, value) in vectors.iter_mut().zip([scale, bias]) {
        let value = c.cast(value, wide)?;
        let mut own = vec![Dim::ONE; rank];
        own[1] = grouped[1].clone();
        if c.opset >= 21 || c.shape(value).as_slice() == [shape[1].clone()] {
            own[2] = members.clone();
        }
        *vector = Some(c.reshape(value, &own)?);
    }
    let epsilon = c.float_or("epsilon", 1e-5)?;
    let y = normalize(c, x, statistics, vectors, epsilon)?;
    let y = c.reshape(y, &shape)?;
    Ok(c.cast(y, dtype)?.into())
}

/// A scale or bias with the shape of the normalised dimensions.
fn fitted(
    c: &mut Context<'_, '_, '_>,
    value: Option<ValueId>,
    shape: &[Dim],
    dtype: DType,
) -> Result<Option<ValueId>> {
    let Some(value) = value else { return Ok(None) };
    let value = c.cast(value, dtype)?;
    Ok(Some(c.broadcast_to(value, shape)?))
}

/// `LayerNormalization`, with mean and inverse deviation if they are wanted.
pub(super) fn layer_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale, bias) = (c.value(0)?, c.optional(1)?, c.optional(2)?);
    let axis = normalize_axis(c.int_or("axis", -1)?, c.shape(x).len())?;
    let epsilon = c.float_or("epsilon", 1e-5)?;
    let mut outputs = Outputs::from(layer_norm_of(c, x, [scale, bias], axis, epsilon)?);
    if c.wants(1) || c.wants(2) {
        let wide = c.cast(x, DType::F32)?;
        let axes: Vec<usize> = (axis..c.shape(x).len()).collect();
        let [mean, variance] = moments(c, wide, &axes)?;
        let shifted = c.binary_scalar(BinaryOp::Add, variance, epsilon)?;
        let deviation = c.unary(UnaryOp::Sqrt, shifted)?;
        let inverse = c.unary(UnaryOp::Reciprocal, deviation)?;
        outputs.0.extend([Output::Value(mean), Output::Value(inverse)]);
    }
    Ok(outputs)
}

/// Layer normalisation from `axis` on; halves are computed in f32.
pub(super) fn layer_norm_of(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    [scale, bias]: [Option<ValueId>; 2],
    axis: usize,
    epsilon: f64,
) -> Result<ValueId> {
    let dtype = c.dtype(x);
    let normalized = c.shape(x)[axis..].to_vec();
    let scale = fitted(c, scale, &normalized, dtype)?;
    let bias = fitted(c, bias, &normalized, dtype)?;
    let op = Op::LayerNorm { axis, epsilon: Real::from(epsilon) };
    let operands = match (scale, bias) {
        (None, None) => vec![x],
        (Some(scale), None) => vec![x, scale],
        (Some(scale), Some(bias)) => vec![x, scale, bias],
        (None, Some(bias)) => {
            let y = c.op(op, &[x])?;
            return Ok(c.binary(BinaryOp::Add, y, bias)?);
        }
    };
    Ok(c.op(op, &operands)?)
}

/// `RMSNormalization`, and `SimplifiedLayerNormalization`.
pub(super) fn rms_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, scale) = (c.value(0)?, c.optional(1)?);
    let axis = normalize_axis(c.int_or("axis", -1)?, c.shape(x).len())?;
    let epsilon = c.float_or("epsilon", 1e-5)?;
    Ok(rms_norm_of(c, x, scale, axis, epsilon)?.into())
}

/// Root-mean-square normalisation from `axis` on.
pub(super) fn rms_norm_of(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    scale: Option<ValueId>,
    axis: usize,
    epsilon: f64,
) -> Result<ValueId> {
    let normalized = c.shape(x)[axis..].to_vec();
    // The scale may have another type, which the result then has too.
    let dtype = scale.map_or(c.dtype(x), |scale| c.dtype(scale));
    let x = c.cast(x, dtype)?;
    let scale = fitted(c, scale, &normalized, dtype)?;
    let operands: Vec<ValueId> = [x].into_iter().chain(scale).collect();
    Ok(c.op(Op::RmsNorm { axis, epsilon: Real::from(epsilon) }, &operands)?)
}

/// `LpNormalization`: x ÷ ‖x‖ along an axis; 0 where the norm is 0.
pub(super) fn lp_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let axis = normalize_axis(c.int_or("axis", -1)?, c.shape(x).len())?;
    let kind = match c.int_or("p", 2)? {
        1 => Kind::L1,
        2 => Kind::L2,
        p => return bad_input(format!("the norm p = {p} is neither 1 nor 2")),
    };
    let norm = reduce_over(c, kind, x, &[axis], true)?;
    let is_zero = super::elementwise::compare_scalar(c, CompareOp::Eq, norm, 0.0)?;
    let one = c.scalar_like(x, 1.0)?;
    let divisor = c.select(is_zero, one, norm)?;
    Ok(c.binary(BinaryOp::Div, x, divisor)?.into())
}

/// `MeanVarianceNormalization`: (x − mean) ÷ (deviation + 10⁻⁹).
pub(super) fn mean_variance_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let axes = normalize_axes(c.ints("axes")?.unwrap_or(&[0, 2, 3]), c.shape(x).len())?;
    let [mean, variance] = moments(c, x, &axes)?;
    let deviation = c.unary(UnaryOp::Sqrt, variance)?;
    let divisor = c.binary_scalar(BinaryOp::Add, deviation, 1e-9)?;
    let centered = c.binary(BinaryOp::Sub, x, mean)?;
    Ok(c.binary(BinaryOp::Div, centered, divisor)?.into())
}

/// `LRN`: x ÷ (bias + α ÷ n · Σx²)^β over a window of n features (Krizhevsky et al., 2012).
pub(super) fn lrn(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    let Some(size) = c.int("size")?.filter(|size| *size > 0 && *size < 1 << 30) else {
        return bad_input("attribute `size` is missing or not positive");
    };
    if rank < 2 {
        return bad_input("needs batch and features");
    }
    let (alpha, beta) = (c.float_or("alpha", 0.0001)?, c.float_or("beta", 0.75)?);
    let bias = c.float_or("bias", 1.0)?;
    let on_features = |value: i64, neutral: i64| {
        (0..rank).map(|axis| if axis == 1 { value } else { neutral }).collect::<Vec<i64>>()
    };
    let dims = |values: Vec<i64>| values.into_iter().map(Dim::from).collect::<Vec<Dim>>();
    let squares = c.binary(BinaryOp::Mul, x, x)?;
    let op = Op::ReduceWindow {
        combine: ReduceOp::Sum,
        size: on_features(size, 1),
        stride: vec![1; rank],
        dilation: vec![1; rank],
        padding_low: dims(on_features((size - 1) / 2, 0)),
        padding_high: dims(on_features(size / 2, 0)),
    };
    let sum = c.op(op, &[squares])?;
    let scaled = c.binary_scalar(BinaryOp::Mul, sum, alpha / size as f64)?;
    let base = c.binary_scalar(BinaryOp::Add, scaled, bias)?;
    let divisor = c.binary_scalar(BinaryOp::Pow, base, beta)?;
    Ok(c.binary(BinaryOp::Div, x, divisor)?.into())
}

/// `Softmax` and `LogSoftmax`; before opset 13 over all dimensions from the axis on.
pub(super) fn softmax(c: &mut Context<'_, '_, '_>, log: bool) -> Result<Outputs> {
    let op = |axis| if log { Op::LogSoftmax { axis } } else { Op::Softmax { axis } };
    along_softmax_axis(c, |c, x, axis| Ok(c.op(op(axis), &[x])?))
}

/// `Hardmax`: 1 at the first largest element, else 0.
pub(super) fn hardmax(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    along_softmax_axis(c, |c, x, axis| {
        let mut shape = c.shape(x);
        let dtype = c.dtype(x);
        let index = c.op(Op::ArgReduce { largest: true, axis, last: false }, &[x])?;
        let counter = c.op(Op::Iota { shape: shape.to_vec(), axis, dtype: DType::I64 }, &[])?;
        shape[axis] = Dim::ONE;
        let index = c.reshape(index, &shape)?;
        let is_largest = c.compare(CompareOp::Eq, counter, index)?;
        Ok(c.cast(is_largest, dtype)?)
    })
}

fn along_softmax_axis(
    c: &mut Context<'_, '_, '_>,
    function: impl Fn(&mut Context<'_, '_, '_>, ValueId, usize) -> Result<ValueId>,
) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let default = if c.opset < 13 { 1 } else { -1 };
    let axis = c.int_or("axis", default)?;
    if c.opset >= 13 {
        return Ok(function(c, x, normalize_axis(axis, shape.len())?)?.into());
    }
    let axis = if axis == shape.len() as i64 { shape.len() } else { normalize_axis(axis, shape.len())? };
    if axis + 1 == shape.len() {
        return Ok(function(c, x, axis)?.into());
    }
    let flat = super::reshape::flatten_at(c, x, axis)?;
    let y = function(c, flat, 1)?;
    Ok(c.reshape(y, &shape).map_err(Failure::from)?.into())
}
