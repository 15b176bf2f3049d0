//! `Attention` and `RotaryEmbedding`.
//!
//! Which keys a query sees is computed as one bias, so that the common case is a single `attention` of the IR. A query that sees no
//! key at all gives zeros, not NaN, as the specification of `Attention` says.

use super::indexing::extent_value;
use super::slice::{concat_of, pad_with, slice_axis};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Real, ReduceOp, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Queries, keys and values as \[batch, heads, sequence, features\].
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) q: ValueId,
    pub(super) k: ValueId,
    pub(super) v: ValueId,
}

/// Which keys a query sees.
#[derive(Default)]
pub(super) struct Visibility {
    /// bool, true where a key takes part, or a float that is added to the score; broadcast to \[batch, heads, queries, keys\].
    pub(super) mask: Option<ValueId>,
    /// Only keys up to the query's own place.
    pub(super) causal: bool,
    /// How many keys before the query's place, and after it, take part.
    pub(super) window: (Option<i64>, Option<i64>),
    /// Place of the first query among the keys.
    pub(super) offset: Offset,
    /// Keys per batch element that take part, i64\[batch\].
    pub(super) valid_keys: Option<ValueId>,
}

/// The place of the first query among the keys.
#[derive(Default)]
pub(super) enum Offset {
    /// 0.
    #[default]
    Zero,
    /// The same for all batch elements.
    Same(Dim),
    /// The last queries belong to the last valid keys of each batch element.
    Aligned,
}

/// How scores become weights.
pub(super) struct Scoring {
    pub(super) scale: f64,
    /// Scores are limited to ±softcap by a tanh.
    pub(super) softcap: Option<f64>,
    pub(super) softmax_dtype: Option<DType>,
    /// Which stage of the scores is an output too.
    pub(super) stage: Option<i64>,
}

/// \[batch, sequence, heads · features\] as \[batch, heads, sequence, features\].
pub(super) fn split_heads(c: &mut Context<'_, '_, '_>, x: ValueId, heads: i64) -> Result<ValueId> {
    let shape = c.shape(x);
    let [batch, length, hidden] = shape.as_slice() else { return bad_input("needs tensors of rank 3 or 4") };
    if heads < 1 {
        return bad_input("needs the number of heads");
    }
    let heads = Dim::from(heads);
    let split = c.reshape(x, &[batch.clone(), length.clone(), heads.clone(), hidden.floor_div(&heads)])?;
    Ok(c.transpose(split, &[0, 2, 1, 3])?)
}

/// \[batch, heads, sequence, features\] as \[batch, sequence, heads · features\].
pub(super) fn join_heads(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
    let moved = c.transpose(x, &[0, 2, 1, 3])?;
    let shape = c.shape(moved);
    let [batch, length, heads, features] = shape.as_slice() else {
        return bad_input("needs tensors of rank 4");
    };
    Ok(c.reshape(moved, &[batch.clone(), length.clone(), heads * features])?)
}

/// Repeats each head of keys or values for the query heads that share it.
pub(super) fn repeat_heads(c: &mut Context<'_, '_, '_>, x: ValueId, heads: &Dim) -> Result<ValueId> {
    let shape = c.shape(x);
    let repeats = heads.floor_div(&shape[1]);
    if repeats.is(1) {
        return Ok(x);
    }
    let mut split = shape.to_vec();
    split.insert(2, repeats);
    let repeated = c.op(Op::Broadcast { shape: split, dimensions: vec![0, 1, 3, 4] }, &[x])?;
    let mut joined = shape.to_vec();
    joined[1] = heads.clone();
    Ok(c.reshape(repeated, &joined)?)
}

