//! Convolutions.

use super::dense::fan_in_bias;
use super::{Built, Forward, Layer};
use crate::train::Initializer;
use graven_ir::{BinaryOp, ConvDimensions, Dim, Op, ValueId};

/// A convolution of `[n, in, d…]` over N spatial dimensions, without flip of the kernel. Parameters: `weight` \[filters, in ÷ groups, k…\], `bias` \[filters\].
#[derive(Clone, Copy, Debug)]
pub struct Conv<const N: usize> {
    filters: usize,
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    dilation: [usize; N],
    groups: usize,
    bias: bool,
    initializer: Initializer,
}

/// A convolution of `[n, in, width]`.
pub type Conv1d = Conv<1>;
/// A convolution of `[n, in, height, width]`.
pub type Conv2d = Conv<2>;
/// A convolution of `[n, in, depth, height, width]`.
pub type Conv3d = Conv<3>;

impl<const N: usize> Conv<N> {
    /// With stride 1, bias and without padding; first values uniform in ±√(1 ÷ fan in) as PyTorch's.
    pub fn new(filters: usize, kernel: [usize; N]) -> Conv<N> {
        Conv {
            filters,
            kernel,
            stride: [1; N],
            padding: [0; N],
            dilation: [1; N],
            groups: 1,
            bias: true,
            initializer: Initializer::FanIn,
        }
    }

    /// With other steps.
    #[must_use]
    pub fn stride(self, stride: [usize; N]) -> Conv<N> {
        Conv { stride, ..self }
    }

    /// With zeros on both sides.
    #[must_use]
    pub fn padding(self, padding: [usize; N]) -> Conv<N> {
        Conv { padding, ..self }
    }

    /// With dilated kernels.
    #[must_use]
    pub fn dilation(self, dilation: [usize; N]) -> Conv<N> {
        Conv { dilation, ..self }
    }

    /// In groups of features.
    #[must_use]
    pub fn groups(self, groups: usize) -> Conv<N> {
        Conv { groups, ..self }
    }

    /// Without bias.
    #[must_use]
    pub fn without_bias(self) -> Conv<N> {
        Conv { bias: false, ..self }
    }

    /// With other first values of the weight; the bias then begins with zeros.
    #[must_use]
    pub fn initialized(self, initializer: Initializer) -> Conv<N> {
        Conv { initializer, ..self }
    }
}

impl<const N: usize> Layer for Conv<N> {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (features, dtype) = (features::<N>(f, x)?, f.dtype(x));
        if self.groups == 0
            || !features.is_multiple_of(self.groups)
            || !self.filters.is_multiple_of(self.groups)
        {
            let (groups, filters) = (self.groups, self.filters);
            return f.refuse(format!("{features} features and {filters} filters in {groups} groups"));
        }
        let mut shape = vec![self.filters, features / self.groups];
        shape.extend(self.kernel);
        let weight = f.parameter("weight", dtype, &shape, self.initializer)?;
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(N),
            stride: integers(&self.stride),
            padding_low: extents(&self.padding),
            padding_high: extents(&self.padding),
            base_dilation: vec![1; N],
            kernel_dilation: integers(&self.dilation),
            feature_groups: self.groups as i64,
            batch_groups: 1,
        };
        let y = f.op(op, &[x, weight])?;
        let fan_in = shape[1..].iter().product();
        add_bias::<N>(f, y, self.bias.then_some((self.filters, fan_in)), self.initializer)
    }
}

/// A transposed convolution of `[n, in, d…]`, the gradient of a convolution with respect to its input. Parameters: `weight` \[in, filters, k…\], `bias` \[filters\].
/// Output extent: (d − 1) · stride − 2 · padding + k + output padding.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose<const N: usize> {
    filters: usize,
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    output_padding: [usize; N],
    bias: bool,
    initializer: Initializer,
}

