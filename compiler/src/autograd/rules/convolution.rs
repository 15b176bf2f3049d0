//! `conv`: both gradients are convolutions.
//!
//! With stride s, base dilation d, kernel dilation e and low padding p, output j takes dilated input place j·s + k·e − p for kernel place k. So the
//! input's cotangent is the convolution of g (base dilation s) with the reversed kernel (dilation e) at stride d and low padding
//! (K − 1)·e − p, and the kernel's is that of the input (base dilation d) with g as kernel (dilation s) at stride e and low padding p.

use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::reverse;
use graven_ir::infer::InferError;
use graven_ir::{ConvDimensions, Dim, DimensionRole, GraphBuilder, Op, ValueId};
use smallvec::smallvec;

type Built = Result<ValueId, InferError>;

/// The parts of a `conv`, its operands in the standard order of dimensions.
struct Problem {
    x: ValueId,
    kernel: ValueId,
    g: ValueId,
    stride: Vec<i64>,
    padding_low: Vec<Dim>,
    base_dilation: Vec<i64>,
    kernel_dilation: Vec<i64>,
    feature_groups: i64,
    batch_groups: i64,
}

/// For each role of the standard order its place in `order`.
fn places(order: &[DimensionRole]) -> Vec<usize> {
    let standard = ConvDimensions::standard(order.len().saturating_sub(2)).input;
    standard.iter().filter_map(|role| ConvDimensions::position(order, *role)).collect()
}

pub(super) fn conv(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    g: ValueId,
) -> Result<OperandCotangents, GradError> {
    let Op::Conv {
        dimensions,
        stride,
        padding_low,
        base_dilation,
        kernel_dilation,
        feature_groups,
        batch_groups,
        ..
    } = &site.node.op
    else {
        return site.unsupported("the rule for convolutions is for these only");
    };
    let (input, kernel) = (places(&dimensions.input), places(&dimensions.kernel));
    let problem = Problem {
        x: b.transpose(site.operand(0), &input)?,
        kernel: b.transpose(site.operand(1), &kernel)?,
        g: b.transpose(g, &places(&dimensions.output))?,
        stride: stride.clone(),
        padding_low: padding_low.clone(),
        base_dilation: base_dilation.clone(),
        kernel_dilation: kernel_dilation.clone(),
        feature_groups: *feature_groups,
        batch_groups: *batch_groups,
    };
    let mut cotangents: OperandCotangents = smallvec![None; 2];
    if site.wants(0) {
        let cotangent = problem.of_input(b)?;
        cotangents[0] = Some(b.transpose(cotangent, &crate::autograd::calculus::inverse(&input))?);
    }
    if site.wants(1) {
        let cotangent = problem.of_kernel(b)?;
        cotangents[1] = Some(b.transpose(cotangent, &crate::autograd::calculus::inverse(&kernel))?);
    }
    Ok(cotangents)
}

/// (extent − 1)·dilation + 1, and 0 for no elements.
fn dilated(extent: &Dim, dilation: i64) -> Dim {
    match extent.is(0) {
        true => Dim::ZERO,
        false => (extent - &Dim::ONE) * Dim::from(dilation) + Dim::ONE,
    }
}

/// The high padding with which a convolution has exactly `outputs` outputs.
fn high_padding(outputs: &Dim, stride: i64, input: &Dim, low: &Dim, kernel: &Dim) -> Dim {
    (outputs - &Dim::ONE) * Dim::from(stride) + kernel - input - low
}

impl Problem {
    fn spatial(&self) -> usize {
        self.stride.len()
    }

    /// Groups of either kind: at most one of the two is not 1.
    fn groups(&self) -> i64 {
        self.feature_groups * self.batch_groups
    }