/// `Attention`.
pub(super) fn attention(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (q, k, v) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let is_flat = c.shape(q).len() == 3;
    let (q_heads, kv_heads) = (c.int_or("q_num_heads", 0)?, c.int_or("kv_num_heads", 0)?);
    let mut heads = match is_flat {
        true => Heads {
            q: split_heads(c, q, q_heads)?,
            k: split_heads(c, k, kv_heads)?,
            v: split_heads(c, v, kv_heads)?,
        },
        false => Heads { q, k, v },
    };
    let (past_key, past_value) = (c.optional(4)?, c.optional(5)?);
    let past = past_key.map(|past| c.shape(past)[..].get(2).cloned().unwrap_or(Dim::ZERO));
    if let (Some(key), Some(value)) = (past_key, past_value) {
        heads.k = concat_of(c, &[key, heads.k], 2)?;
        heads.v = concat_of(c, &[value, heads.v], 2)?;
    }
    let valid_keys = c.optional(6)?;
    let window = (c.int_or("left_window_size", -1)?, c.int_or("right_window_size", -1)?);
    let visibility = Visibility {
        mask: c.optional(3)?,
        causal: c.flag("is_causal", false)?,
        window: (Some(window.0).filter(|n| *n >= 0), Some(window.1).filter(|n| *n >= 0)),
        offset: match (past, valid_keys) {
            (Some(past), _) => Offset::Same(past),
            (None, Some(_)) => Offset::Aligned,
            (None, None) => Offset::Zero,
        },
        valid_keys,
    };
    let features = c.shape(heads.q).last().and_then(Dim::as_const);
    let scale = match (c.float("scale")?, features) {
        (Some(scale), _) => scale,
        (None, Some(features)) => 1.0 / (features as f64).sqrt(),
        (None, None) => return unsupported("the number of features is not constant"),
    };
    let scoring = Scoring {
        scale,
        softcap: c.float("softcap")?.filter(|cap| *cap > 0.0),
        softmax_dtype: c.dtype_attribute("softmax_precision")?,
        stage: if c.wants(3) { Some(c.int_or("qk_matmul_output_mode", 0)?) } else { None },
    };
    let present = [heads.k, heads.v];
    let (y, scores) = attend(c, heads, visibility, &scoring)?;
    let y = if is_flat { join_heads(c, y)? } else { y };
    Ok(Outputs::values([y, present[0], present[1]].into_iter().chain(scores)))
}

/// The attention of all heads, and the stage of the scores that is asked for.
pub(super) fn attend(
    c: &mut Context<'_, '_, '_>,
    heads: Heads,
    visibility: Visibility,
    scoring: &Scoring,
) -> Result<(ValueId, Option<ValueId>)> {
    let Heads { q, k, v } = heads;
    let (queries, keys) = (c.shape(q), c.shape(k));
    if queries.len() != 4 || keys.len() != 4 || c.shape(v).len() != 4 {
        return bad_input("needs tensors of rank 3 or 4");
    }
    let dtype = c.dtype(q);
    let k = repeat_heads(c, k, &queries[1])?;
    let v = repeat_heads(c, v, &queries[1])?;
    // The IR's causal attention aligns the last query with the last key.
    let is_aligned = match &visibility.offset {
        Offset::Zero => queries[2] == keys[2],
        Offset::Same(offset) => &queries[2] + offset == keys[2],
        Offset::Aligned => false,
    };
    let is_plain_causal = visibility.causal
        && is_aligned
        && visibility.mask.is_none()
        && visibility.window == (None, None)
        && visibility.valid_keys.is_none();
    let has_stages = scoring.softcap.is_some()
        || scoring.stage.is_some()
        || scoring.softmax_dtype.is_some_and(|softmax| softmax.bytes() > dtype.bytes().max(4));
    if is_plain_causal && !has_stages {
        let op = Op::Attention { scale: Real::from(scoring.scale), causal: true };
        return Ok((c.op(op, &[q, k, v])?, None));
    }
    let shape = [queries[0].clone(), queries[1].clone(), queries[2].clone(), keys[2].clone()];
    let bias = bias(c, &shape, &visibility, dtype)?;
    let blind = match bias {
        Some(bias) => Some(sees_nothing(c, bias)?),
        None => None,
    };
    if has_stages {
        return stages(c, Heads { q, k, v }, bias, blind, scoring);
    }
    let mut operands = vec![q, k, v];
    if let Some(bias) = bias {
        operands.push(c.broadcast_to(bias, &shape)?);
    }
    let y = c.op(Op::Attention { scale: Real::from(scoring.scale), causal: false }, &operands)?;
    Ok((zeroed(c, y, blind)?, None))
}

