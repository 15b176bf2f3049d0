//! Operators that cut, join and pad.

use crate::import::onnx::context::{NodeContext, Outputs, normalize_axes, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{Dim, Op, Shape, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Elements `start..limit` along one axis.
pub(super) fn slice_axis(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    start: Dim,
    limit: Dim,
) -> Result<ValueId> {
    strided_slice(c, x, axis, start, limit, 1)
}

fn strided_slice(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    start: Dim,
    limit: Dim,
    step: i64,
) -> Result<ValueId> {
    let shape = c.shape(x);
    if start.is(0) && limit == shape[axis] && step == 1 {
        return Ok(x);
    }
    let mut starts = vec![Dim::ZERO; shape.len()];
    let mut limits = shape.to_vec();
    let mut stride = vec![1; shape.len()];
    (starts[axis], limits[axis], stride[axis]) = (start, limit, step);
    Ok(c.op(Op::Slice { start: starts, limit: limits, stride }, &[x])?)
}

/// A bound of a slice: negative ones count from the end, and all are clamped to `low..=high`.
fn bound(index: &Dim, extent: &Dim, low: &Dim, high: &Dim) -> Result<Dim> {
    let from_start = match index.bounds() {
        (lower, _) if lower >= 0 => index.clone(),
        (_, upper) if upper < 0 => index + extent,
        _ => return unsupported(format!("the bound {index} may be counted from either end")),
    };
    Ok(from_start.maximum(low).minimum(high))
}

/// The bounds, axes and steps of a `Slice`: attributes before opset 10, inputs from then on.
struct SliceArgs {
    starts: Vec<Dim>,
    ends: Vec<Dim>,
    axes: Vec<usize>,
    steps: Vec<i64>,
}

fn slice_args(c: &mut Context<'_, '_, '_>, rank: usize) -> Result<SliceArgs> {
    let (starts, ends, axes, steps) = if c.opset < 10 {
        let dims = |values: Option<&[i64]>| values.unwrap_or(&[]).iter().map(|v| Dim::from(*v)).collect();
        let axes = c.ints("axes")?.map(<[i64]>::to_vec);
        (dims(c.ints("starts")?), dims(c.ints("ends")?), axes, None)
    } else {
        let (starts, ends) = (c.dims(1, "the start of the slice")?, c.dims(2, "the end of the slice")?);
        let axes = c.has(3).then(|| c.constant_ints(3, "axes")).transpose()?;
        (starts, ends, axes, c.has(4).then(|| c.constant_ints(4, "steps")).transpose()?)
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let axes: Vec<usize> = axes.iter().map(|axis| normalize_axis(*axis, rank)).collect::<Result<_>>()?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|length| *length != starts.len()) {
        return bad_input("starts, ends, axes and steps have different lengths");
    }
    Ok(SliceArgs { starts, ends, axes, steps })
}

/// `Slice`.
pub(super) fn slice(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let mut x = c.value(0)?;
    let shape = c.shape(x);
    let SliceArgs { starts, ends, axes, steps } = slice_args(c, shape.len())?;
    for (place, axis) in axes.into_iter().enumerate() {
        let (start, end, step) = (&starts[place], &ends[place], steps[place]);
        let extent = c.shape(x)[axis].clone();
        if step == 0 {
            return bad_input("a step is 0");
        }
        if step > 0 {
            let start = bound(start, &extent, &Dim::ZERO, &extent)?;
            let end = bound(end, &extent, &Dim::ZERO, &extent)?.maximum(&start);
            x = strided_slice(c, x, axis, start, end, step)?;
            continue;
        }
        // Backwards: in the reversed tensor index i stands at extent − 1 − i.
        let last = &extent - 1;
        let low = Dim::from(-1);
        let start = &last - &bound(start, &extent, &low, &last)?;
        let end = (&last - &bound(end, &extent, &low, &last)?).maximum(&start);
        x = c.op(Op::Reverse { axes: vec![axis] }, &[x])?;
        x = strided_slice(c, x, axis, start, end, step.saturating_neg())?;
    }
    Ok(x.into())
}

/// `Split`.
pub(super) fn split(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let extent = shape[axis].clone();
    let sizes: Vec<Dim> = match c.ints("split")? {
        Some(sizes) => sizes.iter().map(|size| Dim::from(*size)).collect(),
        None if c.has(1) => c.dims(1, "the sizes of the parts")?,
        None => equal_parts(c, &extent)?,
    };
    super::constant::check_extents(&sizes)?;
    let sum = sizes.iter().fold(Dim::ZERO, |sum, size| &sum + size);
    if sum != extent {
        return bad_input(format!("splits {extent} elements into parts of {sum} elements together"));
    }
    let mut start = Dim::ZERO;
    let mut parts = Vec::with_capacity(sizes.len());
    for size in &sizes {
        let end = &start + size;
        parts.push(slice_axis(c, x, axis, start, end.clone())?);
        start = end;
    }
    Ok(Outputs::values(parts))
}

/// Parts of ⌈extent ÷ n⌉ elements, the last one perhaps smaller.
fn equal_parts(c: &Context<'_, '_, '_>, extent: &Dim) -> Result<Vec<Dim>> {
    let outputs = c.node.output.len() as i64;
    let count = c.int_or("num_outputs", outputs)?;
    if count < 1 || count > outputs.max(1) {
        return bad_input(format!("makes {count} parts for {outputs} outputs"));
    }
    let size = extent.ceil_div(&Dim::from(count));
    let mut left = extent.clone();
    let mut sizes = Vec::new();
    for _ in 0..count {
        let part = size.minimum(&left);
        left = &left - &part;
        sizes.push(part);
    }
    Ok(sizes)
}

/// `Concat`.
pub(super) fn concat(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let values = c.values()?;
    let Some(first) = values.first() else { return bad_input("needs at least one input") };
    let Some(axis) = c.int("axis")? else { return bad_input("attribute `axis` is missing") };
    let axis = normalize_axis(axis, c.shape(*first).len())?;
    Ok(concat_of(c, &values, axis)?.into())
}

/// Values joined along an axis; nothing for a single one.
pub(super) fn concat_of(c: &mut Context<'_, '_, '_>, values: &[ValueId], axis: usize) -> Result<ValueId> {
    match values {
        [only] => Ok(*only),
        _ => Ok(c.op(Op::Concat { axis }, values)?),
    }
}

/// Padding before and after each dimension.
struct Pads {
    low: Vec<Dim>,
    high: Vec<Dim>,
}

fn pads(c: &mut Context<'_, '_, '_>, rank: usize) -> Result<Pads> {
    let amounts: Vec<Dim> = match c.opset < 11 {
        true => {
            c.ints("pads")?.or(c.ints("paddings")?).unwrap_or(&[]).iter().map(|v| Dim::from(*v)).collect()
        }
        false => c.dims(1, "the padding")?,
    };
    let axes: Vec<usize> = match c.has(3) {
        true => {
            let axes = c.constant_ints(3, "axes")?;
            normalize_axes(&axes, rank)?;
            axes.iter().map(|axis| normalize_axis(*axis, rank)).collect::<Result<_>>()?
        }
        false => (0..rank).collect(),
    };
    if amounts.len() != axes.len() * 2 {
        return bad_input(format!("has {} amounts of padding for {} dimensions", amounts.len(), axes.len()));
    }
    let mut pads = Pads { low: vec![Dim::ZERO; rank], high: vec![Dim::ZERO; rank] };
    for (place, axis) in axes.iter().enumerate() {
        pads.low[*axis] = amounts[place].clone();
        pads.high[*axis] = amounts[place + axes.len()].clone();
    }
    Ok(pads)
}

/// `Pad`.
pub(super) fn pad(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    let Pads { low, high } = pads(c, rank)?;
    let mode = c.text_or("mode", "constant")?;
    if mode == "constant" {
        let value = if c.opset < 11 {
            let value = c.float_or("value", 0.0)?;
            c.scalar_like(x, value)?
        } else {
            match c.optional(2)? {
                Some(value) => c.reshape(value, &[])?,
                None => c.scalar_like(x, 0.0)?,
            }
        };
        return Ok(pad_with(c, x, low, high, value)?.into());
    }
    let mut result = x;
    for axis in 0..rank {
        let amounts = (low[axis].clone(), high[axis].clone());
        result = match mode {
            "reflect" | "edge" | "wrap" => pad_axis(c, result, axis, mode, amounts)?,
            other => return bad_input(format!("there is no mode `{other}`")),
        };
    }
    Ok(result.into())
}

/// Constant padding; nothing where all amounts are 0.
pub(super) fn pad_with(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    low: Vec<Dim>,
    high: Vec<Dim>,
    value: ValueId,
) -> Result<ValueId> {
    if low.iter().chain(&high).all(|amount| amount.is(0)) {
        return Ok(x);
    }
    let interior = vec![0; low.len()];
    Ok(c.op(Op::Pad { low, high, interior }, &[x, value])?)
}

/// Padding of one axis with its own elements: cuts first, then adds slices, or gathers where the padding is longer than the axis.
fn pad_axis(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    mode: &str,
    (low, high): (Dim, Dim),
) -> Result<ValueId> {
    if low.is(0) && high.is(0) {
        return Ok(x);
    }
    let extent = c.shape(x)[axis].clone();
    let cut = |amount: &Dim| (-amount.clone()).maximum(&Dim::ZERO);
    let end = &extent - &cut(&high);
    let x = slice_axis(c, x, axis, cut(&low), end)?;
    let (low, high) = (low.maximum(&Dim::ZERO), high.maximum(&Dim::ZERO));
    let extent = c.shape(x)[axis].clone();
    // A reflection leaves out the edge itself.
    let available = if mode == "reflect" { &extent - 1 } else { extent.clone() };
    let is_short = |amount: &Dim| (&available - amount).lower() >= 0;
    if mode == "edge" || (is_short(&low) && is_short(&high)) {
        return pad_by_slices(c, x, axis, mode, &low, &high);
    }
    match (extent.as_const(), low.as_const(), high.as_const()) {
        (Some(extent), Some(low), Some(high)) => pad_by_gather(c, x, axis, mode, (extent, low, high)),
        _ => unsupported(format!("{mode} padding that may be longer than dimension {axis}")),
    }
}

fn pad_by_slices(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    mode: &str,
    low: &Dim,
    high: &Dim,
) -> Result<ValueId> {
    let before = padding_part(c, x, axis, mode, low, true)?;
    let after = padding_part(c, x, axis, mode, high, false)?;
    let parts: Vec<ValueId> = before.into_iter().chain([x]).chain(after).collect();
    concat_of(c, &parts, axis)
}

/// What stands before or after the elements.
fn padding_part(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    mode: &str,
    amount: &Dim,
    is_low: bool,
) -> Result<Option<ValueId>> {
    if amount.is(0) {
        return Ok(None);
    }
    let extent = c.shape(x)[axis].clone();
    let (start, limit) = match (mode, is_low) {
        ("reflect", true) => (Dim::ONE, amount + 1),
        ("reflect", false) => (&extent - amount - 1, &extent - 1),
        ("wrap", true) => (&extent - amount, extent),
        ("wrap", false) => (Dim::ZERO, amount.clone()),
        (_, true) => (Dim::ZERO, Dim::ONE),
        (_, false) => (&extent - 1, extent),
    };
    let part = slice_axis(c, x, axis, start, limit)?;
    match mode {
        "reflect" => Ok(Some(c.op(Op::Reverse { axes: vec![axis] }, &[part])?)),
        "edge" => {
            let mut shape: Shape = c.shape(part);
            shape[axis] = amount.clone();
            Ok(Some(c.broadcast_to(part, &shape)?))
        }
        _ => Ok(Some(part)),
    }
}

/// Padding longer than the axis: each place's source as a constant index.
fn pad_by_gather(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    axis: usize,
    mode: &str,
    (extent, low, high): (i64, i64, i64),
) -> Result<ValueId> {
    const MAX_LENGTH: i64 = 1 << 24;
    let length = extent.saturating_add(low).saturating_add(high);
    if extent == 0 || length > MAX_LENGTH {
        return bad_input(format!("can't pad {extent} elements to {length} by {mode}"));
    }
    let period = if mode == "wrap" { extent } else { (2 * (extent - 1)).max(1) };
    let source = |place: i64| {
        let place = (place - low).rem_euclid(period);
        if place < extent { place } else { period - place }
    };
    let indices: Vec<i64> = (0..length).map(source).collect();
    let indices = c.constant(graven_ir::Tensor::from_i64s(&indices))?;
    Ok(c.op(Op::Gather { axis }, &[x, indices])?)
}

/// `CenterCropPad`: crops or pads with zeros around the middle.
pub(super) fn center_crop_pad(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let mut x = c.value(0)?;
    let shape = c.shape(x);
    let rank = shape.len();
    let target = c.dims(1, "the shape")?;
    let axes: Vec<usize> = match c.ints("axes")? {
        Some(axes) => axes.iter().map(|axis| normalize_axis(*axis, rank)).collect::<Result<_>>()?,
        None => (0..rank).collect(),
    };
    if axes.len() != target.len() {
        return bad_input(format!("has {} extents for {} axes", target.len(), axes.len()));
    }
    let two = Dim::from(2);
    let (mut low, mut high) = (vec![Dim::ZERO; rank], vec![Dim::ZERO; rank]);
    for (axis, extent) in axes.iter().zip(&target) {
        let own = &shape[*axis];
        let cut = (own - extent).maximum(&Dim::ZERO);
        let start = cut.floor_div(&two);
        x = slice_axis(c, x, *axis, start.clone(), start + (own - &cut))?;
        let add = (extent - own).maximum(&Dim::ZERO);
        low[*axis] = add.floor_div(&two);
        high[*axis] = &add - &low[*axis];
    }
    let zero = c.scalar_like(x, 0.0)?;
    Ok(pad_with(c, x, low, high, zero)?.into())
}

/// `ReverseSequence`: the first elements of each batch reversed.
pub(super) fn reverse_sequence(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, lengths) = (c.value(0)?, c.value(1)?);
    let (batch, time) = (c.int_or("batch_axis", 1)?, c.int_or("time_axis", 0)?);
    if !matches!((batch, time), (0, 1) | (1, 0)) || c.shape(x).len() < 2 {
        return bad_input("batch and time must be the axes 0 and 1");
    }
    let batch_first = batch == 0;
    let order: Vec<usize> = [1, 0].into_iter().chain(2..c.shape(x).len()).collect();
    let x = if batch_first { x } else { c.transpose(x, &order)? };
    let reversed = reverse_prefix(c, x, lengths)?;
    Ok(if batch_first { reversed } else { c.transpose(reversed, &order)? }.into())
}

/// x\[b, t, …\] with the first `lengths[b]` steps in reverse order.
pub(super) fn reverse_prefix(c: &mut Context<'_, '_, '_>, x: ValueId, lengths: ValueId) -> Result<ValueId> {
    use graven_ir::{BinaryOp, CompareOp, DType};
    let shape = c.shape(x);
    let grid = [shape[0].clone(), shape[1].clone()];
    let step = c.op(Op::Iota { shape: grid.to_vec(), axis: 1, dtype: DType::I64 }, &[])?;
    let lengths = c.cast(lengths, DType::I64)?;
    let lengths = c.reshape(lengths, &[shape[0].clone(), Dim::ONE])?;
    let is_inside = c.compare(CompareOp::Lt, step, lengths)?;
    let last = c.binary_scalar(BinaryOp::Sub, lengths, 1.0)?;
    let mirrored = c.binary(BinaryOp::Sub, last, step)?;
    let source = c.select(is_inside, mirrored, step)?;
    let source = c.reshape(source, &[shape[0].clone(), shape[1].clone(), Dim::ONE])?;
    Ok(c.op(Op::GatherNd { batch_dimensions: 1 }, &[x, source])?)
}
