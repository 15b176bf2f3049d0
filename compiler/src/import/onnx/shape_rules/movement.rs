//! Shapes, and rearrangement of known elements.

use super::Inputs;
use super::elementwise::{broadcast_places, broadcast_shape};
use crate::import::onnx::context::{NodeContext, normalize_axes, normalize_axis};
use crate::import::onnx::failure::Result;
use crate::import::onnx::symbolic::{Fraction, MAX_ELEMENTS, SymbolicTensor};
use crate::import::onnx::{file::Folder, tensor};
use graven_ir::{DType, Dim};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The extents of a tensor, from opset 15 on those from `start` to `end`.
pub(super) fn shape(c: &Context<'_, '_, '_>) -> Result<SymbolicTensor> {
    let shape = c.input_shape(0)?;
    let rank = shape.len() as i64;
    let place = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let start = place(c.int_or("start", 0)?);
    let end = place(c.int_or("end", rank)?).max(start);
    Ok(SymbolicTensor::vector(shape[start..end].iter().cloned()))
}

/// The number of elements of a tensor.
pub(super) fn size(c: &Context<'_, '_, '_>) -> Result<SymbolicTensor> {
    let shape = c.input_shape(0)?;
    Ok(SymbolicTensor::scalar(shape.iter().fold(Dim::ONE, |product, dim| product * dim)))
}

fn ints(tensor: &SymbolicTensor) -> Option<Vec<i64>> {
    tensor
        .elements
        .iter()
        .map(|value| value.numerator.as_const().filter(|_| value.denominator == 1))
        .collect()
}

fn product(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product, extent| product.saturating_mul(*extent))
}

/// Extents before, at and after an axis, multiplied.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (product(&shape[..axis]), shape[axis], product(&shape[axis + 1..]))
}

fn with_shape(x: &SymbolicTensor, shape: Vec<usize>) -> Option<SymbolicTensor> {
    let fits = product(&shape) == x.elements.len();
    fits.then(|| SymbolicTensor { dtype: x.dtype, shape, elements: x.elements.clone() })
}

/// A tensor whose element `n` is element `places[n]` of `x`.
fn picked(
    x: &SymbolicTensor,
    shape: Vec<usize>,
    places: impl IntoIterator<Item = usize>,
) -> Option<SymbolicTensor> {
    if product(&shape) > MAX_ELEMENTS {
        return None;
    }
    let elements: Option<Vec<Fraction>> =
        places.into_iter().take(MAX_ELEMENTS).map(|place| x.elements.get(place).cloned()).collect();
    Some(SymbolicTensor { dtype: x.dtype, shape, elements: elements? })
}

/// The axes of a node: an input from opset `since` on, an attribute before.
fn axes(c: &Context<'_, '_, '_>, inputs: &Inputs, since: i64) -> Option<Option<Vec<i64>>> {
    match c.opset < since {
        true => Some(c.ints("axes").ok()?.map(<[i64]>::to_vec)),
        false => match inputs.get(1).and_then(Option::as_deref) {
            Some(axes) => Some(Some(ints(axes)?)),
            None => Some(None),
        },
    }
}

/// A reduction over axes.
pub(super) fn reduce(
    c: &Context<'_, '_, '_>,
    inputs: &Inputs,
    since: i64,
    combine: fn(&Fraction, &Fraction) -> Option<Fraction>,
) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let rank = x.shape.len();
    let axes = axes(c, inputs, since)?.filter(|axes| !axes.is_empty());
    if axes.is_none() && c.flag("noop_with_empty_axes", false).ok()? {
        return Some(x.clone());
    }
    let axes = axes.map_or(Ok((0..rank).collect()), |axes| normalize_axes(&axes, rank)).ok()?;
    let kept: Vec<usize> = x
        .shape
        .iter()
        .enumerate()
        .map(|(axis, extent)| if axes.contains(&axis) { 1 } else { *extent })
        .collect();
    let mut sums: Vec<Option<Fraction>> = vec![None; product(&kept)];
    for (value, place) in x.elements.iter().zip(reduced_places(&x.shape, &kept)) {
        sums[place] = Some(match &sums[place] {
            None => value.clone(),
            Some(sum) => combine(sum, value)?,
        });
    }
    let keep = c.flag("keepdims", true).ok()?;
    let is_kept = |axis: &usize| keep || !axes.contains(axis);
    let shape = (0..rank).filter(is_kept).map(|axis| kept[axis]).collect();
    // An empty reduction has no first element: leave it to the operator.
    let elements: Option<Vec<Fraction>> = sums.into_iter().collect();
    Some(SymbolicTensor { dtype: x.dtype, shape, elements: elements? })
}

