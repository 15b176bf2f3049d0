//! `while`: a loop over the trips that were made, from the last to the first.
//!
//! The forward loop runs once more for its gradient, and writes what each trip starts with into buffers of `trip_limit` places.

use super::{active_carried, or_zeros, region_cotangents};
use crate::autograd::rules::{OperandCotangents, Site};
use crate::autograd::{GradError, calculus};
use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Graph, GraphBuilder, Op, TensorType, ValueId};
use smallvec::smallvec;

pub(super) fn apply(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    carried: usize,
    trip_limit: &Dim,
) -> Result<OperandCotangents, GradError> {
    let recorded = record(b, site, carried, trip_limit)?;
    let (trips, buffers) = (recorded[0], &recorded[1..]);
    let active = active_carried(site, &site.node.regions[1], carried);
    let active: Vec<usize> = (0..carried).filter(|place| active[*place]).collect();
    let operands = &site.node.operands;
    let captures: Vec<usize> = (carried..operands.len()).filter(|place| site.wants(*place)).collect();

    let mut arguments = vec![trips];
    for place in &active {
        arguments.push(or_zeros(b, site.cotangents[*place], operands[*place])?);
    }
    for place in &captures {
        arguments.push(calculus::full_like(b, operands[*place], 0.0)?);
    }
    let back = arguments.len();
    arguments.extend_from_slice(buffers);
    arguments.extend_from_slice(&operands[carried..]);
    let types: Vec<TensorType> = arguments.iter().map(|value| b.ty(*value).clone()).collect();
    let regions = vec![any_left(b, &types)?, trip_back(b, site, &types, [&active, &captures], carried)?];
    let node = b.node(Op::While { carried: back, trip_limit: trip_limit.clone() }, &arguments, regions)?;
    let results = b.graph().node(node).results.clone();
    let mut cotangents: OperandCotangents = smallvec![None; operands.len()];
    for (place, result) in active.iter().chain(&captures).zip(&results[1..]) {
        cotangents[*place] = Some(*result);
    }
    Ok(cotangents)
}

/// The loop once more: the number of trips, and for each carried value a buffer of what the trips started with.
fn record(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    carried: usize,
    trip_limit: &Dim,
) -> Result<Vec<ValueId>, InferError> {
    let operands = &site.node.operands;
    let mut arguments: Vec<ValueId> = operands[..carried].to_vec();
    arguments.push(calculus::full(b, &[], DType::I64, 0.0)?);
    for value in &operands[..carried] {
        let ty = b.ty(*value).clone();
        let shape: Vec<Dim> = std::iter::once(trip_limit.clone()).chain(ty.shape.iter().cloned()).collect();
        arguments.push(calculus::full(b, &shape, ty.dtype, 0.0)?);
    }
    let all = arguments.len();
    arguments.extend_from_slice(&operands[carried..]);
    let types: Vec<TensorType> = arguments.iter().map(|value| b.ty(*value).clone()).collect();
    let inputs = |params: &[ValueId]| [&params[..carried], &params[all..]].concat();

    let mut condition = b.region();
    let params: Vec<ValueId> = types.iter().map(|ty| condition.param(ty.clone(), None)).collect();
    let results = condition.inline(&site.node.regions[0], &inputs(&params))?;
    let condition = condition.finish(results);

    let mut body = b.region();
    let params: Vec<ValueId> = types.iter().map(|ty| body.param(ty.clone(), None)).collect();
    let trip = params[carried];
    let mut results = body.inline(&site.node.regions[1], &inputs(&params))?;
    let one = body.scalar(DType::I64, 1.0)?;
    results.push(body.binary(BinaryOp::Add, trip, one)?);
    for place in 0..carried {
        let (value, buffer) = (params[place], params[carried + 1 + place]);
        let row: Vec<Dim> = std::iter::once(Dim::ONE).chain(body.shape(value).iter().cloned()).collect();
        let row = body.reshape(value, &row)?;
        let starts = row_starts(&mut body, trip, buffer)?;
        results.push(body.op(Op::DynamicUpdateSlice, &[buffer, row, starts])?);
    }
    let body = body.finish(results);
    let op = Op::While { carried: all, trip_limit: trip_limit.clone() };
    let node = b.node(op, &arguments, vec![condition, body])?;
    Ok(b.graph().node(node).results[carried..].to_vec())
}

/// `[trip, 0, 0, …]`: where row `trip` of a buffer starts.
fn row_starts(b: &mut GraphBuilder<'_>, trip: ValueId, buffer: ValueId) -> Result<ValueId, InferError> {
    let rank = b.shape(buffer).len();
    let first = b.reshape(trip, &[Dim::ONE])?;
    if rank == 1 {
        return Ok(first);
    }
    let zeros = calculus::full(b, &[Dim::from(rank as i64 - 1)], DType::I64, 0.0)?;
    b.op(Op::Concat { axis: 0 }, &[first, zeros])
}

/// Whether the first value, the number of trips to go, is over 0.
fn any_left(b: &mut GraphBuilder<'_>, types: &[TensorType]) -> Result<Graph, InferError> {
    let mut condition = b.region();
    let params: Vec<ValueId> = types.iter().map(|ty| condition.param(ty.clone(), None)).collect();
    let zero = condition.scalar(DType::I64, 0.0)?;
    let left = condition.compare(CompareOp::Gt, params[0], zero)?;
    Ok(condition.finish(vec![left]))
}

/// `(trips to go, cotangents of carried…, sums for captures…, buffers…, captures…) → the first three one trip earlier`.
fn trip_back(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    types: &[TensorType],
    [active, captures]: [&[usize]; 2],
    carried: usize,
) -> Result<Graph, GradError> {
    let region = &site.node.regions[1];
    let mut body = b.region();
    let params: Vec<ValueId> = types.iter().map(|ty| body.param(ty.clone(), None)).collect();
    let minus_one = body.scalar(DType::I64, -1.0)?;
    let trip = body.binary(BinaryOp::Add, params[0], minus_one)?;
    let first_sum = 1 + active.len();
    let first_buffer = first_sum + captures.len();

    let mut inputs = Vec::with_capacity(region.params().len());
    for place in 0..carried {
        let buffer = params[first_buffer + place];
        let shape = region.ty(region.params()[place]).shape.clone();
        let row: Vec<Dim> = std::iter::once(Dim::ONE).chain(shape.iter().cloned()).collect();
        let starts = row_starts(&mut body, trip, buffer)?;
        let row = body.op(Op::DynamicSlice { shape: row }, &[buffer, starts])?;
        inputs.push(body.reshape(row, &shape)?);
    }
    inputs.extend_from_slice(&params[first_buffer + carried..]);
    let mut given = vec![None; region.results().len()];
    for (number, place) in active.iter().enumerate() {
        given[*place] = Some(params[1 + number]);
    }
    let wrt: Vec<usize> = active.iter().chain(captures).copied().collect();
    let gradients = region_cotangents(&mut body, region, &inputs, &given, &wrt)?;
    let mut results = vec![trip];
    for (number, (place, gradient)) in wrt.iter().zip(gradients).enumerate() {
        results.push(match (number.checked_sub(active.len()), gradient) {
            (Some(capture), None) => params[first_sum + capture],
            (Some(capture), Some(gradient)) => {
                calculus::add(&mut body, params[first_sum + capture], gradient)?
            }
            (None, gradient) => or_zeros(&mut body, gradient, inputs[*place])?,
        });
    }
    Ok(body.finish(results))
}
