//! Sums of products. Floats accumulate in f64 in the order of the contracted dimensions and are rounded once; for f64 itself that is the
//! plain sum, so there the last digits depend on the order. Integers accumulate in i128 and wrap.

use super::EvalErrorKind;
use super::index::{View, for_each_index, strides};
use super::taps::{Sliding, Tap, Taps};
use super::values::{Array, Number};
use crate::{ConvDimensions, Dim, DimensionRole, Op, Tensor};

/// The dimensions of one operand of a dot: batch, free, contracted, in this order.
struct Side {
    order: Vec<usize>,
    free: usize,
    contracted: usize,
}

impl Side {
    fn new(shape: &[usize], batch: &[usize], contract: &[usize]) -> Side {
        let free: Vec<usize> =
            (0..shape.len()).filter(|d| !batch.contains(d) && !contract.contains(d)).collect();
        let extent = |dimensions: &[usize]| dimensions.iter().map(|d| shape[*d]).product();
        let order = batch.iter().chain(&free).chain(contract).copied().collect();
        Side { order, free: extent(&free), contracted: extent(contract) }
    }

    /// The elements in this order.
    fn ordered<N: Number>(&self, x: &Tensor) -> Vec<N> {
        let (values, own) = (N::decode(x), strides(x.shape()));
        let view = View {
            shape: self.order.iter().map(|d| x.shape()[*d]).collect(),
            strides: self.order.iter().map(|d| own[*d]).collect(),
            start: 0,
        };
        view.places().map(|place| values[place]).collect()
    }
}

/// Sums of products over the contracted dimensions: batch dimensions, then a's free ones, then b's.
pub(super) fn dot_general<N: Number>(
    [a, b]: [&Tensor; 2],
    [lhs_batch, rhs_batch]: [&[usize]; 2],
    [lhs_contract, rhs_contract]: [&[usize]; 2],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let left = Side::new(a.shape(), lhs_batch, lhs_contract);
    let right = Side::new(b.shape(), rhs_batch, rhs_contract);
    let batch: usize = lhs_batch.iter().map(|d| a.shape()[*d]).product();
    let (a, b): (Vec<N>, Vec<N>) = (left.ordered(a), right.ordered(b));
    let depth = left.contracted;
    let mut sums = Vec::with_capacity(result.elements() as usize);
    for n in 0..batch {
        for i in n * left.free..(n + 1) * left.free {
            let row = &a[i * depth..(i + 1) * depth];
            for j in n * right.free..(n + 1) * right.free {
                let column = &b[j * depth..(j + 1) * depth];
                sums.push(row.iter().zip(column).fold(N::default(), |sum, (x, y)| sum.add(x.mul(*y))));
            }
        }
    }
    result.encode(&sums)
}

/// Extents and strides of the dimensions of one tensor of a convolution by their roles.
struct Roles {
    outer: (usize, usize),
    inner: (usize, usize),
    spatial: Vec<(usize, usize)>,
}

impl Roles {
    fn new(order: &[DimensionRole], shape: &[usize]) -> Result<Roles, EvalErrorKind> {
        let own = strides(shape);
        let of = |role: DimensionRole| {
            let place = ConvDimensions::position(order, role).filter(|place| *place < shape.len());
            let missing = || EvalErrorKind::Internal(format!("no dimension {role:?} in {order:?}"));
            place.map(|place| (shape[place], own[place] as usize)).ok_or_else(missing)
        };
        let spatial = (0..order.len() - 2).map(|n| of(DimensionRole::Spatial(n as u8)));
        Ok(Roles {
            outer: of(DimensionRole::Outer)?,
            inner: of(DimensionRole::Inner)?,
            spatial: spatial.collect::<Result<_, _>>()?,
        })
    }
}

/// The attributes of a convolution that its sums depend on.
pub(super) struct Conv<'a> {
    dimensions: &'a ConvDimensions,
    stride: &'a [i64],
    padding_low: &'a [Dim],
    base_dilation: &'a [i64],
    kernel_dilation: &'a [i64],
    feature_groups: i64,
    batch_groups: i64,
}