/// The attention step by step.
fn stages(
    c: &mut Context<'_, '_, '_>,
    Heads { q, k, v }: Heads,
    bias: Option<ValueId>,
    blind: Option<ValueId>,
    scoring: &Scoring,
) -> Result<(ValueId, Option<ValueId>)> {
    let dtype = c.dtype(q);
    let root = scoring.scale.abs().sqrt();
    let (q, k) = (
        c.binary_scalar(BinaryOp::Mul, q, root.copysign(scoring.scale))?,
        c.binary_scalar(BinaryOp::Mul, k, root)?,
    );
    let contract = |rhs: usize| Op::DotGeneral {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![rhs],
    };
    let mut scores = c.op(contract(3), &[q, k])?;
    let mut stage = scores;
    if let Some(cap) = scoring.softcap {
        let scaled = c.binary_scalar(BinaryOp::Div, scores, cap)?;
        let limited = c.unary(UnaryOp::Tanh, scaled)?;
        scores = c.binary_scalar(BinaryOp::Mul, limited, cap)?;
    }
    if scoring.stage == Some(1) {
        stage = scores;
    }
    if let Some(bias) = bias {
        scores = c.binary(BinaryOp::Add, scores, bias)?;
    }
    if scoring.stage == Some(2) {
        stage = scores;
    }
    if let Some(wide) = scoring.softmax_dtype {
        scores = c.cast(scores, wide)?;
    }
    let weights = c.op(Op::Softmax { axis: 3 }, &[scores])?;
    let weights = zeroed(c, weights, blind)?;
    let weights = c.cast(weights, dtype)?;
    if scoring.stage == Some(3) {
        stage = weights;
    }
    let y = c.op(contract(2), &[weights, v])?;
    Ok((y, scoring.stage.map(|_| stage)))
}

/// Rows of queries that see no key, with the last extent 1.
fn sees_nothing(c: &mut Context<'_, '_, '_>, bias: ValueId) -> Result<ValueId> {
    let axis = c.shape(bias).len() - 1;
    let highest = c.reduce(ReduceOp::Max, bias, &[axis], true)?;
    super::elementwise::compare_scalar(c, CompareOp::Eq, highest, f64::NEG_INFINITY)
}

fn zeroed(c: &mut Context<'_, '_, '_>, x: ValueId, rows: Option<ValueId>) -> Result<ValueId> {
    let Some(rows) = rows else { return Ok(x) };
    let zero = c.scalar_like(x, 0.0)?;
    Ok(c.select(rows, zero, x)?)
}

/// What is added to the scores: −∞ where a key does not take part. It is broadcast to `shape`.
fn bias(
    c: &mut Context<'_, '_, '_>,
    shape: &[Dim; 4],
    visibility: &Visibility,
    dtype: DType,
) -> Result<Option<ValueId>> {
    let mut allowed: Option<ValueId> = None;
    let mut added = None;
    if let Some(mask) = visibility.mask {
        let mask = padded_mask(c, mask, &shape[3])?;
        match c.dtype(mask) {
            DType::Bool => allowed = Some(mask),
            _ => added = Some(c.cast(mask, dtype)?),
        }
    }
    for condition in conditions(c, shape, visibility)? {
        allowed = Some(match allowed {
            None => condition,
            Some(allowed) => c.binary(BinaryOp::And, allowed, condition)?,
        });
    }
    let Some(allowed) = allowed else { return Ok(added) };
    let visible = match added {
        Some(added) => added,
        None => c.scalar(dtype, 0.0)?,
    };
    let hidden = c.scalar(dtype, f64::NEG_INFINITY)?;
    let bias = c.select(allowed, visible, hidden)?;
    // A scalar or vector still needs the dimension of queries to be judged row by row.
    let rank = c.shape(bias).len();
    match rank {
        0 | 1 => Ok(Some(c.broadcast_to(bias, &shape[2..])?)),
        _ => Ok(Some(bias)),
    }
}

