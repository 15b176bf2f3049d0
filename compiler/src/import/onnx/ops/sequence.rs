//! Sequences and optionals, which exist while importing only: their lengths are known.

use super::slice::{concat_of, slice_axis};
use crate::import::onnx::context::{NodeContext, Output, Outputs, normalize_axis};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use crate::import::onnx::region::inline_body;
use crate::import::onnx::scope::{Arg, Item};
use crate::import::onnx::symbolic::SymbolicTensor;
use graven_ir::{DType, Dim, Tensor, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `SequenceConstruct`.
pub(super) fn construct(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let items = (0..c.inputs.len()).map(|place| c.arg(place)).collect::<Result<Vec<Arg>>>()?;
    Ok(Output::Sequence(items).into())
}

/// `SequenceEmpty`.
pub(super) fn empty(_: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    Ok(Output::Sequence(Vec::new()).into())
}

/// `SequenceLength`.
pub(super) fn length(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let items = c.sequence(0)?;
    Ok(SymbolicTensor::scalar(Dim::from(items.len())).into())
}

/// A place in a sequence; of an insertion the end is one more.
fn position(c: &mut Context<'_, '_, '_>, input: usize, places: usize) -> Result<usize> {
    normalize_axis(c.constant_int(input, "the position")?, places)
}

/// `SequenceAt`.
pub(super) fn at(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let items = c.sequence(0)?;
    let place = position(c, 1, items.len())?;
    Ok(Output::Same(items[place]).into())
}

/// `SequenceInsert`.
pub(super) fn insert(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let mut items = c.sequence(0)?;
    let item = c.arg(1)?;
    let place = match c.has(2) {
        // A negative place counts from the end of the sequence before the insertion.
        true => match c.constant_int(2, "the position")? {
            place if place == items.len() as i64 => items.len(),
            place => normalize_axis(place, items.len())?,
        },
        false => items.len(),
    };
    items.insert(place, item);
    Ok(Output::Sequence(items).into())
}

/// `SequenceErase`.
pub(super) fn erase(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let mut items = c.sequence(0)?;
    let place = match c.has(1) {
        true => position(c, 1, items.len())?,
        false => normalize_axis(-1, items.len())?,
    };
    items.remove(place);
    Ok(Output::Sequence(items).into())
}

/// `SplitToSequence`: parts of given sizes, of one size, or single slices.
pub(super) fn split(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    const MAX_PARTS: i64 = 1 << 16;
    let x = c.value(0)?;
    let shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let Some(extent) = shape[axis].as_const() else {
        return unsupported("the number of parts is not constant");
    };
    let is_single = !c.has(1);
    let sizes: Vec<i64> = match is_single {
        true => vec![1; usize::try_from(extent.min(MAX_PARTS)).unwrap_or(0)],
        false => {
            let given = c.constant_ints(1, "the size of the parts")?;
            match (c.input_shape(1)?.is_empty(), given.as_slice()) {
                (true, [size]) if *size > 0 => {
                    let whole = vec![*size; usize::try_from((extent / size).min(MAX_PARTS)).unwrap_or(0)];
                    whole.into_iter().chain(Some(extent % size).filter(|rest| *rest > 0)).collect()
                }
                _ => given,
            }
        }
    };
    if sizes.iter().fold(0i64, |sum, size| sum.saturating_add(*size)) != extent
        || sizes.iter().any(|size| *size < 0)
    {
        return bad_input(format!("can't split {extent} elements into parts of {sizes:?}"));
    }
    let keep = c.flag("keepdims", true)? || !is_single;
    let mut start = 0;
    let mut items = Vec::with_capacity(sizes.len());
    for size in sizes {
        let mut part = slice_axis(c, x, axis, Dim::from(start), Dim::from(start + size))?;
        if !keep {
            part = super::reduction::drop_axes(c, part, &[axis])?;
        }
        items.push(c.scope.add_value(part));
        start += size;
    }
    Ok(Output::Sequence(items).into())
}

/// `ConcatFromSequence`.
pub(super) fn concat(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let items = c.sequence(0)?;
    let mut values: Vec<ValueId> = items.into_iter().map(|item| c.value_of(item)).collect::<Result<_>>()?;
    let Some(first) = values.first() else { return bad_input("the sequence is empty") };
    let Some(axis) = c.int("axis")? else { return bad_input("attribute `axis` is missing") };
    let is_new = c.flag("new_axis", false)?;
    let rank = c.shape(*first).len() + usize::from(is_new);
    let axis = normalize_axis(axis, rank)?;
    if is_new {
        for value in &mut values {
            let mut shape = c.shape(*value).to_vec();
            shape.insert(axis.min(shape.len()), Dim::ONE);
            *value = c.reshape(*value, &shape)?;
        }
    }
    Ok(concat_of(c, &values, axis)?.into())
}

/// `SequenceMap`: the body for each element.
pub(super) fn map(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let body = c.subgraph("body")?;
    let count = c.sequence(0)?.len();
    let mut results: Vec<Vec<Arg>> = vec![Vec::with_capacity(count); body.output.len()];
    for place in 0..count {
        let mut inputs = Vec::with_capacity(c.inputs.len());
        for input in 0..c.inputs.len() {
            let arg = c.arg(input)?;
            inputs.push(match c.scope.item(arg) {
                Item::Sequence(items) => match items.get(place) {
                    Some(item) => *item,
                    None => return bad_input("the sequences have different lengths"),
                },
                _ => arg,
            });
        }
        let outputs = inline_body(c, body, &inputs)?;
        results.iter_mut().zip(outputs).for_each(|(list, output)| list.push(output));
    }
    Ok(Outputs(results.into_iter().map(Output::Sequence).collect()))
}

/// `Optional`: with or without a value.
pub(super) fn optional(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    match c.has(0) {
        true => Ok(Output::Same(c.arg(0)?).into()),
        false => Ok(Output::Nothing.into()),
    }
}

/// `OptionalHasElement`.
pub(super) fn has_element(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let has = c.has(0) && !matches!(c.scope.item(c.arg(0)?), Item::Nothing);
    let tensor = Tensor::new(DType::Bool, vec![], vec![has as u8]);
    Ok(tensor.map_err(|error| Failure::BadInput(error.to_string()))?.into())
}

/// `OptionalGetElement`.
pub(super) fn get_element(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let arg = c.arg(0)?;
    match c.scope.item(arg) {
        Item::Nothing => bad_input("the optional has no value"),
        _ => Ok(Output::Same(arg).into()),
    }
}