/// A transposed convolution of `[n, in, width]`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution of `[n, in, height, width]`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution of `[n, in, depth, height, width]`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const N: usize> ConvTranspose<N> {
    /// With stride 1, bias and without padding; first values as PyTorch's.
    pub fn new(filters: usize, kernel: [usize; N]) -> ConvTranspose<N> {
        ConvTranspose {
            filters,
            kernel,
            stride: [1; N],
            padding: [0; N],
            output_padding: [0; N],
            bias: true,
            initializer: Initializer::FanIn,
        }
    }

    /// With other steps.
    #[must_use]
    pub fn stride(self, stride: [usize; N]) -> ConvTranspose<N> {
        ConvTranspose { stride, ..self }
    }

    /// With less output on both sides.
    #[must_use]
    pub fn padding(self, padding: [usize; N]) -> ConvTranspose<N> {
        ConvTranspose { padding, ..self }
    }

    /// With more output at the end.
    #[must_use]
    pub fn output_padding(self, output_padding: [usize; N]) -> ConvTranspose<N> {
        ConvTranspose { output_padding, ..self }
    }

    /// Without bias.
    #[must_use]
    pub fn without_bias(self) -> ConvTranspose<N> {
        ConvTranspose { bias: false, ..self }
    }

    /// With other first values of the weight; the bias then begins with zeros.
    #[must_use]
    pub fn initialized(self, initializer: Initializer) -> ConvTranspose<N> {
        ConvTranspose { initializer, ..self }
    }
}

impl<const N: usize> Layer for ConvTranspose<N> {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        let (features, dtype) = (features::<N>(f, x)?, f.dtype(x));
        let mut shape = vec![features, self.filters];
        shape.extend(self.kernel);
        let weight = f.parameter("weight", dtype, &shape, self.initializer)?;
        // A convolution of the dilated input with the flipped kernel.
        let flipped = f.op(Op::Reverse { axes: (2..N + 2).collect() }, &[weight])?;
        let mut dimensions = ConvDimensions::standard(N);
        dimensions.kernel.swap(0, 1);
        let border = |n: usize, more: usize| {
            Dim::from(self.kernel[n] as i64 - 1 - self.padding[n] as i64 + more as i64)
        };
        let op = Op::Conv {
            dimensions,
            stride: vec![1; N],
            padding_low: (0..N).map(|n| border(n, 0)).collect(),
            padding_high: (0..N).map(|n| border(n, self.output_padding[n])).collect(),
            base_dilation: integers(&self.stride),
            kernel_dilation: vec![1; N],
            feature_groups: 1,
            batch_groups: 1,
        };
        let y = f.op(op, &[x, flipped])?;
        let fan_in = shape[1..].iter().product();
        add_bias::<N>(f, y, self.bias.then_some((self.filters, fan_in)), self.initializer)
    }
}

/// The features of `[n, in, d…]`.
fn features<const N: usize>(f: &Forward<'_>, x: ValueId) -> Result<usize, super::NnError> {
    match f.ty(x).rank() == N + 2 {
        true => f.extent(x, 1),
        false => f.refuse(format!("a convolution over {N} dimensions of {}", f.ty(x))),
    }
}

fn add_bias<const N: usize>(
    f: &mut Forward<'_>,
    y: ValueId,
    bias: Option<(usize, usize)>,
    initializer: Initializer,
) -> Built {
    let Some((filters, fan_in)) = bias else { return Ok(y) };
    let initializer = match initializer {
        Initializer::FanIn => fan_in_bias(fan_in),
        _ => Initializer::Zeros,
    };
    let dtype = f.dtype(y);
    let bias = f.parameter("bias", dtype, &[filters], initializer)?;
    let bias = per_feature(f, bias, N + 2)?;
    Ok(f.binary(BinaryOp::Add, y, bias)?)
}

/// A vector shaped to be broadcast along dimension 1.
pub(super) fn per_feature(f: &mut Forward<'_>, vector: ValueId, rank: usize) -> Built {
    let mut shape = vec![Dim::ONE; rank];
    shape[1] = f.ty(vector).elements();
    Ok(f.reshape(vector, &shape)?)
}

pub(super) fn integers(values: &[usize]) -> Vec<i64> {
    values.iter().map(|value| *value as i64).collect()
}

pub(super) fn extents(values: &[usize]) -> Vec<Dim> {
    values.iter().map(|value| Dim::from(*value as i64)).collect()
}