    /// [B, C, …]. The kernel becomes one from output to input features, per group.
    fn of_input(&self, b: &mut GraphBuilder<'_>) -> Built {
        let rank = self.spatial();
        let (x, kernel, g) = (b.shape(self.x), b.shape(self.kernel), b.shape(self.g));
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for axis in 0..rank {
            let window = dilated(&kernel[axis + 2], self.kernel_dilation[axis]);
            let given = dilated(&g[axis + 2], self.stride[axis]);
            let before = &window - &Dim::ONE - &self.padding_low[axis];
            high.push(high_padding(&x[axis + 2], self.base_dilation[axis], &given, &before, &window));
            low.push(before);
        }
        let transposed = self.transposed_kernel(b)?;
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(rank),
            stride: self.base_dilation.clone(),
            padding_low: low,
            padding_high: high,
            base_dilation: self.stride.clone(),
            kernel_dilation: self.kernel_dilation.clone(),
            feature_groups: self.groups(),
            batch_groups: 1,
        };
        let result = b.op(op, &[self.g, transposed])?;
        match self.batch_groups {
            1 => Ok(result),
            groups => self.features_to_batch(b, result, groups),
        }
    }

    /// The kernel [O, I, …] of each group as [I, O, …], reversed in space: [G·I, O ÷ G, …].
    fn transposed_kernel(&self, b: &mut GraphBuilder<'_>) -> Built {
        let (rank, groups) = (self.spatial(), self.groups());
        let shape = b.shape(self.kernel);
        let outputs = shape[0].floor_div(&Dim::from(groups));
        let mut split = vec![Dim::from(groups), outputs.clone()];
        split.extend(shape[1..].iter().cloned());
        let mut order = vec![0, 2, 1];
        order.extend(3..rank + 3);
        let mut joined = vec![Dim::from(groups) * &shape[1], outputs];
        joined.extend(shape[2..].iter().cloned());

        let reversed = reverse(b, self.kernel, (2..rank + 2).collect())?;
        let kernel = b.reshape(reversed, &split)?;
        let kernel = b.transpose(kernel, &order)?;
        b.reshape(kernel, &joined)
    }

    /// [B ÷ G, G·C, …] → [B, C, …]: the groups of features are parts of the batch.
    fn features_to_batch(&self, b: &mut GraphBuilder<'_>, value: ValueId, groups: i64) -> Built {
        let shape = b.shape(self.x);
        let part = shape[0].floor_div(&Dim::from(groups));
        let mut split = vec![part, Dim::from(groups)];
        split.extend(shape[1..].iter().cloned());
        let mut order = vec![1, 0];
        order.extend(2..split.len());
        let value = b.reshape(value, &split)?;
        let value = b.transpose(value, &order)?;
        b.reshape(value, &shape)
    }

    /// [O, C ÷ G, …]. Batch and features change places: of the input the batch is summed over, and features become the batch.
    fn of_kernel(&self, b: &mut GraphBuilder<'_>) -> Built {
        let rank = self.spatial();
        let (x, kernel, g) = (b.shape(self.x), b.shape(self.kernel), b.shape(self.g));
        let high = (0..rank)
            .map(|axis| {
                let input = dilated(&x[axis + 2], self.base_dilation[axis]);
                let window = dilated(&g[axis + 2], self.stride[axis]);
                let (outputs, low) = (&kernel[axis + 2], &self.padding_low[axis]);
                high_padding(outputs, self.kernel_dilation[axis], &input, low, &window)
            })
            .collect();
        let mut swapped = ConvDimensions::standard(rank);
        for order in [&mut swapped.input, &mut swapped.kernel, &mut swapped.output] {
            order.swap(0, 1);
        }
        let op = Op::Conv {
            dimensions: swapped,
            stride: self.kernel_dilation.clone(),
            padding_low: self.padding_low.clone(),
            padding_high: high,
            base_dilation: self.base_dilation.clone(),
            kernel_dilation: self.stride.clone(),
            feature_groups: self.batch_groups,
            batch_groups: self.feature_groups,
        };
        b.op(op, &[self.x, self.g])
    }
}
