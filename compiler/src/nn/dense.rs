//! Dense layers and embeddings.

use super::{Built, Forward, Layer};
use crate::train::Initializer;
use graven_ir::{BinaryOp, DType, Op, ValueId};

/// x Wᵀ + b over the last dimension. Parameters: `weight` \[units, in\], `bias` \[units\].
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    units: usize,
    bias: bool,
    initializer: Initializer,
}

impl Dense {
    /// With bias, first values uniform in ±√(1 ÷ in) as PyTorch's.
    pub fn new(units: usize) -> Dense {
        Dense { units, bias: true, initializer: Initializer::FanIn }
    }

    /// Without bias.
    #[must_use]
    pub fn without_bias(self) -> Dense {
        Dense { bias: false, ..self }
    }

    /// With other first values of the weight; the bias then begins with zeros.
    #[must_use]
    pub fn initialized(self, initializer: Initializer) -> Dense {
        Dense { initializer, ..self }
    }
}

impl Layer for Dense {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let rank = f.shape(x).len();
        let Some(last) = rank.checked_sub(1) else { return f.refuse("can't transform a scalar") };
        let (features, dtype) = (f.extent(x, last)?, f.dtype(x));
        let weight = f.parameter("weight", dtype, &[self.units, features], self.initializer)?;
        let y = linear(f, x, weight)?;
        if !self.bias {
            return Ok(y);
        }
        let initializer = match self.initializer {
            Initializer::FanIn => fan_in_bias(features),
            _ => Initializer::Zeros,
        };
        let bias = f.parameter("bias", dtype, &[self.units], initializer)?;
        Ok(f.binary(BinaryOp::Add, y, bias)?)
    }
}

/// x Wᵀ over the last dimensions of both.
pub(super) fn linear(f: &mut Forward<'_>, x: ValueId, weight: ValueId) -> Built {
    let last = f.shape(x).len().saturating_sub(1);
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![last],
        rhs_contract: vec![1],
    };
    Ok(f.op(op, &[x, weight])?)
}

/// Uniform in ±√(1 ÷ fan in), with the fan in of the weight that the bias belongs to.
pub(super) fn fan_in_bias(fan_in: usize) -> Initializer {
    let bound = (1.0 / fan_in.max(1) as f64).sqrt();
    Initializer::Uniform { low: -bound, high: bound }
}

/// Rows of a table by index: integers `[d…]` to `[d…, width]`. Parameter: `weight` \[count, width\], normal. An index outside 0..count is a run-time error.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    count: usize,
    width: usize,
    dtype: DType,
}

impl Embedding {
    /// Of f32.
    pub fn new(count: usize, width: usize) -> Embedding {
        Embedding { count, width, dtype: DType::F32 }
    }

    /// Of another float type.
    #[must_use]
    pub fn of(self, dtype: DType) -> Embedding {
        Embedding { dtype, ..self }
    }
}

impl Layer for Embedding {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let normal = Initializer::Normal { mean: 0.0, deviation: 1.0 };
        let table = f.parameter("weight", self.dtype, &[self.count, self.width], normal)?;
        Ok(f.op(Op::Gather { axis: 0 }, &[table, x])?)
    }
}
