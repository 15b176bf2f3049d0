//! Convolutions and transposed convolutions.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, ConvDimensions, DType, Dim, DimensionRole, Op, Shape, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// How windows move over the spatial dimensions.
pub(super) struct Geometry {
    /// Extents of the window.
    pub(super) size: Vec<Dim>,
    /// Steps.
    pub(super) stride: Vec<i64>,
    /// Dilations of the window.
    pub(super) dilation: Vec<i64>,
    /// Padding before.
    pub(super) low: Vec<Dim>,
    /// Padding after.
    pub(super) high: Vec<Dim>,
}

/// A list attribute with one entry per spatial dimension.
pub(super) fn per_dimension(
    c: &Context<'_, '_, '_>,
    name: &str,
    rank: usize,
    default: i64,
) -> Result<Vec<i64>> {
    let Some(values) = c.ints(name)? else { return Ok(vec![default; rank]) };
    match values.len() == rank && values.iter().all(|value| *value >= 0) {
        true => Ok(values.to_vec()),
        false => bad_input(format!("attribute `{name}` is {values:?} for {rank} spatial dimensions")),
    }
}

/// The extent that a dilated window covers.
pub(super) fn dilated(size: &Dim, dilation: i64) -> Dim {
    (size - 1) * dilation + 1
}

/// Steps, dilations and padding of a convolution or pool over `spatial` extents.
pub(super) fn geometry(c: &Context<'_, '_, '_>, spatial: &[Dim], size: Vec<Dim>) -> Result<Geometry> {
    let rank = spatial.len();
    let stride = per_dimension(c, "strides", rank, 1)?;
    let dilation = per_dimension(c, "dilations", rank, 1)?;
    if stride.contains(&0) || dilation.contains(&0) {
        return bad_input("strides and dilations must be at least 1");
    }
    let mut geometry =
        Geometry { size, stride, dilation, low: vec![Dim::ZERO; rank], high: vec![Dim::ZERO; rank] };
    match c.text_or("auto_pad", "NOTSET")? {
        "NOTSET" => {
            let pads = explicit_pads(c, rank)?;
            (geometry.low, geometry.high) = (pads[..rank].to_vec(), pads[rank..].to_vec());
        }
        "VALID" => {}
        mode @ ("SAME_UPPER" | "SAME_LOWER") => {
            for (axis, extent) in spatial.iter().enumerate().take(rank) {
                let (low, high) = same_padding(&geometry, axis, extent, mode == "SAME_UPPER");
                (geometry.low[axis], geometry.high[axis]) = (low, high);
            }
        }
        other => return bad_input(format!("there is no padding mode `{other}`")),
    }
    Ok(geometry)
}

/// The attribute `pads`: starts, then ends.
pub(super) fn explicit_pads(c: &Context<'_, '_, '_>, rank: usize) -> Result<Vec<Dim>> {
    match c.ints("pads")? {
        None => Ok(vec![Dim::ZERO; 2 * rank]),
        Some(pads) if pads.len() == 2 * rank => Ok(pads.iter().map(|pad| Dim::from(*pad)).collect()),
        Some(pads) => bad_input(format!("attribute `pads` is {pads:?} for {rank} spatial dimensions")),
    }
}

/// Padding for ⌈extent ÷ stride⌉ places, the odd element after (`upper`) or before.
fn same_padding(geometry: &Geometry, axis: usize, extent: &Dim, upper: bool) -> (Dim, Dim) {
    let stride = geometry.stride[axis];
    let places = extent.ceil_div(&Dim::from(stride));
    let covered = (places - 1) * stride + dilated(&geometry.size[axis], geometry.dilation[axis]);
    let total = (covered - extent).maximum(&Dim::ZERO);
    let half = total.floor_div(&Dim::from(2));
    let rest = &total - &half;
    if upper { (half, rest) } else { (rest, half) }
}

/// Adds a vector along the features.
pub(super) fn add_bias(c: &mut Context<'_, '_, '_>, x: ValueId, bias: Option<ValueId>) -> Result<ValueId> {
    let Some(bias) = bias else { return Ok(x) };
    let mut shape = vec![Dim::ONE; c.shape(x).len()];
    let features = c.shape(bias);
    let [features] = features.as_slice() else { return bad_input("the bias must be a vector") };
    shape[1] = features.clone();
    let bias = c.reshape(bias, &shape)?;
    Ok(c.binary(BinaryOp::Add, x, bias)?)
}

/// `Conv`.
pub(super) fn conv(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel, bias) = (c.value(0)?, c.value(1)?, c.optional(2)?);
    let y = conv_of(c, x, kernel)?;
    Ok(add_bias(c, y, bias)?.into())
}

