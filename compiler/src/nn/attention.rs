//! Multi-head attention.

use super::activation::Dropout;
use super::dense::linear;
use super::{Built, Forward, Layer, NnError};
use crate::train::Initializer;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Real, ValueId};

/// Multi-head attention (Vaswani et al., 2017) over `[n, length, width]`. Parameters: `in_proj_weight` \[3 · width, width\] and `in_proj_bias` \[3 · width\] for queries, keys
/// and values in this order, `out_proj.weight` \[width, width\], `out_proj.bias` \[width\].
///
/// As a [`Layer`] it is self-attention.
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadAttention {
    heads: usize,
    causal: bool,
    dropout: f64,
}

impl MultiHeadAttention {
    /// Without mask and dropout.
    pub fn new(heads: usize) -> MultiHeadAttention {
        MultiHeadAttention { heads, causal: false, dropout: 0.0 }
    }

    /// Each place sees itself and those before.
    #[must_use]
    pub fn causal(self) -> MultiHeadAttention {
        MultiHeadAttention { causal: true, ..self }
    }

    /// With dropout of the weights, in training.
    #[must_use]
    pub fn dropout(self, probability: f64) -> MultiHeadAttention {
        MultiHeadAttention { dropout: probability, ..self }
    }

    /// Attention of `query` `[n, l, width]` to `memory` `[n, s, width]`, which keys and values come from. The mask is added to the scores: floats that broadcast
    /// to `[n, heads, l, s]`.
    ///
    /// # Errors
    /// [`NnError::Layer`] for a width that the heads don't divide, or other ranks.
    pub fn attend(
        &self,
        f: &mut Forward<'_>,
        query: ValueId,
        memory: ValueId,
        mask: Option<ValueId>,
    ) -> Built {
        if f.ty(query).rank() != 3 || f.ty(memory).rank() != 3 {
            return f.refuse("attention needs [n, length, width]");
        }
        let (width, dtype) = (f.extent(query, 2)?, f.dtype(query));
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            return f.refuse(format!("{} heads of width {width} together", self.heads));
        }
        let (q, k, v) = self.projections(f, query, memory, width, dtype)?;
        let mut parts = [q, k, v];
        for part in &mut parts {
            *part = self.split(f, *part, width)?;
        }
        let mask = match mask {
            Some(mask) => {
                let (l, s) = (f.shape(query)[1].clone(), f.shape(memory)[1].clone());
                let shape = [f.shape(query)[0].clone(), Dim::from(self.heads as i64), l, s];
                Some(f.broadcast_to(mask, &shape)?)
            }
            None => None,
        };
        let y = self.mix(f, parts, mask, width / self.heads)?;
        let y = f.transpose(y, &[0, 2, 1, 3])?;
        let shape = f.shape(query);
        let y = f.reshape(y, &shape)?;
        f.scope("out_proj", |f| {
            let weight = f.parameter("weight", dtype, &[width, width], Initializer::FanIn)?;
            let bias = f.parameter("bias", dtype, &[width], Initializer::Zeros)?;
            let y = linear(f, y, weight)?;
            Ok(f.binary(BinaryOp::Add, y, bias)?)
        })
    }

    /// Queries, keys and values.
    fn projections(
        &self,
        f: &mut Forward<'_>,
        query: ValueId,
        memory: ValueId,
        width: usize,
        dtype: DType,
    ) -> Result<(ValueId, ValueId, ValueId), NnError> {
        let weight = f.parameter("in_proj_weight", dtype, &[3 * width, width], Initializer::XavierUniform)?;
        let bias = f.parameter("in_proj_bias", dtype, &[3 * width], Initializer::Zeros)?;
        let project = |f: &mut Forward<'_>, x: ValueId, from: usize, to: usize| {
            let rows = |value| slice(f, value, 0, from * width, to * width);
            let [weight, bias] = match (from, to) {
                (0, 3) => [weight, bias],
                _ => {
                    let mut rows = rows;
                    [rows(weight)?, rows(bias)?]
                }
            };
            let y = linear(f, x, weight)?;
            Ok::<_, NnError>(f.binary(BinaryOp::Add, y, bias)?)
        };
        let third = |f: &mut Forward<'_>, x, place: usize| slice(f, x, 2, place * width, (place + 1) * width);
        if query == memory {
            let all = project(f, query, 0, 3)?;
            return Ok((third(f, all, 0)?, third(f, all, 1)?, third(f, all, 2)?));
        }
        let q = project(f, query, 0, 1)?;
        let both = project(f, memory, 1, 3)?;
        Ok((q, third(f, both, 0)?, third(f, both, 1)?))
    }

    /// `[n, length, width]` to `[n, heads, length, width ÷ heads]`.
    fn split(&self, f: &mut Forward<'_>, x: ValueId, width: usize) -> Built {
        let shape = f.shape(x);
        let heads = [
            shape[0].clone(),
            shape[1].clone(),
            Dim::from(self.heads as i64),
            Dim::from((width / self.heads) as i64),
        ];
        let split = f.reshape(x, &heads)?;
        Ok(f.transpose(split, &[0, 2, 1, 3])?)
    }

    /// softmax(q kᵀ ÷ √d + mask) v.
    fn mix(
        &self,
        f: &mut Forward<'_>,
        [q, k, v]: [ValueId; 3],
        mask: Option<ValueId>,
        depth: usize,
    ) -> Built {
        let scale = 1.0 / (depth as f64).sqrt();
        if self.dropout == 0.0 || !f.is_training() {
            let op = Op::Attention { scale: Real::from(scale), causal: self.causal };
            let operands: Vec<ValueId> = [q, k, v].into_iter().chain(mask).collect();
            return Ok(f.op(op, &operands)?);
        }
        let scores = f.op(batched(3), &[q, k])?;
        let mut scores = f.binary_scalar(BinaryOp::Mul, scores, scale)?;
        if let Some(mask) = mask {
            scores = f.binary(BinaryOp::Add, scores, mask)?;
        }
        if self.causal {
            let shape = f.shape(scores).to_vec();
            let [.., l, s] = &shape[..] else { return f.refuse("scores without places") };
            let offset = s - l;
            let count = |f: &mut Forward<'_>, axis| {
                f.op(Op::Iota { shape: shape.clone(), axis, dtype: DType::I64 }, &[])
            };
            let (row, column) = (count(f, 2)?, count(f, 3)?);
            let offset = f.op(Op::Extent { dim: offset }, &[])?;
            let last = f.binary(BinaryOp::Add, row, offset)?;
            let seen = f.compare(CompareOp::Le, column, last)?;
            let dtype = f.dtype(scores);
            let hidden = f.scalar(dtype, f64::NEG_INFINITY)?;
            scores = f.select(seen, scores, hidden)?;
        }
        let weights = f.op(Op::Softmax { axis: 3 }, &[scores])?;
        let weights = Dropout::new(self.dropout).forward(f, weights)?;
        Ok(f.op(batched(2), &[weights, v])?)
    }
}

impl Layer for MultiHeadAttention {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        self.attend(f, x, x, None)
    }
}

/// A product of matrices for each batch and head, over the last dimension of the first and dimension `contract` of the second.
fn batched(contract: usize) -> Op {
    Op::DotGeneral {
        lhs_batch: vec![0, 1],
        rhs_batch: vec![0, 1],
        lhs_contract: vec![3],
        rhs_contract: vec![contract],
    }
}

/// `start..end` of a dimension.
fn slice(f: &mut Forward<'_>, x: ValueId, axis: usize, start: usize, end: usize) -> Built {
    let shape = f.shape(x);
    let mut from = vec![Dim::ZERO; shape.len()];
    let mut limit = shape.to_vec();
    (from[axis], limit[axis]) = (Dim::from(start as i64), Dim::from(end as i64));
    Ok(f.op(Op::Slice { start: from, limit, stride: vec![1; shape.len()] }, &[x])?)
}
