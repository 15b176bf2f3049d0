//! Operators that give the same elements another shape or repeat them.

use super::constant::check_extents;
use crate::import::onnx::context::{NodeContext, Output, Outputs, normalize_axes, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{DType, Dim, Op, Shape, TensorType, ValueId, broadcast_shapes};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Reshape`: −1 stands for what is left, 0 for the input's extent unless `allowzero`.
pub(super) fn reshape(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let target = if c.opset < 5 {
        c.ints("shape")?.unwrap_or(&[]).iter().map(|extent| Dim::from(*extent)).collect()
    } else {
        c.dims(1, "the shape")?
    };
    let own = c.input_shape(0)?;
    let allow_zero = c.flag("allowzero", false)?;
    let mut shape = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (place, extent) in target.into_iter().enumerate() {
        shape.push(match extent.as_const() {
            Some(-1) if inferred.replace(place).is_some() => {
                return bad_input("the shape has more than one extent −1");
            }
            Some(-1) => Dim::ONE,
            Some(0) if !allow_zero => match own.get(place) {
                Some(extent) => extent.clone(),
                None => return bad_input(format!("extent {place} of the shape is copied from nowhere")),
            },
            _ => extent,
        });
    }
    if let Some(place) = inferred {
        shape[place] = quotient(&own, &shape)?;
    }
    check_extents(&shape)?;
    let x = c.value(0)?;
    Ok(c.reshape(x, &shape)?.into())
}

/// The product of `whole` divided by that of `parts`, after cancelling equal extents.
fn quotient(whole: &[Dim], parts: &[Dim]) -> Result<Dim> {
    let mut left: Vec<&Dim> = whole.iter().collect();
    let mut divisor = Dim::ONE;
    for part in parts {
        match left.iter().position(|dim| *dim == part) {
            Some(place) if !part.is(0) => {
                left.remove(place);
            }
            _ => divisor = &divisor * part,
        }
    }
    let product = left.into_iter().fold(Dim::ONE, |product, dim| &product * dim);
    match divisor.as_const() {
        Some(0) => bad_input("an extent can't be inferred beside an extent 0"),
        Some(d) if d < 0 => bad_input("the shape has a negative extent"),
        _ => Ok(product.floor_div(&divisor)),
    }
}

/// `Flatten`: the dimensions before and from an axis on, each as one.
pub(super) fn flatten(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axis = c.int_or("axis", 1)?;
    // The axis may be the rank itself.
    let axis = if axis == shape.len() as i64 { shape.len() } else { normalize_axis(axis, shape.len())? };
    Ok(flatten_at(c, x, axis)?.into())
}

/// The two-dimensional form that `Flatten` gives.
pub(super) fn flatten_at(c: &mut Context<'_, '_, '_>, x: ValueId, axis: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    let product = |dims: &[Dim]| dims.iter().fold(Dim::ONE, |product, dim| &product * dim);
    Ok(c.reshape(x, &[product(&shape[..axis]), product(&shape[axis..])])?)
}

/// `Squeeze`.
pub(super) fn squeeze(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axes = match c.axes(13, 1)? {
        Some(axes) => normalize_axes(&axes, shape.len())?,
        None => (0..shape.len()).filter(|axis| shape[*axis].is(1)).collect(),
    };
    if let Some(axis) = axes.iter().find(|axis| shape[**axis].as_const().is_some_and(|extent| extent != 1)) {
        return bad_input(format!("dimension {axis} has the extent {} instead of 1", shape[*axis]));
    }
    Ok(super::reduction::drop_axes(c, x, &axes)?.into())
}

/// `Unsqueeze`.
pub(super) fn unsqueeze(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let axes = c.axes(13, 1)?.unwrap_or_default();
    let shape = c.shape(x);
    let rank = shape.len() + axes.len();
    let axes = normalize_axes(&axes, rank)?;
    let mut own = shape.into_iter();
    let wide: Vec<Dim> = (0..rank)
        .map(|axis| if axes.contains(&axis) { Dim::ONE } else { own.next().unwrap_or(Dim::ONE) })
        .collect();
    Ok(c.reshape(x, &wide)?.into())
}

/// `Transpose`.
pub(super) fn transpose(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    let permutation: Vec<usize> = match c.ints("perm")? {
        Some(axes) => axes.iter().map(|axis| normalize_axis(*axis, rank)).collect::<Result<_>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(c.transpose(x, &permutation)?.into())
}

/// `Expand`: broadcast in both directions.
pub(super) fn expand(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let target = c.dims(1, "the shape")?;
    check_extents(&target)?;
    let x = c.value(0)?;
    let shape = broadcast_shapes(&c.shape(x), &target)?;
    Ok(c.broadcast_to(x, &shape)?.into())
}

/// `Tile`: each dimension repeated as a whole.
pub(super) fn tile(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let repeats = c.dims(1, "the number of repeats")?;
    check_extents(&repeats)?;
    let x = c.value(0)?;
    let shape = c.shape(x);
    if shape.len() != repeats.len() {
        return bad_input(format!("has {} repeats for {} dimensions", repeats.len(), shape.len()));
    }
    // Each dimension gets a new one of its repeats before it, unless there is nothing to repeat.
    let mut split = Shape::new();
    let mut dimensions = Vec::new();
    for (extent, repeat) in shape.iter().zip(&repeats) {
        if !repeat.is(1) {
            split.push(repeat.clone());
        }
        dimensions.push(split.len());
        split.push(extent.clone());
    }
    let repeated = c.op(Op::Broadcast { shape: split.to_vec(), dimensions }, &[x])?;
    let joined: Vec<Dim> = shape.iter().zip(&repeats).map(|(extent, repeat)| extent * repeat).collect();
    Ok(c.reshape(repeated, &joined)?.into())
}

/// `Dropout` when not training: the input itself, and a mask of ones.
pub(super) fn dropout(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let training = match c.has(2) {
        true => c.constant_input(2, "the training mode")?.to_ints().is_some_and(|values| values.contains(&1)),
        false => false,
    };
    let ratio = match c.has(1) {
        true => c.constant_input(1, "the ratio")?.to_f64s().first().copied().unwrap_or(0.5),
        false => 0.5,
    };
    if training && ratio != 0.0 {
        return crate::import::onnx::failure::unsupported("random dropout in training mode");
    }
    let mut outputs = Outputs::from(Output::Same(c.arg(0)?));
    if c.wants(1) {
        let dtype = if c.opset < 10 { c.input_dtype(0)? } else { DType::Bool };
        let ty = TensorType { dtype, shape: c.input_shape(0)? };
        outputs.0.push(Output::Value(super::constant::filled(c, &ty, 1.0)?));
    }
    Ok(outputs)
}

/// `DepthToSpace`: blocks of channels become blocks of pixels.
pub(super) fn depth_to_space(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let block = c.int_or("blocksize", 0)?;
    let shape = c.shape(x);
    let [n, channels, height, width] = shape.as_slice() else { return bad_input("needs an NCHW tensor") };
    if !(1..=1 << 20).contains(&block) {
        return bad_input(format!("the block size {block} is not possible"));
    }
    let b = Dim::from(block);
    let depth = channels.floor_div(&Dim::from(block * block));
    let (split, permutation) = match c.text_or("mode", "DCR")? {
        "DCR" => ([n, &b, &b, &depth, height, width], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, &depth, &b, &b, height, width], [0, 1, 4, 2, 5, 3]),
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let parts = c.reshape(x, &split.map(Dim::clone))?;
    let moved = c.transpose(parts, &permutation)?;
    Ok(c.reshape(moved, &[n.clone(), depth.clone(), height * &b, width * &b])?.into())
}

/// `SpaceToDepth`: blocks of pixels become channels, or with mode CRD channels within the blocks' places.
pub(super) fn space_to_depth(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let block = c.int_or("blocksize", 0)?;
    let shape = c.shape(x);
    let [n, channels, height, width] = shape.as_slice() else { return bad_input("needs an NCHW tensor") };
    if !(1..=1 << 20).contains(&block) {
        return bad_input(format!("the block size {block} is not possible"));
    }
    let b = Dim::from(block);
    let (rows, columns) = (height.floor_div(&b), width.floor_div(&b));
    let split = [n, channels, &rows, &b, &columns, &b].map(Dim::clone);
    let permutation = match c.text_or("mode", "DCR")? {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let parts = c.reshape(x, &split)?;
    let moved = c.transpose(parts, &permutation)?;
    let depth = channels * &Dim::from(block * block);
    Ok(c.reshape(moved, &[n.clone(), depth, rows, columns])?.into())
}