/// For each element of `shape` the linear index in `kept`, where some extents are 1 instead.
fn reduced_places(shape: &[usize], kept: &[usize]) -> Vec<usize> {
    let place = |mut linear: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..shape.len()).rev() {
            place += (linear % shape[axis]).min(kept[axis] - 1) * stride;
            linear /= shape[axis];
            stride *= kept[axis];
        }
        place
    };
    (0..product(shape)).map(place).collect()
}

pub(super) fn range(_: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(start), Some(limit), Some(delta)] = inputs else { return None };
    let scalar =
        |tensor: &SymbolicTensor| tensor.elements.first().filter(|value| value.denominator == 1).cloned();
    let (first, limit, delta) =
        (scalar(start)?.numerator, scalar(limit)?.numerator, scalar(delta)?.numerator);
    let delta = delta.as_const().filter(|delta| *delta != 0)?;
    let span = if delta > 0 { limit - &first } else { &first - &limit };
    let count = span.ceil_div(&Dim::from(delta.checked_abs()?)).as_const()?.max(0);
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_ELEMENTS)?;
    let elements = (0..count).map(|i| (&first + &Dim::from(delta.saturating_mul(i as i64))).into()).collect();
    Some(SymbolicTensor { dtype: start.dtype, shape: vec![count], elements })
}

pub(super) fn constant_of_shape(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let extents = ints(inputs.first()?.as_deref()?)?;
    let shape: Option<Vec<usize>> = extents.into_iter().map(|extent| usize::try_from(extent).ok()).collect();
    let shape = shape?;
    let value = match c.tensor("value").ok()? {
        Some(proto) => SymbolicTensor::from_tensor(
            &tensor::tensor(proto, &mut Folder::none(&c.importer.folder.memory)).ok()?,
        )?,
        None => SymbolicTensor { dtype: DType::F32, shape: vec![1], elements: vec![Dim::ZERO.into()] },
    };
    let count = Some(product(&shape)).filter(|count| *count <= MAX_ELEMENTS)?;
    Some(SymbolicTensor { dtype: value.dtype, shape, elements: vec![value.elements.first()?.clone(); count] })
}

pub(super) fn reshape(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(target)] = inputs else { return None };
    let target = ints(target)?;
    let allow_zero = c.flag("allowzero", false).ok()?;
    let mut shape = Vec::with_capacity(target.len());
    for (place, extent) in target.iter().enumerate() {
        shape.push(match *extent {
            -1 => 1,
            0 if !allow_zero => *x.shape.get(place)?,
            extent => usize::try_from(extent).ok()?,
        });
    }
    if let Some(place) = target.iter().position(|extent| *extent == -1) {
        shape[place] = x.elements.len().checked_div(product(&shape))?;
    }
    with_shape(x, shape)
}

pub(super) fn flatten(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let rank = x.shape.len() as i64;
    let axis = c.int_or("axis", 1).ok()?;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    let (before, after) = x.shape.split_at_checked(axis)?;
    with_shape(x, vec![product(before), product(after)])
}

pub(super) fn squeeze(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let rank = x.shape.len();
    let axes = match axes(c, inputs, 13)? {
        Some(axes) => normalize_axes(&axes, rank).ok()?,
        None => (0..rank).filter(|axis| x.shape[*axis] == 1).collect(),
    };
    with_shape(x, (0..rank).filter(|axis| !axes.contains(axis)).map(|axis| x.shape[axis]).collect())
}

