//! Normalisations.

use super::conv::per_feature;
use super::pool::mean;
use super::{Built, Forward, Layer};
use crate::train::Initializer;
use graven_ir::{BinaryOp, Dim, Op, Real, UnaryOp, ValueId};

/// Batch normalisation of `[n, features, d…]` (Ioffe and Szegedy, 2015). In training: by mean and biased variance of the batch, which go into the running
/// statistics, running · (1 − momentum) + batch · momentum, the variance unbiased. In evaluation: by the running ones. Parameters: `weight`, `bias`; states: `running_mean`,
/// `running_var`; all \[features\]. PyTorch's count `num_batches_tracked` is not kept.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    momentum: f64,
    epsilon: f64,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm::new()
    }
}

impl BatchNorm {
    /// With momentum 0.1 and ε = 10⁻⁵.
    pub fn new() -> BatchNorm {
        BatchNorm { momentum: 0.1, epsilon: 1e-5 }
    }

    /// With another share of the batch in the running statistics.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> BatchNorm {
        BatchNorm { momentum, ..self }
    }

    /// With another ε.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> BatchNorm {
        BatchNorm { epsilon, ..self }
    }

    /// Mean and variance to normalise by, shaped for the broadcast.
    fn statistics(
        &self,
        f: &mut Forward<'_>,
        x: ValueId,
        features: usize,
    ) -> Result<[ValueId; 2], super::NnError> {
        let (rank, dtype) = (f.ty(x).rank(), f.dtype(x));
        let running_mean = f.state("running_mean", dtype, &[features], Initializer::Zeros)?;
        let running_var = f.state("running_var", dtype, &[features], Initializer::Ones)?;
        if !f.is_training() {
            return Ok([per_feature(f, running_mean, rank)?, per_feature(f, running_var, rank)?]);
        }
        let axes: Vec<usize> = (0..rank).filter(|axis| *axis != 1).collect();
        let mut count = 1;
        for axis in &axes {
            count *= f.extent(x, *axis)?;
        }
        if count < 2 {
            return f.refuse("statistics of the batch need more than one value per feature");
        }
        let [batch_mean, variance] = moments(f, x, &axes)?;
        let unbiased = f.binary_scalar(BinaryOp::Mul, variance, count as f64 / (count - 1) as f64)?;
        for (name, running, batch) in
            [("running_mean", running_mean, batch_mean), ("running_var", running_var, unbiased)]
        {
            let batch = f.reshape(batch, &[Dim::from(features as i64)])?;
            let old = f.binary_scalar(BinaryOp::Mul, running, 1.0 - self.momentum)?;
            let new = f.binary_scalar(BinaryOp::Mul, batch, self.momentum)?;
            let blended = f.binary(BinaryOp::Add, old, new)?;
            f.update(name, blended)?;
        }
        Ok([batch_mean, variance])
    }
}

impl Layer for BatchNorm {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (features, dtype, rank) = (f.extent(x, 1)?, f.dtype(x), f.ty(x).rank());
        let [mean, variance] = self.statistics(f, x, features)?;
        let normal = normalize(f, x, mean, variance, self.epsilon)?;
        let weight = f.parameter("weight", dtype, &[features], Initializer::Ones)?;
        let bias = f.parameter("bias", dtype, &[features], Initializer::Zeros)?;
        let (weight, bias) = (per_feature(f, weight, rank)?, per_feature(f, bias, rank)?);
        let scaled = f.binary(BinaryOp::Mul, normal, weight)?;
        Ok(f.binary(BinaryOp::Add, scaled, bias)?)
    }
}

/// Mean and biased variance over axes, which stay with extent 1.
fn moments(f: &mut Forward<'_>, x: ValueId, axes: &[usize]) -> Result<[ValueId; 2], super::NnError> {
    let center = mean(f, x, axes, true)?;
    let centered = f.binary(BinaryOp::Sub, x, center)?;
    let squares = f.binary(BinaryOp::Mul, centered, centered)?;
    Ok([center, mean(f, squares, axes, true)?])
}

/// (x − mean) ÷ √(variance + ε).
fn normalize(f: &mut Forward<'_>, x: ValueId, mean: ValueId, variance: ValueId, epsilon: f64) -> Built {
    let centered = f.binary(BinaryOp::Sub, x, mean)?;
    let shifted = f.binary_scalar(BinaryOp::Add, variance, epsilon)?;
    let factor = f.unary(UnaryOp::Rsqrt, shifted)?;
    Ok(f.binary(BinaryOp::Mul, centered, factor)?)
}

/// Normalisation over the last dimension (Ba et al., 2016). Parameters: `weight`, `bias`, both \[width\].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    epsilon: f64,
}

impl Default for LayerNorm {
    fn default() -> LayerNorm {
        LayerNorm::new()
    }
}

impl LayerNorm {
    /// With ε = 10⁻⁵.
    pub fn new() -> LayerNorm {
        LayerNorm { epsilon: 1e-5 }
    }

    /// With another ε.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> LayerNorm {
        LayerNorm { epsilon }
    }
}

impl Layer for LayerNorm {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let Some(axis) = f.ty(x).rank().checked_sub(1) else { return f.refuse("can't normalise a scalar") };
        let (width, dtype) = (f.extent(x, axis)?, f.dtype(x));
        let weight = f.parameter("weight", dtype, &[width], Initializer::Ones)?;
        let bias = f.parameter("bias", dtype, &[width], Initializer::Zeros)?;
        Ok(f.op(Op::LayerNorm { axis, epsilon: Real::from(self.epsilon) }, &[x, weight, bias])?)
    }
}

/// Normalisation over groups of features of `[n, features, d…]` (Wu and He, 2018). Parameters: `weight`, `bias`, both \[features\].
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// With ε = 10⁻⁵.
    pub fn new(groups: usize) -> GroupNorm {
        GroupNorm { groups, epsilon: 1e-5 }
    }

    /// With another ε.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> GroupNorm {
        GroupNorm { epsilon, ..self }
    }
}

impl Layer for GroupNorm {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (features, dtype, shape) = (f.extent(x, 1)?, f.dtype(x), f.shape(x));
        if self.groups == 0 || !features.is_multiple_of(self.groups) {
            return f.refuse(format!("{features} features in {} groups", self.groups));
        }
        let mut grouped = vec![shape[0].clone(), Dim::from(self.groups as i64)];
        grouped.push(Dim::from((features / self.groups) as i64));
        grouped.extend(shape[2..].iter().cloned());
        let parts = f.reshape(x, &grouped)?;
        let axes: Vec<usize> = (2..grouped.len()).collect();
        let [center, variance] = moments(f, parts, &axes)?;
        let normal = normalize(f, parts, center, variance, self.epsilon)?;
        let normal = f.reshape(normal, &shape)?;
        let weight = f.parameter("weight", dtype, &[features], Initializer::Ones)?;
        let bias = f.parameter("bias", dtype, &[features], Initializer::Zeros)?;
        let (weight, bias) = (per_feature(f, weight, shape.len())?, per_feature(f, bias, shape.len())?);
        let scaled = f.binary(BinaryOp::Mul, normal, weight)?;
        Ok(f.binary(BinaryOp::Add, scaled, bias)?)
    }
}
