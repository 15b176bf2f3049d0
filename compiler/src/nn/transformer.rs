//! Layers of transformers (Vaswani et al., 2017) and encodings of positions.

use super::activation::{Activation, Dropout};
use super::attention::MultiHeadAttention;
use super::dense::Dense;
use super::norm::LayerNorm;
use super::{Built, Forward, Layer};
use crate::train::Initializer;
use graven_ir::{BinaryOp, Dim, Op, Tensor, ValueId};

/// What encoder and decoder layers have in common.
#[derive(Clone, Copy, Debug)]
struct Block {
    heads: usize,
    feedforward: usize,
    dropout: f64,
    activation: Activation,
    norm_first: bool,
}

impl Block {
    fn new(heads: usize, feedforward: usize) -> Block {
        Block { heads, feedforward, dropout: 0.1, activation: Activation::Relu, norm_first: false }
    }

    /// x + part(x), with dropout and a normalisation before or after.
    fn residual(
        &self,
        f: &mut Forward<'_>,
        x: ValueId,
        norm: &str,
        part: impl FnOnce(&mut Forward<'_>, ValueId) -> Built,
    ) -> Built {
        let normalized = |f: &mut Forward<'_>, x| f.scope(norm, |f| LayerNorm::new().forward(f, x));
        let input = if self.norm_first { normalized(f, x)? } else { x };
        let y = part(f, input)?;
        let y = Dropout::new(self.dropout).forward(f, y)?;
        let sum = f.binary(BinaryOp::Add, x, y)?;
        if self.norm_first { Ok(sum) } else { normalized(f, sum) }
    }

    fn feed(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let width = f.extent(x, 2)?;
        let y = f.scope("linear1", |f| Dense::new(self.feedforward).forward(f, x))?;
        let y = self.activation.forward(f, y)?;
        let y = Dropout::new(self.dropout).forward(f, y)?;
        f.scope("linear2", |f| Dense::new(width).forward(f, y))
    }

    fn attention(&self) -> MultiHeadAttention {
        MultiHeadAttention::new(self.heads).dropout(self.dropout)
    }
}

macro_rules! block_options {
    ($name:ident) => {
        impl $name {
            /// With dropout 0.1, ReLU and normalisation after each part, as PyTorch's.
            pub fn new(heads: usize, feedforward: usize) -> $name {
                $name { block: Block::new(heads, feedforward) }
            }

            /// With another dropout.
            #[must_use]
            pub fn dropout(self, dropout: f64) -> $name {
                $name { block: Block { dropout, ..self.block } }
            }

            /// With another activation.
            #[must_use]
            pub fn activation(self, activation: Activation) -> $name {
                $name { block: Block { activation, ..self.block } }
            }

            /// With normalisation before each part.
            #[must_use]
            pub fn norm_first(self) -> $name {
                $name { block: Block { norm_first: true, ..self.block } }
            }
        }
    };
}

/// Self-attention and a feed-forward network over `[n, length, width]`. Paths: `self_attn`, `linear1`, `linear2`, `norm1`, `norm2`.
#[derive(Clone, Copy, Debug)]
pub struct TransformerEncoderLayer {
    block: Block,
}

block_options!(TransformerEncoderLayer);

impl TransformerEncoderLayer {
    /// With a mask that is added to the scores; see [`MultiHeadAttention::attend`].
    ///
    /// # Errors
    /// See [`NnError`](super::NnError).
    pub fn masked(&self, f: &mut Forward<'_>, x: ValueId, mask: Option<ValueId>) -> Built {
        let block = &self.block;
        let x = block.residual(f, x, "norm1", |f, x| {
            f.scope("self_attn", |f| block.attention().attend(f, x, x, mask))
        })?;
        block.residual(f, x, "norm2", |f, x| block.feed(f, x))
    }
}

impl Layer for TransformerEncoderLayer {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        self.masked(f, x, None)
    }
}

/// Causal self-attention, attention to the encoder's result and a feed-forward network. Paths: `self_attn`, `multihead_attn`, `linear1`, `linear2`, `norm1`,
/// `norm2`, `norm3`.
#[derive(Clone, Copy, Debug)]
pub struct TransformerDecoderLayer {
    block: Block,
}

block_options!(TransformerDecoderLayer);

impl TransformerDecoderLayer {
    /// The layer on `[n, length, width]` and the encoder's `[n, source, width]`.
    ///
    /// # Errors
    /// See [`NnError`](super::NnError).
    pub fn decode(&self, f: &mut Forward<'_>, x: ValueId, memory: ValueId) -> Built {
        let block = &self.block;
        let x = block.residual(f, x, "norm1", |f, x| {
            f.scope("self_attn", |f| block.attention().causal().attend(f, x, x, None))
        })?;
        let x = block.residual(f, x, "norm2", |f, x| {
            f.scope("multihead_attn", |f| block.attention().attend(f, x, memory, None))
        })?;
        block.residual(f, x, "norm3", |f, x| block.feed(f, x))
    }
}

/// x + positions, sin(p ÷ 10000^(2i ÷ width)) in even columns 2i and the cosine in odd ones (Vaswani et al., 2017, section 3.5), for `[n, length, width]`.
#[derive(Clone, Copy, Debug)]
pub struct SinusoidalPosition;

impl Layer for SinusoidalPosition {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (length, width) = (f.extent(x, 1)?, f.extent(x, 2)?);
        let mut table = Vec::with_capacity(length * width);
        for position in 0..length {
            for column in 0..width {
                let frequency = 1e4_f64.powf(-((column / 2 * 2) as f64) / width as f64);
                let angle = position as f64 * frequency;
                table.push(if column % 2 == 0 { angle.sin() } else { angle.cos() });
            }
        }
        let dtype = f.dtype(x);
        let bytes: Vec<u8> =
            table.into_iter().flat_map(|value| graven_ir::element::encode_float(dtype, value)).collect();
        let table = match Tensor::new(dtype, vec![length, width], bytes) {
            Ok(tensor) => f.constant(tensor)?,
            Err(error) => return f.refuse(error.to_string()),
        };
        Ok(f.binary(BinaryOp::Add, x, table)?)
    }
}

/// x + the first rows of a table, for `[n, length, width]`. Parameter: `weight` \[most, width\], normal with deviation 0.02.
#[derive(Clone, Copy, Debug)]
pub struct LearnedPosition {
    most: usize,
}

impl LearnedPosition {
    /// For sequences of at most so many places.
    pub fn new(most: usize) -> LearnedPosition {
        LearnedPosition { most }
    }
}

impl Layer for LearnedPosition {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (length, width) = (f.extent(x, 1)?, f.extent(x, 2)?);
        if length > self.most {
            return f.refuse(format!("{length} places, at most {} are known", self.most));
        }
        let normal = Initializer::Normal { mean: 0.0, deviation: 0.02 };
        let dtype = f.dtype(x);
        let table = f.parameter("weight", dtype, &[self.most, width], normal)?;
        let limit = vec![Dim::from(length as i64), Dim::from(width as i64)];
        let rows = f.op(Op::Slice { start: vec![Dim::ZERO; 2], limit, stride: vec![1; 2] }, &[table])?;
        Ok(f.binary(BinaryOp::Add, x, rows)?)
    }
}
