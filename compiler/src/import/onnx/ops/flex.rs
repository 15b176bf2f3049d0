//! `FlexAttention`: attention whose scores and weights pass through graphs of the model.

use super::attention::repeat_heads;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use crate::import::onnx::region::inline_body;
use graven_ir::{BinaryOp, DType, Dim, Op, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// A graph attribute applied to the scores, if the node has it.
fn modified(c: &mut Context<'_, '_, '_>, name: &str, x: ValueId) -> Result<ValueId> {
    if c.attribute(name).is_none() {
        return Ok(x);
    }
    let graph = c.subgraph(name)?;
    let ty = c.ty(x).clone();
    let arg = c.scope.add_value(x);
    let outputs = inline_body(c, graph, &[arg])?;
    let [output] = outputs.as_slice() else { return bad_input(format!("`{name}` must give one output")) };
    let result = c.value_of(*output)?;
    match *c.ty(result) == ty {
        true => Ok(result),
        false => bad_input(format!("`{name}` makes {} of {ty}", c.ty(result))),
    }
}

/// `FlexAttention`: prob_mod(softmax(score_mod(scale · q kᵀ))) v, in f32 or wider.
pub(super) fn flex_attention(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (q, k, v) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let queries = c.shape(q);
    if queries.len() != 4 || c.shape(k).len() != 4 || c.shape(v).len() != 4 {
        return bad_input("needs tensors of rank 4");
    }
    let dtype = c.dtype(q);
    let default = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let wide = c.dtype_attribute("softmax_precision")?.unwrap_or(default);
    let scale = match (c.float("scale")?, queries[3].as_const()) {
        (Some(scale), _) => scale,
        (None, Some(features)) => 1.0 / (features as f64).sqrt(),
        (None, None) => return unsupported("the number of features is not constant"),
    };
    let heads: Dim = queries[1].clone();
    let (k, v) = (repeat_heads(c, k, &heads)?, repeat_heads(c, v, &heads)?);
    let contract = |rhs: usize| Op::DotGeneral {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![rhs],
    };
    let (q, k) = (c.cast(q, wide)?, c.cast(k, wide)?);
    let q = c.binary_scalar(BinaryOp::Mul, q, scale)?;
    let scores = c.op(contract(3), &[q, k])?;
    let scores = modified(c, "score_mod", scores)?;
    let weights = c.op(Op::Softmax { axis: 3 }, &[scores])?;
    let weights = modified(c, "prob_mod", weights)?;
    let v = c.cast(v, wide)?;
    let y = c.op(contract(2), &[weights, v])?;
    Ok(c.cast(y, dtype)?.into())
}