pub(super) fn unsqueeze(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let axes = axes(c, inputs, 13)??;
    let rank = x.shape.len() + axes.len();
    let axes = normalize_axes(&axes, rank).ok()?;
    let mut own = x.shape.iter();
    let shape: Option<Vec<usize>> =
        (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { own.next().copied() }).collect();
    with_shape(x, shape?)
}

pub(super) fn concat(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let parts: Option<Vec<&SymbolicTensor>> = inputs.iter().map(Option::as_deref).collect();
    let parts = parts?;
    let first = parts.first()?;
    let axis = normalize_axis(c.int("axis").ok()??, first.shape.len()).ok()?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in &parts {
        let same = part.dtype == first.dtype
            && part.shape.len() == shape.len()
            && (0..shape.len()).all(|other| other == axis || part.shape[other] == shape[other]);
        shape[axis] += part.shape.get(axis).filter(|_| same)?;
    }
    let (before, ..) = around(&shape, axis);
    let mut elements = Vec::new();
    for row in 0..before {
        for part in &parts {
            let width = part.elements.len() / before;
            elements.extend_from_slice(&part.elements[row * width..(row + 1) * width]);
        }
    }
    Some(SymbolicTensor { dtype: first.dtype, shape, elements })
}

pub(super) fn gather(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(indices)] = inputs else { return None };
    let axis = normalize_axis(c.int_or("axis", 0).ok()?, x.shape.len()).ok()?;
    let (before, extent, after) = around(&x.shape, axis);
    let numbers: Option<Vec<usize>> =
        ints(indices)?.into_iter().map(|index| normalize_axis(index, extent).ok()).collect();
    let numbers = numbers?;
    let mut shape = x.shape[..axis].to_vec();
    shape.extend(&indices.shape);
    shape.extend(&x.shape[axis + 1..]);
    let places = (0..before).flat_map(|row| {
        numbers
            .iter()
            .flat_map(move |index| (0..after).map(move |rest| (row * extent + index) * after + rest))
    });
    picked(x, shape, places.collect::<Vec<usize>>())
}