/// A mask that is shorter than the keys hides the rest.
fn padded_mask(c: &mut Context<'_, '_, '_>, mask: ValueId, keys: &Dim) -> Result<ValueId> {
    let shape = c.shape(mask);
    let Some(last) = shape.last() else { return Ok(mask) };
    if last == keys || last.is(1) {
        return Ok(mask);
    }
    let hidden = if c.dtype(mask) == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
    let hidden = c.scalar_like(mask, hidden)?;
    let mut high = vec![Dim::ZERO; shape.len()];
    if let Some(amount) = high.last_mut() {
        *amount = keys - last;
    }
    pad_with(c, mask, vec![Dim::ZERO; shape.len()], high, hidden)
}

/// Truth values that must all hold for a key to take part.
fn conditions(
    c: &mut Context<'_, '_, '_>,
    shape: &[Dim; 4],
    visibility: &Visibility,
) -> Result<Vec<ValueId>> {
    let grid = [shape[2].clone(), shape[3].clone()];
    let count = |axis| Op::Iota { shape: grid.to_vec(), axis, dtype: DType::I64 };
    let key = c.op(count(1), &[])?;
    let mut conditions = Vec::new();
    let valid = match visibility.valid_keys {
        Some(valid) => {
            let valid = c.cast(valid, DType::I64)?;
            Some(c.reshape(valid, &[shape[0].clone(), Dim::ONE, Dim::ONE, Dim::ONE])?)
        }
        None => None,
    };
    let right = if visibility.causal { Some(0) } else { None };
    let bounds = [right, visibility.window.1];
    let right = bounds.into_iter().flatten().min();
    if right.is_some() || visibility.window.0.is_some() {
        let query = c.op(count(0), &[])?;
        let place = match (&visibility.offset, valid) {
            (Offset::Zero, _) => query,
            (Offset::Same(offset), _) => {
                let offset = extent_value(c, offset, DType::I64)?;
                c.binary(BinaryOp::Add, query, offset)?
            }
            (Offset::Aligned, Some(valid)) => {
                let queries = extent_value(c, &shape[2], DType::I64)?;
                let offset = c.binary(BinaryOp::Sub, valid, queries)?;
                c.binary(BinaryOp::Add, query, offset)?
            }
            (Offset::Aligned, None) => return bad_input("needs the number of valid keys"),
        };
        if let Some(right) = right {
            let last = c.binary_scalar(BinaryOp::Add, place, right as f64)?;
            conditions.push(c.compare(CompareOp::Le, key, last)?);
        }
        if let Some(left) = visibility.window.0 {
            let first = c.binary_scalar(BinaryOp::Sub, place, left as f64)?;
            conditions.push(c.compare(CompareOp::Ge, key, first)?);
        }
    }
    if let Some(valid) = valid {
        conditions.push(c.compare(CompareOp::Lt, key, valid)?);
    }
    Ok(conditions)
}

/// `RotaryEmbedding` (Su et al., 2021): pairs of features rotated by angles of their position.
pub(super) fn rotary_embedding(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, cos, sin, positions) = (c.value(0)?, c.value(1)?, c.value(2)?, c.optional(3)?);
    let interleaved = c.flag("interleaved", false)?;
    let rotated = c.int_or("rotary_embedding_dim", 0)?;
    let heads = c.int_or("num_heads", 0)?;
    let settings = Rotary { interleaved, rotated, heads };
    Ok(rotate(c, x, [cos, sin], positions, &settings)?.into())
}

/// How features are rotated.
pub(super) struct Rotary {
    /// Pairs are neighbours rather than elements of two halves.
    pub(super) interleaved: bool,
    /// Features that are rotated; 0 for all.
    pub(super) rotated: i64,
    /// Number of heads, needed where they are flattened.
    pub(super) heads: i64,
}

