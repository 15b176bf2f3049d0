//! Losses.

use super::elementwise::compare_scalar;
use super::reduction::{Kind, reduce_over};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, ReduceOp, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `NegativeLogLikelihoodLoss`.
pub(super) fn negative_log_likelihood(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    Ok(loss_of(c, x)?.into())
}

/// `SoftmaxCrossEntropyLoss`, with the logarithms of the probabilities.
pub(super) fn softmax_cross_entropy(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let logarithms = c.op(Op::LogSoftmax { axis: 1 }, &[x])?;
    let loss = loss_of(c, logarithms)?;
    Ok(Outputs::values([loss, logarithms]))
}

/// −weight\[target\] · x\[target\], reduced as asked. Samples whose target is `ignore_index` count as 0 with weight 0.
fn loss_of(c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
    let (target, weights) = (c.value(1)?, c.optional(2)?);
    let target = c.cast(target, DType::I64)?;
    let samples = c.shape(target);
    if c.shape(x).len() != samples.len() + 1 || samples.is_empty() {
        return bad_input(format!("{} and {} do not fit", c.ty(x), c.ty(target)));
    }
    let ignored = match c.int("ignore_index")? {
        Some(index) => Some(compare_scalar(c, CompareOp::Eq, target, index as f64)?),
        None => None,
    };
    // An ignored target may lie outside the classes: any class will do, as its weight is 0.
    let class = match ignored {
        Some(ignored) => {
            let zero = c.scalar(DType::I64, 0.0)?;
            c.select(ignored, zero, target)?
        }
        None => target,
    };
    let mut wide = samples.to_vec();
    wide.insert(1, Dim::ONE);
    let index = c.reshape(class, &wide)?;
    let picked = c.op(Op::GatherElements { axis: 1 }, &[x, index])?;
    let picked = c.reshape(picked, &samples)?;
    let mut loss = c.unary(UnaryOp::Neg, picked)?;
    let zero = c.scalar_like(loss, 0.0)?;
    let mut weight = match weights {
        Some(weights) => Some(c.op(Op::Gather { axis: 0 }, &[weights, class])?),
        None => None,
    };
    if let (None, Some(_)) = (weight, ignored) {
        let one = c.scalar_like(loss, 1.0)?;
        weight = Some(c.broadcast_to(one, &samples)?);
    }
    if let (Some(value), Some(ignored)) = (weight, ignored) {
        weight = Some(c.select(ignored, zero, value)?);
    }
    if let Some(weight) = weight {
        loss = c.binary(BinaryOp::Mul, loss, weight)?;
    }
    reduced(c, loss, weight)
}

fn reduced(c: &mut Context<'_, '_, '_>, loss: ValueId, weight: Option<ValueId>) -> Result<ValueId> {
    let axes: Vec<usize> = (0..c.shape(loss).len()).collect();
    match (c.text_or("reduction", "mean")?, weight) {
        ("none", _) => Ok(loss),
        ("sum", _) => Ok(c.reduce(ReduceOp::Sum, loss, &axes, false)?),
        ("mean", None) => reduce_over(c, Kind::Mean, loss, &axes, false),
        ("mean", Some(weight)) => {
            let sum = c.reduce(ReduceOp::Sum, loss, &axes, false)?;
            let total = c.reduce(ReduceOp::Sum, weight, &axes, false)?;
            Ok(c.binary(BinaryOp::Div, sum, total)?)
        }
        (other, _) => bad_input(format!("there is no reduction `{other}`")),
    }
}