pub(super) fn slice(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let input = |place: usize| inputs.get(place).and_then(Option::as_deref).map(ints);
    let (starts, ends, axes, steps) = match c.opset < 10 {
        true => {
            let list = |name| Some(c.ints(name).ok()?.map(<[i64]>::to_vec));
            (list("starts")??, list("ends")??, list("axes")?, None)
        }
        false => (input(1)??, input(2)??, optional(input(3))?, optional(input(4))?),
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    let mut result = x.clone();
    for (place, axis) in axes.iter().enumerate() {
        let axis = normalize_axis(*axis, x.shape.len()).ok()?;
        let (start, end, step) = (*starts.get(place)?, *ends.get(place)?, *steps.get(place)?);
        let indices = slice_indices(result.shape[axis], start, end, step)?;
        let (before, extent, after) = around(&result.shape, axis);
        let mut shape = result.shape.clone();
        shape[axis] = indices.len();
        let places: Vec<usize> = (0..before)
            .flat_map(|row| {
                indices
                    .iter()
                    .flat_map(move |index| (0..after).map(move |rest| (row * extent + index) * after + rest))
            })
            .collect();
        result = picked(&result, shape, places)?;
    }
    Some(result)
}

/// `None` where there is an input that is not known, `Some(None)` where there is no input.
fn optional<T>(input: Option<Option<T>>) -> Option<Option<T>> {
    match input {
        None => Some(None),
        Some(known) => known.map(Some),
    }
}

/// The indices that a slice takes.
fn slice_indices(extent: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let extent = extent as i64;
    let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
    let place = |index: i64| (if index < 0 { index.saturating_add(extent) } else { index }).clamp(low, high);
    let (mut index, end) = (place(start), place(end));
    let mut indices = Vec::new();
    while step != 0 && if step > 0 { index < end } else { index > end } {
        indices.push(usize::try_from(index).ok()?);
        index = index.saturating_add(step);
    }
    (step != 0).then_some(indices)
}

pub(super) fn split(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<Vec<SymbolicTensor>> {
    let x = inputs.first()?.as_deref()?;
    let [extent] = x.shape.as_slice() else { return None };
    let parts = c.node.output.len();
    let sizes: Vec<usize> = match (c.ints("split").ok()?, inputs.get(1).and_then(Option::as_deref)) {
        (Some(sizes), _) => sizes.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<_>>()?,
        (None, Some(sizes)) => {
            ints(sizes)?.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<_>>()?
        }
        (None, None) => vec![extent.checked_div(parts).filter(|size| size * parts == *extent)?; parts],
    };
    let mut rest = x.elements.as_slice();
    let mut results = Vec::new();
    for size in sizes {
        let (part, after) = rest.split_at_checked(size)?;
        results.push(SymbolicTensor { dtype: x.dtype, shape: vec![size], elements: part.to_vec() });
        rest = after;
    }
    rest.is_empty().then_some(results)
}

pub(super) fn transpose(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let x = inputs.first()?.as_deref()?;
    let rank = x.shape.len();
    let permutation: Vec<usize> = match c.ints("perm").ok()? {
        Some(axes) => axes.iter().map(|axis| normalize_axis(*axis, rank).ok()).collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = permutation.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return None;
    }
    let shape: Vec<usize> = permutation.iter().map(|axis| x.shape[*axis]).collect();
    let place = |mut linear: usize| {
        let mut place = 0;
        for (axis, source) in permutation.iter().enumerate().rev() {
            place += linear % shape[axis] * product(&x.shape[source + 1..]);
            linear /= shape[axis];
        }
        place
    };
    let places: Vec<usize> = (0..x.elements.len()).map(place).collect();
    picked(x, shape.clone(), places)
}

pub(super) fn expand(_: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(target)] = inputs else { return None };
    let target: Option<Vec<usize>> =
        ints(target)?.into_iter().map(|extent| usize::try_from(extent).ok()).collect();
    let shape = broadcast_shape(&x.shape, &target?)?;
    let places = broadcast_places(&x.shape, &shape)?;
    picked(x, shape, places)
}

pub(super) fn tile(_: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(repeats)] = inputs else { return None };
    let repeats = ints(repeats)?;
    let ([extent], [repeat]) = (x.shape.as_slice(), repeats.as_slice()) else { return None };
    let count = usize::try_from(*repeat).ok()?.checked_mul(*extent).filter(|count| *count <= MAX_ELEMENTS)?;
    picked(x, vec![count], (0..count).map(|place| place % extent).collect::<Vec<usize>>())
}

pub(super) fn scatter_nd(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(indices), Some(updates)] = inputs else { return None };
    let [extent] = x.shape.as_slice() else { return None };
    if indices.shape.last() != Some(&1) {
        return None;
    }
    scatter(c, x, *extent, indices, updates)
}

pub(super) fn scatter_elements(c: &Context<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(indices), Some(updates)] = inputs else { return None };
    let [extent] = x.shape.as_slice() else { return None };
    scatter(c, x, *extent, indices, updates)
}

/// Elements of a vector replaced.
fn scatter(
    c: &Context<'_, '_, '_>,
    x: &SymbolicTensor,
    extent: usize,
    indices: &SymbolicTensor,
    updates: &SymbolicTensor,
) -> Option<SymbolicTensor> {
    let replaces = c.text_or("reduction", "none").ok()? == "none";
    let matches = replaces && indices.elements.len() == updates.elements.len();
    let mut result = x.clone();
    for (index, update) in ints(indices).filter(|_| matches)?.into_iter().zip(&updates.elements) {
        result.elements[normalize_axis(index, extent).ok()?] = update.clone();
    }
    Some(result)
}
