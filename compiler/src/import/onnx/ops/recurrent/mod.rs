//! `RNN`, `GRU` and `LSTM` as scans over time, one per direction.
//!
//! The products of the inputs with their weights are computed for all steps at once; the scan's body multiplies the state only.
//! Where sequences of a batch have different lengths, a step beyond the end keeps the state and gives 0, and the reverse direction
//! reverses each sequence on its own.
//!
//! * [`activation`]: the activation functions with their parameters
//! * [`cell`]: the three cells
//! * [`linear_attention`]: attention with a matrix as state

mod activation;
mod cell;
mod linear_attention;

pub(super) use linear_attention::linear_attention;

use super::slice::{concat_of, reverse_prefix, slice_axis};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use activation::Activation;
use cell::{Cell, Kind, Weights};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, GraphBuilder, Op, TensorType, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The inputs of a node, batch second.
struct Inputs {
    x: ValueId,
    weights: ValueId,
    recurrence: ValueId,
    bias: Option<ValueId>,
    lengths: Option<ValueId>,
    initial: [Option<ValueId>; 2],
    peepholes: Option<ValueId>,
}

/// What one direction gives: outputs \[time, batch, hidden\], and final states \[batch, hidden\].
struct Direction {
    outputs: ValueId,
    states: Vec<ValueId>,
}

/// `RNN`.
pub(super) fn rnn(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    recurrent(c, Kind::Rnn)
}

/// `GRU`.
pub(super) fn gru(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    recurrent(c, Kind::Gru { linear_before_reset: c.flag("linear_before_reset", false)? })
}

/// `LSTM`.
pub(super) fn lstm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    recurrent(c, Kind::Lstm { input_forget: c.flag("input_forget", false)? })
}

fn inputs(c: &mut Context<'_, '_, '_>, kind: Kind, batch_first: bool) -> Result<Inputs> {
    let is_lstm = matches!(kind, Kind::Lstm { .. });
    let mut inputs = Inputs {
        x: c.value(0)?,
        weights: c.value(1)?,
        recurrence: c.value(2)?,
        bias: c.optional(3)?,
        lengths: c.optional(4)?,
        initial: [c.optional(5)?, if is_lstm { c.optional(6)? } else { None }],
        peepholes: if is_lstm { c.optional(7)? } else { None },
    };
    if c.shape(inputs.x).len() != 3
        || c.shape(inputs.weights).len() != 3
        || c.shape(inputs.recurrence).len() != 3
    {
        return bad_input("needs inputs and weights of rank 3");
    }
    if batch_first {
        inputs.x = c.transpose(inputs.x, &[1, 0, 2])?;
        for initial in inputs.initial.iter_mut().flatten() {
            *initial = c.transpose(*initial, &[1, 0, 2])?;
        }
    }
    Ok(inputs)
}

fn recurrent(c: &mut Context<'_, '_, '_>, kind: Kind) -> Result<Outputs> {
    let batch_first = c.flag("layout", false)?;
    let reversed = match c.text_or("direction", "forward")? {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return bad_input(format!("there is no direction `{other}`")),
    };
    let inputs = inputs(c, kind, batch_first)?;
    if !c.shape(inputs.weights)[0].is(reversed.len() as i64) {
        return bad_input(format!(
            "the weights {} are not for {} directions",
            c.ty(inputs.weights),
            reversed.len()
        ));
    }
    let activations = Activation::of_node(c, kind, reversed.len())?;
    let clip = c.float("clip")?;
    let mut results = Vec::with_capacity(reversed.len());
    for (place, reversed) in reversed.iter().enumerate() {
        let functions = activations[place * kind.functions()..(place + 1) * kind.functions()].to_vec();
        let cell = Cell { kind, functions, clip };
        results.push(direction(c, &inputs, &cell, place, *reversed)?);
    }
    collect(c, &results, batch_first)
}

/// The results of all directions: Y \[time, directions, batch, hidden\], then the states \[directions, batch, hidden\].
fn collect(c: &mut Context<'_, '_, '_>, results: &[Direction], batch_first: bool) -> Result<Outputs> {
    let mut stacked = |values: Vec<ValueId>, axis: usize| -> Result<ValueId> {
        let mut parts = Vec::with_capacity(values.len());
        for value in values {
            let mut shape = c.shape(value).to_vec();
            shape.insert(axis, Dim::ONE);
            parts.push(c.reshape(value, &shape)?);
        }
        concat_of(c, &parts, axis)
    };
    let mut outputs = vec![stacked(results.iter().map(|direction| direction.outputs).collect(), 1)?];
    let states = results.first().map_or(0, |direction| direction.states.len());
    for state in 0..states {
        outputs.push(stacked(results.iter().map(|direction| direction.states[state]).collect(), 0)?);
    }
    if batch_first {
        outputs[0] = c.transpose(outputs[0], &[2, 0, 1, 3])?;
        for state in &mut outputs[1..] {
            *state = c.transpose(*state, &[1, 0, 2])?;
        }
    }
    Ok(Outputs::values(outputs))
}

/// One slice of the leading dimension, without that dimension.
fn row(c: &mut Context<'_, '_, '_>, x: ValueId, place: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    let row = slice_axis(c, x, 0, Dim::from(place), Dim::from(place + 1))?;
    Ok(c.reshape(row, &shape[1..])?)
}

