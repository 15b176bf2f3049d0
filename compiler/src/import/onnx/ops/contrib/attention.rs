//! `Attention`, `MultiHeadAttention`, `RotaryEmbedding`.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use crate::import::onnx::ops::attention::{
    Heads, Offset, Rotary, Scoring, Visibility, attend, join_heads, rotate, split_heads,
};
use crate::import::onnx::ops::matmul::matmul_of;
use crate::import::onnx::ops::slice::{concat_of, slice_axis};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The number of heads, and of the features of a head of queries.
fn heads_and_scale(c: &Context<'_, '_, '_>, hidden: &Dim) -> Result<(i64, f64)> {
    let heads = match c.int("num_heads")? {
        Some(heads @ 1..) => heads,
        _ => return bad_input("attribute `num_heads` is missing"),
    };
    match (c.float("scale")?.filter(|scale| *scale != 0.0), hidden.as_const()) {
        (Some(scale), _) => Ok((heads, scale)),
        (None, Some(hidden)) => Ok((heads, 1.0 / ((hidden / heads) as f64).sqrt())),
        (None, None) => unsupported("the number of features is not constant"),
    }
}

/// `condition` as something to add to the scores: 0 where it holds, else the attribute `mask_filter_value`.
fn filtered(c: &mut Context<'_, '_, '_>, condition: ValueId, dtype: DType) -> Result<ValueId> {
    let hidden = c.float_or("mask_filter_value", -10000.0)?;
    let (hidden, visible) = (c.scalar(dtype, hidden)?, c.scalar(dtype, 0.0)?);
    Ok(c.select(condition, visible, hidden)?)
}

/// A mask of keys as something to add to the scores \[batch, heads, queries, keys\]: the number of valid keys \[batch\], or truth values
/// \[batch, keys\] or \[batch, queries, keys\].
fn key_mask(
    c: &mut Context<'_, '_, '_>,
    mask: ValueId,
    batch: &Dim,
    keys: &Dim,
    dtype: DType,
) -> Result<ValueId> {
    let shape = c.shape(mask);
    let visible = match shape.as_slice() {
        [lengths] if lengths == batch => {
            let lengths = c.cast(mask, DType::I64)?;
            let lengths = c.reshape(lengths, &[batch.clone(), Dim::ONE, Dim::ONE, Dim::ONE])?;
            let key = c.op(Op::Iota { shape: vec![keys.clone()], axis: 0, dtype: DType::I64 }, &[])?;
            c.compare(CompareOp::Lt, key, lengths)?
        }
        [batch, keys] | [batch, _, keys] => {
            let queries = if shape.len() == 3 { shape[1].clone() } else { Dim::ONE };
            let aligned = c.reshape(mask, &[batch.clone(), Dim::ONE, queries, keys.clone()])?;
            let zero = c.scalar_like(aligned, 0.0)?;
            c.compare(CompareOp::Ne, aligned, zero)?
        }
        _ => return unsupported(format!("a mask of the type {}", c.ty(mask))),
    };
    filtered(c, visible, dtype)
}

/// The sum of what is there.
fn added(c: &mut Context<'_, '_, '_>, a: Option<ValueId>, b: Option<ValueId>) -> Result<Option<ValueId>> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some(c.binary(BinaryOp::Add, a, b)?)),
        (one, other) => Ok(one.or(other)),
    }
}

/// Part `place` of a vector, for the result of a product.
fn bias_part(c: &mut Context<'_, '_, '_>, x: ValueId, bias: Option<ValueId>, start: &Dim) -> Result<ValueId> {
    let Some(bias) = bias else { return Ok(x) };
    let Some(width) = c.shape(x).last().cloned() else { return bad_input("needs tensors of rank 3") };
    let part = slice_axis(c, bias, 0, start.clone(), start + &width)?;
    Ok(c.binary(BinaryOp::Add, x, part)?)
}

/// How much the attention sees.
struct Sight {
    mask: Option<ValueId>,
    past: Option<Dim>,
    scale: f64,
}

/// The attention of all heads, joined.
fn joined_attention(c: &mut Context<'_, '_, '_>, heads: Heads, sight: Sight) -> Result<ValueId> {
    let visibility = Visibility {
        mask: sight.mask,
        causal: c.flag("unidirectional", false)?,
        offset: sight.past.map_or(Offset::Zero, Offset::Same),
        ..Visibility::default()
    };
    let scoring = Scoring { scale: sight.scale, softcap: None, softmax_dtype: None, stage: None };
    let (y, _) = attend(c, heads, visibility, &scoring)?;
    join_heads(c, y)
}

