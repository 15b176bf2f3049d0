//! `LinearAttention`: a matrix-valued state per head that every step decays, corrects and reads.
//!
//! Equations: ONNX operator specification; rule `gated_delta` is Yang et al., "Gated Delta Networks", 2024.

use super::super::attention::split_heads;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, DType, Dim, GraphBuilder, Op, TensorType, UnaryOp, ValueId, infer::InferError};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// \[batch, time, heads · features\] as \[time, batch, heads, features\] in f32.
fn by_time(c: &mut Context<'_, '_, '_>, x: ValueId, heads: i64) -> Result<ValueId> {
    let x = c.cast(x, DType::F32)?;
    let split = split_heads(c, x, heads)?;
    Ok(c.transpose(split, &[2, 0, 1, 3])?)
}

/// `LinearAttention`.
pub(in crate::import::onnx::ops) fn linear_attention(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (q_heads, kv_heads) = (c.int_or("q_num_heads", 0)?, c.int_or("kv_num_heads", 0)?);
    if kv_heads < 1 || q_heads < 1 || q_heads % kv_heads != 0 {
        return bad_input(format!("{q_heads} query heads can't share {kv_heads} heads of keys"));
    }
    let (gated, corrected) = match c.text_or("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return bad_input(format!("there is no update rule `{other}`")),
    };
    let (query, key, value) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let dtype = c.dtype(query);
    let (q, k, v) = (by_time(c, query, q_heads)?, by_time(c, key, kv_heads)?, by_time(c, value, kv_heads)?);
    let (q_shape, v_shape) = (c.shape(q), c.shape(v));
    let (time, batch, depth, width) = (&q_shape[0], &q_shape[1], &q_shape[3], &v_shape[3]);
    let heads = Dim::from(kv_heads);
    // Query heads that share a state stand next to each other.
    let group = Dim::from(q_heads / kv_heads);
    let q = c.reshape(q, &[time.clone(), batch.clone(), heads.clone(), group, depth.clone()])?;
    let Some(features) = depth.as_const() else {
        return unsupported("the number of features is not constant");
    };
    let scale = c.float_or("scale", 0.0)?;
    let scale = if scale == 0.0 { 1.0 / (features as f64).sqrt() } else { scale };
    let state_shape = [batch.clone(), heads.clone(), depth.clone(), width.clone()];
    let (state, state_dtype) = match c.optional(3)? {
        Some(past) => (c.cast(past, DType::F32)?, c.dtype(past)),
        None => {
            let zero = c.scalar(DType::F32, 0.0)?;
            (c.broadcast_to(zero, &state_shape)?, dtype)
        }
    };
    let mut operands = vec![state, q, k, v];
    for (place, wanted) in [(4, gated), (5, corrected)] {
        if wanted {
            let gate = c.value(place)?;
            let per_head = c.shape(gate).last().is_some_and(|last| last.is(1));
            operands.push(by_time(c, gate, if per_head { 1 } else { kv_heads })?);
        }
    }
    let region = body(c, &operands, gated, scale)?;
    let op = Op::Scan { carried: 1, scanned: operands.len() - 1, length: time.clone(), reverse: false };
    let node = c.node(op, &operands, vec![region])?;
    let [state, outputs] = c.graph().node(node).results[..] else { return bad_input("has no results") };
    // [time, batch, heads, group, width] → [batch, time, all].
    let y = c.transpose(outputs, &[1, 0, 2, 3, 4])?;
    let y = c.reshape(y, &[batch.clone(), time.clone(), width * &Dim::from(q_heads)])?;
    let (y, state) = (c.cast(y, dtype)?, c.cast(state, state_dtype)?);
    Ok(Outputs::values([y, state]))
}

fn body(
    c: &mut Context<'_, '_, '_>,
    operands: &[ValueId],
    gated: bool,
    scale: f64,
) -> Result<graven_ir::Graph> {
    let types: Vec<TensorType> = operands
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let ty = c.ty(*value);
            TensorType { dtype: ty.dtype, shape: ty.shape[usize::from(place > 0)..].into() }
        })
        .collect();
    let mut builder = c.scope.builder.region();
    let b = &mut builder;
    let params: Vec<ValueId> = types.into_iter().map(|ty| b.param(ty, None)).collect();
    let [state, q, k, v, gates @ ..] = params.as_slice() else { return bad_input("has too few operands") };
    let (decay, rate) = match (gated, gates) {
        (true, [decay, rest @ ..]) => (Some(*decay), rest.first().copied()),
        (_, rest) => (None, rest.first().copied()),
    };
    let mut state = *state;
    if let Some(decay) = decay {
        let factor = b.unary(UnaryOp::Exp, decay)?;
        let factor = trailing(b, factor)?;
        state = b.binary(BinaryOp::Mul, state, factor)?;
    }
    let mut written = *v;
    if let Some(rate) = rate {
        let read = per_head(b, *k, state, 2, 2)?;
        let difference = b.binary(BinaryOp::Sub, *v, read)?;
        written = b.binary(BinaryOp::Mul, rate, difference)?;
    }
    let column = trailing(b, *k)?;
    let shape = b.shape(written);
    let row = b.reshape(written, &[shape[0].clone(), shape[1].clone(), Dim::ONE, shape[2].clone()])?;
    let outer = b.binary(BinaryOp::Mul, column, row)?;
    let state = b.binary(BinaryOp::Add, state, outer)?;
    let read = per_head(b, *q, state, 3, 2)?;
    let y = b.binary_scalar(BinaryOp::Mul, read, scale)?;
    Ok(builder.finish(vec![state, y]))
}

/// One more dimension of extent 1 at the end.
fn trailing(b: &mut GraphBuilder<'_>, x: ValueId) -> std::result::Result<ValueId, InferError> {
    let shape: Vec<Dim> = b.shape(x).into_iter().chain([Dim::ONE]).collect();
    b.reshape(x, &shape)
}

/// The product over features for each batch element and head.
fn per_head(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    state: ValueId,
    lhs: usize,
    rhs: usize,
) -> std::result::Result<ValueId, InferError> {
    let op = Op::DotGeneral {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![lhs],
        rhs_contract: vec![rhs],
    };
    b.op(op, &[x, state])
}