/// The rotation of \[batch, heads, sequence, features\] or \[batch, sequence, heads · features\].
pub(super) fn rotate(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    caches: [ValueId; 2],
    positions: Option<ValueId>,
    settings: &Rotary,
) -> Result<ValueId> {
    let is_flat = c.shape(x).len() == 3;
    let x = if is_flat { split_heads(c, x, settings.heads)? } else { x };
    let shape = c.shape(x);
    let [batch, _, length, features] = shape.as_slice() else {
        return bad_input("needs a tensor of rank 3 or 4");
    };
    let rotated = if settings.rotated > 0 { Dim::from(settings.rotated) } else { features.clone() };
    let half = rotated.floor_div(&Dim::from(2));
    let mut angles = Vec::with_capacity(2);
    for cache in caches {
        let rows = match positions {
            Some(positions) => c.op(Op::Gather { axis: 0 }, &[cache, positions])?,
            None => cache,
        };
        let rows = match c.shape(rows).len() {
            2 => c.broadcast_to(rows, &[batch.clone(), length.clone(), half.clone()])?,
            _ => rows,
        };
        // The same for all heads.
        angles.push(c.reshape(rows, &[batch.clone(), Dim::ONE, length.clone(), half.clone()])?);
    }
    let [cos, sin] = angles[..] else { return bad_input("needs cosines and sines") };
    let head = slice_axis(c, x, 3, Dim::ZERO, rotated.clone())?;
    let (first, second) = pairs(c, head, &half, settings.interleaved)?;
    let product =
        |c: &mut Context<'_, '_, '_>, a, b| Ok::<ValueId, Failure>(c.binary(BinaryOp::Mul, a, b)?);
    let (a, b) = (product(c, first, cos)?, product(c, second, sin)?);
    let real = c.binary(BinaryOp::Sub, a, b)?;
    let (a, b) = (product(c, first, sin)?, product(c, second, cos)?);
    let imaginary = c.binary(BinaryOp::Add, a, b)?;
    let mut parts = vec![joined(c, real, imaginary, settings.interleaved)?];
    if rotated != *features {
        parts.push(slice_axis(c, x, 3, rotated, features.clone())?);
    }
    let y = concat_of(c, &parts, 3)?;
    if is_flat { join_heads(c, y) } else { Ok(y) }
}

/// First and second elements of the pairs, each \[…, half\].
fn pairs(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    half: &Dim,
    interleaved: bool,
) -> Result<(ValueId, ValueId)> {
    if !interleaved {
        let end = half * &Dim::from(2);
        return Ok((slice_axis(c, x, 3, Dim::ZERO, half.clone())?, slice_axis(c, x, 3, half.clone(), end)?));
    }
    let mut split = c.shape(x).to_vec();
    split[3] = half.clone();
    let single = split.clone();
    split.push(Dim::from(2));
    let split = c.reshape(x, &split)?;
    let first = slice_axis(c, split, 4, Dim::ZERO, Dim::ONE)?;
    let second = slice_axis(c, split, 4, Dim::ONE, Dim::from(2))?;
    Ok((c.reshape(first, &single)?, c.reshape(second, &single)?))
}

/// The inverse of [`pairs`].
fn joined(
    c: &mut Context<'_, '_, '_>,
    first: ValueId,
    second: ValueId,
    interleaved: bool,
) -> Result<ValueId> {
    if !interleaved {
        return concat_of(c, &[first, second], 3);
    }
    let shape = c.shape(first);
    let wide: Vec<Dim> = shape.iter().cloned().chain([Dim::ONE]).collect();
    let (first, second) = (c.reshape(first, &wide)?, c.reshape(second, &wide)?);
    let together = concat_of(c, &[first, second], 4)?;
    let mut flat = shape.to_vec();
    flat[3] = &flat[3] * &Dim::from(2);
    Ok(c.reshape(together, &flat)?)
}
