//! Normalisations of sums, and embeddings.

use crate::import::onnx::context::{NodeContext, Output, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use crate::import::onnx::ops::norm::{layer_norm_of, rms_norm_of};
use crate::import::onnx::ops::slice::slice_axis;
use graven_ir::{BinaryOp, DType, Dim, Op, ReduceOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Outputs that only training uses may be left out; here they must be.
fn without_statistics(c: &Context<'_, '_, '_>) -> Result<()> {
    match c.wants(1) || c.wants(2) {
        true => crate::import::onnx::failure::unsupported("mean and deviation as outputs"),
        false => Ok(()),
    }
}

/// The normalised sum, nothing in the places of the statistics, the sum.
fn outputs(normalized: ValueId, sum: ValueId) -> Outputs {
    Outputs(
        [Output::Value(normalized), Output::Nothing, Output::Nothing, Output::Value(sum)]
            .into_iter()
            .collect(),
    )
}

fn sum(c: &mut Context<'_, '_, '_>, bias: Option<ValueId>) -> Result<ValueId> {
    let (x, skip) = (c.value(0)?, c.value(1)?);
    let sum = c.binary(BinaryOp::Add, x, skip)?;
    match bias {
        Some(bias) => Ok(c.binary(BinaryOp::Add, sum, bias)?),
        None => Ok(sum),
    }
}

fn last_axis(c: &Context<'_, '_, '_>, x: ValueId) -> Result<usize> {
    match c.shape(x).len().checked_sub(1) {
        Some(axis) => Ok(axis),
        None => bad_input("needs a tensor with at least one dimension"),
    }
}

/// `SkipLayerNormalization`: layer norm of x + skip + bias.
pub(in crate::import::onnx::ops) fn skip_layer_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    without_statistics(c)?;
    let (scale, shift, bias) = (c.value(2)?, c.optional(3)?, c.optional(4)?);
    let sum = sum(c, bias)?;
    let (axis, epsilon) = (last_axis(c, sum)?, c.float_or("epsilon", 1e-12)?);
    let y = layer_norm_of(c, sum, [Some(scale), shift], axis, epsilon)?;
    Ok(outputs(y, sum))
}

/// `SkipSimplifiedLayerNormalization`: root-mean-square norm of x + skip + bias.
pub(in crate::import::onnx::ops) fn skip_rms_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    without_statistics(c)?;
    let (scale, bias) = (c.value(2)?, c.optional(3)?);
    let sum = sum(c, bias)?;
    let (axis, epsilon) = (last_axis(c, sum)?, c.float_or("epsilon", 1e-12)?);
    let y = rms_norm_of(c, sum, Some(scale), axis, epsilon)?;
    Ok(outputs(y, sum))
}

/// Rows of a table.
fn rows(c: &mut Context<'_, '_, '_>, table: ValueId, indices: ValueId) -> Result<ValueId> {
    Ok(c.op(Op::Gather { axis: 0 }, &[table, indices])?)
}

/// `EmbedLayerNormalization`: layer norm of the sum of word, position and segment embeddings; the number of words of each sentence.
pub(in crate::import::onnx::ops) fn embed_layer_norm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (words, segments, mask) = (c.value(0)?, c.optional(1)?, c.optional(7)?);
    let (word_table, position_table, segment_table) = (c.value(2)?, c.value(3)?, c.optional(4)?);
    let (scale, shift, positions) = (c.value(5)?, c.value(6)?, c.optional(8)?);
    let shape = c.shape(words);
    let [batch, length] = shape.as_slice() else { return bad_input("needs words [batch, length]") };
    let mut sum = rows(c, word_table, words)?;
    let places = match positions {
        Some(positions) => rows(c, position_table, positions)?,
        None => slice_axis(c, position_table, 0, Dim::ZERO, length.clone())?,
    };
    sum = c.binary(BinaryOp::Add, sum, places)?;
    if let (Some(segments), Some(table)) = (segments, segment_table) {
        let kinds = rows(c, table, segments)?;
        sum = c.binary(BinaryOp::Add, sum, kinds)?;
    }
    let epsilon = c.float_or("epsilon", 1e-12)?;
    let y = layer_norm_of(c, sum, [Some(scale), Some(shift)], 2, epsilon)?;
    let lengths = match mask {
        Some(mask) => {
            let mask = c.cast(mask, DType::I32)?;
            c.reduce(ReduceOp::Sum, mask, &[1], false)?
        }
        None => {
            let zero = c.scalar(DType::I32, 0.0)?;
            c.broadcast_to(zero, std::slice::from_ref(batch))?
        }
    };
    Ok(Outputs::values([y, lengths, sum]))
}
