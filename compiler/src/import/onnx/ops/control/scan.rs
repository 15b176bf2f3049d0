//! `Scan` since opset 9.

use crate::import::onnx::context::{NodeContext, Outputs, normalize_axis};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use crate::import::onnx::region::{Captures, Param};
use graven_ir::{Dim, Op, TensorType, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `value` with dimension `from` moved to `to`.
fn move_axis(c: &mut Context<'_, '_, '_>, value: ValueId, from: usize, to: usize) -> Result<ValueId> {
    let mut permutation: Vec<usize> = (0..c.shape(value).len()).collect();
    let axis = permutation.remove(from);
    permutation.insert(to, axis);
    Ok(c.transpose(value, &permutation)?)
}

/// A list attribute with one entry for each of `count` values.
fn per_value(c: &Context<'_, '_, '_>, name: &str, count: usize) -> Result<Vec<i64>> {
    match c.ints(name)? {
        None => Ok(vec![0; count]),
        Some(values) if values.len() == count => Ok(values.to_vec()),
        Some(values) => {
            bad_input(format!("attribute `{name}` has {} entries for {count} values", values.len()))
        }
    }
}

/// `Scan`: scanned values are brought into the IR's form, slices of the leading dimension from first to last.
pub(in crate::import::onnx::ops) fn scan(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    if c.opset < 9 {
        return unsupported("the batched form of opset 8");
    }
    let graph = c.subgraph("body")?;
    let inputs = c.values()?;
    let scanned = usize::try_from(c.int_or("num_scan_inputs", 0)?).unwrap_or(usize::MAX);
    let Some(carried) = inputs.len().checked_sub(scanned).filter(|_| scanned > 0) else {
        return bad_input(format!("scans {scanned} of {} inputs", inputs.len()));
    };
    let Some(collected) = graph.output.len().checked_sub(carried) else {
        return bad_input(format!("carries {carried} values but its body gives only {}", graph.output.len()));
    };
    let axes = per_value(c, "scan_input_axes", scanned)?;
    let directions = per_value(c, "scan_input_directions", scanned)?;
    let mut operands = inputs[..carried].to_vec();
    let mut types: Vec<TensorType> = operands.iter().map(|value| c.ty(*value).clone()).collect();
    for (place, value) in inputs[carried..].iter().enumerate() {
        let axis = normalize_axis(axes[place], c.shape(*value).len())?;
        let mut sequence = move_axis(c, *value, axis, 0)?;
        if directions[place] != 0 {
            sequence = c.op(Op::Reverse { axes: vec![0] }, &[sequence])?;
        }
        let ty = c.ty(sequence);
        types.push(TensorType { dtype: ty.dtype, shape: ty.shape[1..].into() });
        operands.push(sequence);
    }
    let length: Dim = match operands.get(carried) {
        Some(sequence) => c.shape(*sequence)[0].clone(),
        None => return bad_input("scans nothing"),
    };
    let captures = Captures::of(c, &[graph])?;
    let params = types.iter().cloned().map(Param::Typed).collect();
    let mut body = captures.body(c, graph, params)?;
    let results = body.values()?;
    if let Some(place) = (0..carried).find(|place| *body.scope.builder.ty(results[*place]) != types[*place]) {
        let now = body.scope.builder.ty(results[place]).clone();
        return unsupported(format!("a carried value changes its type from {} to {now}", types[place]));
    }
    let region = body.finish(results);
    operands.extend(&captures.operands);
    let node = c.node(Op::Scan { carried, scanned, length, reverse: false }, &operands, vec![region])?;
    let mut results: Vec<ValueId> = c.graph().node(node).results.to_vec();
    let axes = per_value(c, "scan_output_axes", collected)?;
    let directions = per_value(c, "scan_output_directions", collected)?;
    for (place, value) in results[carried..].iter_mut().enumerate() {
        if directions[place] != 0 {
            *value = c.op(Op::Reverse { axes: vec![0] }, &[*value]).map_err(Failure::from)?;
        }
        let axis = normalize_axis(axes[place], c.shape(*value).len())?;
        *value = move_axis(c, *value, 0, axis)?;
    }
    Ok(Outputs::values(results))
}
