//! `Loop`, in the first form that fits:
//!
//! 1. a `scan`, where the number of trips is an extent and no trip ends the loop early;
//! 2. the body repeated in place, where the number of trips is a small constant (the carried values may then change their shapes);
//! 3. a `while`, where data decide about the end and no outputs are collected.

use crate::import::onnx::context::{NodeContext, Output, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use crate::import::onnx::proto::{GraphProto, TypeValue};
use crate::import::onnx::region::{Body, Captures, Param, inline_body};
use crate::import::onnx::scope::{Arg, Item};
use crate::import::onnx::symbolic::SymbolicTensor;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Tensor, TensorType, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Trips that are written out.
const MAX_UNROLLED: i64 = 1024;
/// Trip budget of loops without a bound of their own.
const TRIP_LIMIT: i64 = 1 << 31;

/// A `Loop` node taken apart.
struct Loop<'p> {
    body: &'p GraphProto,
    /// Number of trips, if it is known.
    trips: Option<Dim>,
    /// Whether the condition holds at the start, if that is known.
    starts: Option<bool>,
    /// Carried values.
    carried: Vec<Arg>,
}

/// `Loop`.
pub(in crate::import::onnx::ops) fn loop_node(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let body = c.subgraph("body")?;
    let trips = match c.has(0) {
        true => c.symbolic(0)?.and_then(|tensor| tensor.to_dims()?.into_iter().next()),
        false => None,
    };
    let starts = match c.has(1) {
        true => c.maybe_constant(1).and_then(|tensor| tensor.to_ints()?.first().map(|value| *value != 0)),
        false => Some(true),
    };
    let carried = (2..c.inputs.len()).map(|place| c.arg(place)).collect::<Result<Vec<Arg>>>()?;
    if body.input.len() != carried.len() + 2 || body.output.len() < carried.len() + 1 {
        return bad_input("its body has another number of inputs or outputs than the node");
    }
    let node = Loop { body, trips, starts, carried };
    let noted = c.importer.report.unsupported.len();
    let reason = match as_scan(c, &node) {
        Ok(outputs) => return Ok(outputs),
        Err(Failure::Placed(error)) => error.to_string(),
        Err(Failure::BadInput(reason) | Failure::Unsupported(reason)) => reason,
    };
    c.importer.report.unsupported.truncate(noted);
    let is_bounded = node.trips.as_ref().and_then(Dim::as_const).is_some_and(|trips| trips <= MAX_UNROLLED);
    if is_bounded && node.starts.is_some() {
        match unrolled(c, &node) {
            Err(Failure::Unsupported(_)) => c.importer.report.unsupported.truncate(noted),
            other => return other,
        }
    }
    let collects = body.output.len() > node.carried.len() + 1;
    if collects {
        return unsupported(format!("collects outputs of trips that are no scan: {reason}"));
    }
    as_while(c, &node)
}