/// The convolution of a node's attributes without bias.
pub(super) fn conv_of(c: &mut Context<'_, '_, '_>, x: ValueId, kernel: ValueId) -> Result<ValueId> {
    let (input, weights) = (c.shape(x), c.shape(kernel));
    if input.len() < 2 || input.len() != weights.len() || input.len() > 11 {
        return bad_input(format!("can't convolve {} with {}", c.ty(x), c.ty(kernel)));
    }
    let size = weights[2..].to_vec();
    if let Some(declared) = c.ints("kernel_shape")?
        && (declared.len() != size.len() || declared.iter().zip(&size).any(|(a, b)| !b.is(*a)))
    {
        return bad_input(format!(
            "attribute `kernel_shape` is {declared:?} for the kernel {}",
            c.ty(kernel)
        ));
    }
    let geometry = geometry(c, &input[2..], size)?;
    let rank = input.len() - 2;
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(rank),
        stride: geometry.stride,
        padding_low: geometry.low,
        padding_high: geometry.high,
        base_dilation: vec![1; rank],
        kernel_dilation: geometry.dilation,
        feature_groups: c.int_or("group", 1)?,
        batch_groups: 1,
    };
    Ok(c.op(op, &[x, kernel])?)
}

/// `ConvTranspose`: a convolution of the dilated input with the flipped kernel.
pub(super) fn conv_transpose(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel, bias) = (c.value(0)?, c.value(1)?, c.optional(2)?);
    let (input, weights) = (c.shape(x), c.shape(kernel));
    if input.len() < 3 || input.len() != weights.len() || input.len() > 11 {
        return bad_input(format!("can't convolve {} with {}", c.ty(x), c.ty(kernel)));
    }
    let rank = input.len() - 2;
    let groups = c.int_or("group", 1)?;
    if groups < 1 {
        return bad_input(format!("{groups} groups are not possible"));
    }
    let stride = per_dimension(c, "strides", rank, 1)?;
    let dilation = per_dimension(c, "dilations", rank, 1)?;
    let (low, high) = transposed_padding(c, &input[2..], &weights[2..], &stride, &dilation)?;
    let (kernel, dimensions) = transposed_kernel(c, kernel, groups)?;
    let op = Op::Conv {
        dimensions,
        stride: vec![1; rank],
        padding_low: low,
        padding_high: high,
        base_dilation: stride,
        kernel_dilation: dilation,
        feature_groups: groups,
        batch_groups: 1,
    };
    let y = c.op(op, &[x, kernel])?;
    Ok(add_bias(c, y, bias)?.into())
}

/// The kernel \[C, M ÷ groups, k…\] flipped, with the groups among the output features.
fn transposed_kernel(
    c: &mut Context<'_, '_, '_>,
    kernel: ValueId,
    groups: i64,
) -> Result<(ValueId, ConvDimensions)> {
    let shape = c.shape(kernel);
    let rank = shape.len() - 2;
    let flipped = c.op(Op::Reverse { axes: (2..rank + 2).collect() }, &[kernel])?;
    let mut dimensions = ConvDimensions::standard(rank);
    if groups == 1 {
        dimensions.kernel.swap(0, 1);
        debug_assert_eq!(dimensions.kernel[0], DimensionRole::Inner);
        return Ok((flipped, dimensions));
    }
    let g = Dim::from(groups);
    let (inner, outer) = (shape[0].floor_div(&g), shape[1].clone());
    let mut split: Vec<Dim> = vec![g.clone(), inner.clone(), outer.clone()];
    split.extend_from_slice(&shape[2..]);
    let parts = c.reshape(flipped, &split)?;
    let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..rank + 3).collect();
    let moved = c.transpose(parts, &order)?;
    let mut joined: Shape = [&g * &outer, inner].into_iter().collect();
    joined.extend(shape[2..].iter().cloned());
    Ok((c.reshape(moved, &joined)?, dimensions))
}