impl<'a> Conv<'a> {
    /// The attributes of an `Op::Conv`; `None` of another op.
    pub(super) fn new(op: &'a Op) -> Option<Conv<'a>> {
        match op {
            Op::Conv {
                dimensions,
                stride,
                padding_low,
                padding_high: _,
                base_dilation,
                kernel_dilation,
                feature_groups,
                batch_groups,
            } => Some(Conv {
                dimensions,
                stride,
                padding_low,
                base_dilation,
                kernel_dilation,
                feature_groups: *feature_groups,
                batch_groups: *batch_groups,
            }),
            _ => None,
        }
    }
}

/// Convolution without kernel flip.
pub(super) fn conv<N: Number>(
    x: &Tensor,
    kernel: &Tensor,
    attributes: &Conv<'_>,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    if result.elements() == 0 {
        return result.tensor(Default::default());
    }
    let input = Roles::new(&attributes.dimensions.input, x.shape())?;
    let weights = Roles::new(&attributes.dimensions.kernel, kernel.shape())?;
    let output = Roles::new(&attributes.dimensions.output, &result.shape)?;
    let windows = Taps::new(&sliding(&input, &weights, &output, attributes)?);
    let (x, kernel) = (N::decode(x), N::decode(kernel));

    let (features, per_feature_group) = (output.inner.0, output.inner.0 / attributes.feature_groups as usize);
    let per_batch_group = features / attributes.batch_groups as usize;
    let mut sums = vec![N::default(); result.elements() as usize];
    let (mut spatial, mut others, mut taps) = (Vec::new(), Vec::new(), Vec::new());
    let spatial_shape: Vec<usize> = output.spatial.iter().map(|(extent, _)| *extent).collect();
    for_each_index(&spatial_shape, |_, index| {
        let target: usize = index.iter().zip(&output.spatial).map(|(i, (_, stride))| i * stride).sum();
        windows.at(index, &mut spatial, &mut others);
        all_features(&spatial, &input, &weights, &mut taps);
        for o in 0..features {
            // The part of the batch and the input features that this output feature sees.
            let part = o / per_batch_group * output.outer.0;
            let first_feature = o / per_feature_group * weights.inner.0 * input.inner.1;
            let kernel_start = o * weights.outer.1;
            for b in 0..output.outer.0 {
                let start = (part + b) * input.outer.1 + first_feature;
                let products =
                    taps.iter().map(|tap| x[start + tap.input].mul(kernel[kernel_start + tap.kernel]));
                sums[b * output.outer.1 + o * output.inner.1 + target] = products.fold(N::default(), N::add);
            }
        }
        Ok(())
    })?;
    result.encode(&sums)
}

/// The spatial taps repeated for every input feature of a group.
fn all_features(spatial: &[Tap], input: &Roles, weights: &Roles, taps: &mut Vec<Tap>) {
    taps.clear();
    for i in 0..weights.inner.0 {
        taps.extend(spatial.iter().map(|tap| Tap {
            input: tap.input + i * input.inner.1,
            kernel: tap.kernel + i * weights.inner.1,
        }));
    }
}

fn sliding(
    input: &Roles,
    weights: &Roles,
    output: &Roles,
    attributes: &Conv<'_>,
) -> Result<Vec<Sliding>, EvalErrorKind> {
    let low = super::constants(attributes.padding_low)?;
    let dimension = |d: usize| Sliding {
        input: input.spatial[d].0,
        size: weights.spatial[d].0,
        output: output.spatial[d].0,
        stride: attributes.stride[d],
        dilation: attributes.kernel_dilation[d],
        base_dilation: attributes.base_dilation[d],
        padding_low: low[d],
        input_stride: input.spatial[d].1 as isize,
        kernel_stride: weights.spatial[d].1 as isize,
    };
    Ok((0..input.spatial.len()).map(dimension).collect())
}