/// The type that the body declares for a scalar input: some exporters make it a vector of one element.
fn scalar_type(body: &GraphProto, place: usize, dtype: DType) -> TensorType {
    let declared = body.input.get(place).and_then(|input| input.r#type.as_ref()?.value.as_ref());
    let rank = match declared {
        Some(TypeValue::TensorType(tensor)) => {
            tensor.shape.as_ref().map_or(0, |shape| shape.dim.len().min(1))
        }
        _ => 0,
    };
    TensorType { dtype, shape: vec![Dim::ONE; rank].into() }
}

fn truth(ty: &TensorType) -> Result<Tensor> {
    let tensor = Tensor::new(DType::Bool, vec![1; ty.rank()], vec![1u8]);
    tensor.map_err(|error| Failure::BadInput(error.to_string()))
}

/// The carried values as operands, with their types.
fn operands(c: &mut Context<'_, '_, '_>, carried: &[Arg]) -> Result<(Vec<ValueId>, Vec<TensorType>)> {
    let values: Vec<ValueId> = carried.iter().map(|arg| c.value_of(*arg)).collect::<Result<_>>()?;
    let types = values.iter().map(|value| c.ty(*value).clone()).collect();
    Ok((values, types))
}

fn check_types(body: &Body<'_>, values: &[ValueId], types: &[TensorType]) -> Result<()> {
    match values.iter().zip(types).find(|(value, ty)| body.scope.builder.ty(**value) != *ty) {
        None => Ok(()),
        Some((value, ty)) => {
            let now = body.scope.builder.ty(*value);
            unsupported(format!("a carried value changes its type from {ty} to {now}"))
        }
    }
}

/// A scan over the trip numbers.
fn as_scan(c: &mut Context<'_, '_, '_>, node: &Loop<'_>) -> Result<Outputs> {
    let Some(trips) = node.trips.clone().filter(|_| node.starts == Some(true)) else {
        return unsupported("the number of trips depends on data");
    };
    let trips = trips.maximum(&Dim::ZERO);
    let body_graph = c.subgraph("body")?;
    let captures = Captures::of(c, &[body_graph])?;
    let (mut values, types) = operands(c, &node.carried)?;
    let counter_type = scalar_type(node.body, 0, DType::I64);
    let condition = truth(&scalar_type(node.body, 1, DType::Bool))?;
    // The region's parameters are the carried values, the slices, the captures; the body's inputs start with the trip number.
    let mut params: Vec<Param> = vec![Param::Late(counter_type.clone()), Param::Constant(condition)];
    params.extend(types.iter().cloned().map(Param::Typed));
    let mut body = captures.body(c, body_graph, params)?;
    let first = body.outputs.first().copied();
    let goes_on = first.and_then(|arg| body.scope.constant(arg)).and_then(|tensor| tensor.to_ints());
    if goes_on.is_none_or(|values| values.first() != Some(&1)) {
        return unsupported("a trip may end the loop");
    }
    let results = body.values()?[1..].to_vec();
    check_types(&body, &results, &types)?;
    let region = body.finish(results);
    let shape: Vec<Dim> = [trips.clone()].into_iter().chain(counter_type.shape).collect();
    values.push(c.op(Op::Iota { shape, axis: 0, dtype: DType::I64 }, &[])?);
    values.extend(&captures.operands);
    let op = Op::Scan { carried: types.len(), scanned: 1, length: trips, reverse: false };
    let node = c.node(op, &values, vec![region])?;
    Ok(Outputs::values(c.graph().node(node).results.clone()))
}

/// The body repeated for a constant number of trips.
fn unrolled(c: &mut Context<'_, '_, '_>, node: &Loop<'_>) -> Result<Outputs> {
    let trips = node.trips.as_ref().and_then(Dim::as_const).unwrap_or(0);
    let body = c.subgraph("body")?;
    let count = node.carried.len();
    let mut carried = node.carried.clone();
    let mut collected: Vec<Vec<Arg>> = vec![Vec::new(); body.output.len() - count - 1];
    let condition_type = scalar_type(body, 1, DType::Bool);
    let counter_rank = scalar_type(body, 0, DType::I64).rank();
    let mut goes_on = node.starts == Some(true);
    for trip in 0..trips {
        if !goes_on {
            break;
        }
        let mut number = SymbolicTensor::scalar(Dim::from(trip));
        number.shape = vec![1; counter_rank];
        let number = c.scope.add_symbolic(number);
        let condition = truth(&condition_type)?;
        let condition =
            c.scope.add_constant(crate::import::onnx::scope::LazyConstant::new(String::new(), condition));
        let inputs: Vec<Arg> = [number, condition].into_iter().chain(carried.iter().copied()).collect();
        let outputs = inline_body(c, body, &inputs)?;
        let next = c.scope.constant(outputs[0]).and_then(|tensor| tensor.to_ints()?.first().copied());
        goes_on = match next {
            Some(value) => value != 0,
            None => return unsupported("data decide when the loop ends"),
        };
        carried.copy_from_slice(&outputs[1..=count]);
        collected.iter_mut().zip(&outputs[count + 1..]).for_each(|(list, arg)| list.push(*arg));
    }
    let mut results: Vec<Output> = carried.into_iter().map(Output::Same).collect();
    for list in collected {
        results.push(Output::Value(stacked(c, &list)?));
    }
    Ok(Outputs(results.into()))
}

/// Values of equal types as slices of one tensor.
fn stacked(c: &mut Context<'_, '_, '_>, list: &[Arg]) -> Result<ValueId> {
    if list.is_empty() {
        return unsupported("collects outputs of no trip");
    }
    let mut slices = Vec::with_capacity(list.len());
    for arg in list {
        let value = c.value_of(*arg)?;
        let wide: Vec<Dim> = [Dim::ONE].into_iter().chain(c.shape(value)).collect();
        slices.push(c.reshape(value, &wide)?);
    }
    super::super::slice::concat_of(c, &slices, 0)
}

/// A while loop over the trip number, the condition and the carried values.
fn as_while(c: &mut Context<'_, '_, '_>, node: &Loop<'_>) -> Result<Outputs> {
    if node.carried.iter().any(|arg| !matches!(c.scope.item(*arg), Item::Tensor { .. })) {
        return unsupported("carries a sequence or an optional, and data decide about the trips");
    }
    let is_bounded = c.has(0);
    let body_graph = c.subgraph("body")?;
    let captures = Captures::of(c, &[body_graph])?;
    let (values, types) = operands(c, &node.carried)?;
    let (counter, condition) =
        (scalar_type(node.body, 0, DType::I64), scalar_type(node.body, 1, DType::Bool));
    let start = c.scalar(DType::I64, 0.0)?;
    let start = c.reshape(start, &counter.shape)?;
    let initial = match c.optional(1)? {
        Some(initial) => c.reshape(initial, &condition.shape)?,
        None => {
            let truth = truth(&condition)?;
            c.scope.builder.constant(truth)?
        }
    };
    let mut params = vec![Param::Typed(counter.clone()), Param::Typed(condition.clone())];
    params.extend(types.iter().cloned().map(Param::Typed));
    let mut body = captures.body(c, body_graph, params)?;
    let next = body.values()?;
    let builder = &mut body.scope.builder;
    let goes_on = builder.reshape(next[0], &condition.shape)?;
    let trip = builder.graph().params()[0];
    let trip = builder.binary_scalar(BinaryOp::Add, trip, 1.0)?;
    check_types(&body, &next[1..], &types)?;
    let results: Vec<ValueId> = [trip, goes_on].into_iter().chain(next[1..].iter().copied()).collect();
    // The bound on the trips is one more capture of both regions.
    if is_bounded {
        body.scope.builder.param(TensorType::scalar(DType::I64), None);
    }
    let region = body.finish(results);
    let mut operands: Vec<ValueId> = [start, initial].into_iter().chain(values).collect();
    operands.extend(&captures.operands);
    if is_bounded {
        let trips = c.value(0)?;
        operands.push(c.reshape(trips, &[])?);
    }
    let condition_region = condition_region(c, &operands, is_bounded)?;
    let limit = node.trips.clone().unwrap_or(Dim::from(TRIP_LIMIT)).maximum(&Dim::ZERO);
    let op = Op::While { carried: types.len() + 2, trip_limit: limit };
    let node = c.node(op, &operands, vec![condition_region, region])?;
    let results = c.graph().node(node).results.clone();
    Ok(Outputs::values(results.into_iter().skip(2)))
}

/// The condition holds and the trips are not used up.
fn condition_region(
    c: &mut Context<'_, '_, '_>,
    operands: &[ValueId],
    is_bounded: bool,
) -> Result<graven_ir::Graph> {
    let types: Vec<TensorType> = operands.iter().map(|value| c.ty(*value).clone()).collect();
    let mut region = c.scope.builder.region();
    let params: Vec<ValueId> = types.into_iter().map(|ty| region.param(ty, None)).collect();
    let mut holds = region.reshape(params[1], &[])?;
    if is_bounded {
        let trip = region.reshape(params[0], &[])?;
        let is_left = region.compare(CompareOp::Lt, trip, params[params.len() - 1])?;
        holds = region.binary(BinaryOp::And, holds, is_left)?;
    }
    Ok(region.finish(vec![holds]))
}