/// Padding of the dilated input: what the kernel covers beyond it, less the padding of the forward convolution.
fn transposed_padding(
    c: &Context<'_, '_, '_>,
    spatial: &[Dim],
    size: &[Dim],
    stride: &[i64],
    dilation: &[i64],
) -> Result<(Vec<Dim>, Vec<Dim>)> {
    let rank = spatial.len();
    let extra = per_dimension(c, "output_padding", rank, 0)?;
    let mode = c.text_or("auto_pad", "NOTSET")?;
    let output_shape = match c.ints("output_shape")? {
        // Some exporters list batch and features too.
        Some(shape) if shape.len() == rank || shape.len() == rank + 2 => Some(&shape[shape.len() - rank..]),
        Some(shape) => return bad_input(format!("attribute `output_shape` is {shape:?}")),
        None => None,
    };
    let explicit = explicit_pads(c, rank)?;
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for axis in 0..rank {
        let covered = dilated(&size[axis], dilation[axis]);
        let full = (&spatial[axis] - 1) * stride[axis] + &covered + extra[axis];
        let wanted = match (output_shape, mode) {
            (Some(shape), _) => Some(Dim::from(shape[axis])),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(&spatial[axis] * &Dim::from(stride[axis])),
            (None, "NOTSET" | "VALID") => None,
            (None, other) => return bad_input(format!("there is no padding mode `{other}`")),
        };
        let (before, after) = match wanted {
            Some(wanted) => {
                let total = full - wanted;
                let half = total.floor_div(&Dim::from(2));
                let rest = &total - &half;
                if mode == "SAME_UPPER" { (half, rest) } else { (rest, half) }
            }
            None if mode == "VALID" => (Dim::ZERO, Dim::ZERO),
            None => (explicit[axis].clone(), explicit[axis + rank].clone()),
        };
        low.push(&covered - 1 - before);
        high.push(covered - 1 - after + extra[axis]);
    }
    Ok((low, high))
}

/// x − zero point in i32; a zero point may be a scalar or a vector along `axis`.
pub(super) fn centered(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    zero_point: Option<ValueId>,
    axis: usize,
) -> Result<ValueId> {
    let wide = c.cast(x, DType::I32)?;
    let Some(zero_point) = zero_point else { return Ok(wide) };
    let zero_point = c.cast(zero_point, DType::I32)?;
    let zero_point = along_axis(c, zero_point, axis, c.shape(x).len())?;
    Ok(c.binary(BinaryOp::Sub, wide, zero_point)?)
}

/// A scalar or vector shaped to be broadcast along `axis` of a tensor of `rank`; other shapes stay.
pub(super) fn along_axis(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    rank: usize,
) -> Result<ValueId> {
    let shape = c.shape(x);
    match shape.as_slice() {
        [] => Ok(x),
        [one] if one.is(1) => Ok(c.reshape(x, &[])?),
        [extent] if axis < rank => {
            let mut wide = vec![Dim::ONE; rank];
            wide[axis] = extent.clone();
            Ok(c.reshape(x, &wide)?)
        }
        _ => Ok(x),
    }
}

/// `ConvInteger`: a convolution of integers less their zero points, in i32.
pub(super) fn conv_integer(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel) = (c.value(0)?, c.value(1)?);
    let (x_zero, kernel_zero) = (c.optional(2)?, c.optional(3)?);
    let x = centered(c, x, x_zero, 1)?;
    let kernel = centered(c, kernel, kernel_zero, 0)?;
    Ok(conv_of(c, x, kernel)?.into())
}

/// `CausalConvWithState`: a depthwise convolution over time of the last k − 1 inputs and the new ones.
pub(super) fn causal_conv(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel, bias, past) = (c.value(0)?, c.value(1)?, c.optional(2)?, c.optional(3)?);
    let (input, weights) = (c.shape(x), c.shape(kernel));
    let ([_, channels, length], [_, _, k]) = (input.as_slice(), weights.as_slice()) else {
        return bad_input("needs tensors of rank 3");
    };
    let Some(groups) = channels.as_const() else {
        return unsupported("the number of channels is not constant");
    };
    let state = k - 1;
    let history = match past {
        Some(past) => super::slice::concat_of(c, &[past, x], 2)?,
        None => {
            let zero = c.scalar_like(x, 0.0)?;
            let low = vec![Dim::ZERO, Dim::ZERO, state.clone()];
            super::slice::pad_with(c, x, low, vec![Dim::ZERO; 3], zero)?
        }
    };
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(1),
        stride: vec![1],
        padding_low: vec![Dim::ZERO],
        padding_high: vec![Dim::ZERO],
        base_dilation: vec![1],
        kernel_dilation: vec![1],
        feature_groups: groups,
        batch_groups: 1,
    };
    let y = c.op(op, &[history, kernel])?;
    let y = add_bias(c, y, bias)?;
    let y = match c.text_or("activation", "none")? {
        "none" => y,
        "silu" | "swish" => c.op(Op::Silu, &[y])?,
        other => return Err(Failure::BadInput(format!("there is no activation `{other}`"))),
    };
    let end = length + &state;
    let present = super::slice::slice_axis(c, history, 2, length.clone(), end)?;
    Ok(Outputs::values([y, present]))
}