/// Scans one direction.
fn direction(
    c: &mut Context<'_, '_, '_>,
    inputs: &Inputs,
    cell: &Cell,
    place: usize,
    reversed: bool,
) -> Result<Direction> {
    let weights = row(c, inputs.weights, place)?;
    let recurrence = row(c, inputs.recurrence, place)?;
    let shape = c.shape(inputs.x);
    let (time, batch) = (shape[0].clone(), shape[1].clone());
    let hidden = c.shape(recurrence)[1].clone();
    let by_length = inputs.lengths.filter(|_| reversed);
    let x = match by_length {
        Some(lengths) => reverse_time(c, inputs.x, lengths)?,
        None => inputs.x,
    };
    let product =
        Op::DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![2], rhs_contract: vec![1] };
    let mut projected = c.op(product, &[x, weights])?;
    let gates = c.shape(weights)[0].clone();
    let mut state_bias = None;
    if let Some(bias) = inputs.bias {
        let bias = row(c, bias, place)?;
        let input_bias = slice_axis(c, bias, 0, Dim::ZERO, gates.clone())?;
        let end = &gates + &gates;
        state_bias = Some(slice_axis(c, bias, 0, gates, end)?);
        projected = c.binary(BinaryOp::Add, projected, input_bias)?;
    }
    let mut states = Vec::with_capacity(cell.kind.states());
    for initial in inputs.initial.iter().take(cell.kind.states()) {
        states.push(match initial {
            Some(initial) => row(c, *initial, place)?,
            None => {
                let zero = c.scalar_like(projected, 0.0)?;
                c.broadcast_to(zero, &[batch.clone(), hidden.clone()])?
            }
        });
    }
    let peepholes = match inputs.peepholes {
        Some(peepholes) => Some(row(c, peepholes, place)?),
        None => None,
    };
    let captures: Vec<ValueId> = [recurrence].into_iter().chain(state_bias).chain(peepholes).collect();
    let mut operands = states;
    operands.push(projected);
    if let Some(lengths) = inputs.lengths {
        operands.push(c.op(Op::Iota { shape: vec![time.clone()], axis: 0, dtype: DType::I64 }, &[])?);
        operands.extend(&captures);
        let lengths = c.cast(lengths, DType::I64)?;
        operands.push(c.reshape(lengths, &[batch, Dim::ONE])?);
    } else {
        operands.extend(&captures);
    }
    let has = [state_bias.is_some(), peepholes.is_some(), inputs.lengths.is_some()];
    let region = body(c, &operands, cell, has)?;
    let op = Op::Scan {
        carried: cell.kind.states(),
        scanned: if inputs.lengths.is_some() { 2 } else { 1 },
        length: time,
        reverse: reversed && by_length.is_none(),
    };
    let node = c.node(op, &operands, vec![region])?;
    let results = c.graph().node(node).results.to_vec();
    let Some((outputs, states)) = results.split_last() else { return bad_input("has no results") };
    let outputs = match by_length {
        Some(lengths) => reverse_time(c, *outputs, lengths)?,
        None => *outputs,
    };
    Ok(Direction { outputs, states: states.to_vec() })
}

/// \[time, batch, …\] with the first steps of each sequence reversed.
fn reverse_time(c: &mut Context<'_, '_, '_>, x: ValueId, lengths: ValueId) -> Result<ValueId> {
    let x = c.transpose(x, &[1, 0, 2])?;
    let reversed = reverse_prefix(c, x, lengths)?;
    Ok(c.transpose(reversed, &[1, 0, 2])?)
}

/// The body of a scan whose operands are states, projected inputs, step numbers where lengths differ, then captures.
fn body(
    c: &mut Context<'_, '_, '_>,
    operands: &[ValueId],
    cell: &Cell,
    [has_bias, has_peepholes, has_lengths]: [bool; 3],
) -> Result<graven_ir::Graph> {
    let states = cell.kind.states();
    let scanned = if has_lengths { 2 } else { 1 };
    let types: Vec<TensorType> = operands
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let ty = c.ty(*value);
            let is_sliced = (states..states + scanned).contains(&place);
            TensorType { dtype: ty.dtype, shape: ty.shape[usize::from(is_sliced)..].into() }
        })
        .collect();
    let mut builder: GraphBuilder<'_> = c.scope.builder.region();
    let params: Vec<ValueId> = types.into_iter().map(|ty| builder.param(ty, None)).collect();
    let mut rest = params[states + scanned..].iter().copied();
    let Some(recurrence) = rest.next() else { return bad_input("has no recurrence weights") };
    let weights = Weights {
        recurrence,
        bias: if has_bias { rest.next() } else { None },
        peepholes: if has_peepholes { rest.next() } else { None },
    };
    let old = &params[..states];
    let mut new = cell.step(&mut builder, params[states], old, &weights)?;
    let mut output = new[0];
    if let (true, Some(lengths)) = (has_lengths, rest.next()) {
        let step = params[states + 1];
        let is_inside = builder.compare(CompareOp::Lt, step, lengths)?;
        for (new, old) in new.iter_mut().zip(old) {
            *new = builder.select(is_inside, *new, *old)?;
        }
        let zero = builder.scalar(builder.dtype(output), 0.0);
        output = builder.select(is_inside, output, zero?)?;
    }
    new.push(output);
    Ok(builder.finish(new))
}