/// `Attention`: queries, keys and values are products of one input with one matrix.
pub(in crate::import::onnx::ops) fn attention(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, weights, bias, mask) = (c.value(0)?, c.value(1)?, c.optional(2)?, c.optional(3)?);
    let (past, added_bias) = (c.optional(4)?, c.optional(5)?);
    if c.flag("do_rotary", false)? || c.flag("past_present_share_buffer", false)? {
        return unsupported("rotary positions or a shared buffer of the past");
    }
    let (shape, columns) = (c.shape(x), c.shape(weights));
    let ([batch, _, _], [_, width]) = (shape.as_slice(), columns.as_slice()) else {
        return bad_input("needs an input of rank 3 and a matrix");
    };
    let sizes = match c.ints("qkv_hidden_sizes")?.unwrap_or(&[]) {
        [] => vec![width.floor_div(&Dim::from(3)); 3],
        [q, k, v] => vec![Dim::from(*q), Dim::from(*k), Dim::from(*v)],
        other => return bad_input(format!("attribute `qkv_hidden_sizes` is {other:?}")),
    };
    let (heads, scale) = heads_and_scale(c, &sizes[0])?;
    let mut product = matmul_of(c, x, weights)?;
    if let Some(bias) = bias {
        product = c.binary(BinaryOp::Add, product, bias)?;
    }
    let mut start = Dim::ZERO;
    let mut parts = Vec::with_capacity(3);
    for size in &sizes {
        let end = &start + size;
        let part = slice_axis(c, product, 2, start, end.clone())?;
        parts.push(split_heads(c, part, heads)?);
        start = end;
    }
    let [q, mut k, mut v] = parts[..] else { return bad_input("needs three parts") };
    let mut length = None;
    if let Some(past) = past {
        // [2, batch, heads, past, features].
        let shape = c.shape(past);
        let single: Vec<Dim> = shape.iter().skip(1).cloned().collect();
        for (place, current) in [&mut k, &mut v].into_iter().enumerate() {
            let old = slice_axis(c, past, 0, Dim::from(place), Dim::from(place + 1))?;
            let old = c.reshape(old, &single)?;
            *current = concat_of(c, &[old, *current], 2)?;
        }
        length = single.get(2).cloned();
    }
    let (keys, dtype) = (c.shape(k)[2].clone(), c.dtype(q));
    let mask = match mask {
        Some(mask) => Some(key_mask(c, mask, batch, &keys, dtype)?),
        None => None,
    };
    let mask = added(c, mask, added_bias)?;
    let y = joined_attention(c, Heads { q, k, v }, Sight { mask, past: length, scale })?;
    if !c.wants(1) {
        return Ok(y.into());
    }
    let mut present = Vec::with_capacity(2);
    for value in [k, v] {
        let wide: Vec<Dim> = [Dim::ONE].into_iter().chain(c.shape(value)).collect();
        present.push(c.reshape(value, &wide)?);
    }
    let present = concat_of(c, &present, 0)?;
    Ok(Outputs::values([y, present]))
}

/// `MultiHeadAttention`: queries, keys and values are separate; keys and values may be split into heads already.
pub(in crate::import::onnx::ops) fn multi_head_attention(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let q = c.value(0)?;
    let (Some(k), Some(v)) = (c.optional(1)?, c.optional(2)?) else {
        return unsupported("packed queries, keys and values");
    };
    let (bias, mask, added_bias) = (c.optional(3)?, c.optional(4)?, c.optional(5)?);
    let (past_key, past_value) = (c.optional(6)?, c.optional(7)?);
    let shape = c.shape(q);
    let [batch, _, hidden] = shape.as_slice() else {
        return unsupported("packed queries, keys and values");
    };
    let (heads, scale) = heads_and_scale(c, hidden)?;
    let q = bias_part(c, q, bias, &Dim::ZERO)?;
    let q = split_heads(c, q, heads)?;
    let mut start = hidden.clone();
    let mut sides = Vec::with_capacity(2);
    for (value, past) in [(k, past_key), (v, past_value)] {
        let is_flat = c.shape(value).len() == 3;
        let mut side = value;
        if is_flat {
            side = bias_part(c, value, bias, &start)?;
            start = match c.shape(value).last() {
                Some(width) => start + width,
                None => start,
            };
            side = split_heads(c, side, heads)?;
        }
        if let Some(past) = past {
            side = concat_of(c, &[past, side], 2)?;
        }
        sides.push(side);
    }
    let [k, v] = sides[..] else { return bad_input("needs keys and values") };
    let (keys, dtype) = (c.shape(k)[2].clone(), c.dtype(q));
    let mask = match mask {
        Some(mask) => Some(key_mask(c, mask, batch, &keys, dtype)?),
        None => None,
    };
    let mask = added(c, mask, added_bias)?;
    let past = past_key.and_then(|past| c.shape(past).get(2).cloned());
    let y = joined_attention(c, Heads { q, k, v }, Sight { mask, past, scale })?;
    Ok(Outputs::values([y, k, v]))
}

/// `RotaryEmbedding`: the positions are those of each element, or the first one.
pub(in crate::import::onnx::ops) fn rotary_embedding(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, positions, cos, sin) = (c.value(0)?, c.value(1)?, c.value(2)?, c.value(3)?);
    if c.flag("is_packed_batching", false)? || c.float_or("scale", 1.0)? != 1.0 {
        return unsupported("packed batches or scaled positions");
    }
    let shape = c.shape(x);
    let rotated = c.int_or("rotary_embedding_dim", 0)?;
    let half = c.shape(cos).last().cloned().unwrap_or(Dim::ONE);
    let heads = match (c.int_or("num_heads", 0)?, shape.as_slice()) {
        (0, [_, _, hidden]) => hidden.floor_div(&(&half * 2)).as_const().unwrap_or(0),
        (heads, _) => heads,
    };
    let (batch, length) = match shape.as_slice() {
        [batch, length, _] | [batch, _, length, _] => (batch.clone(), length.clone()),
        _ => return bad_input("needs a tensor of rank 3 or 4"),
    };
    let positions = match c.shape(positions).len() {
        2 => positions,
        _ => {
            let grid = [batch, length];
            let first = c.cast(positions, DType::I64)?;
            let first = c.reshape(first, &[])?;
            let step = c.op(Op::Iota { shape: grid.to_vec(), axis: 1, dtype: DType::I64 }, &[])?;
            c.binary(BinaryOp::Add, step, first)?
        }
    };
    let settings = Rotary { interleaved: c.flag("interleaved", false)?, rotated, heads };
    Ok(rotate(c, x, [cos, sin], Some(positions), &settings)?.into())
}
