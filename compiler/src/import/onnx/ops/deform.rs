//! Windows whose places are given or add up: `DeformConv`, `Col2Im`.

use super::conv::{Geometry, add_bias, dilated, geometry, per_dimension};
use super::grid::linear_sample;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, ConvDimensions, DType, Dim, Op, Tensor, ValueId, element};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Elements of a window.
const MAX_WINDOW: i64 = 1 << 12;

/// Constant extents of a window and their product.
fn window(extents: &[Dim]) -> Result<(Vec<i64>, i64)> {
    let extents: Option<Vec<i64>> = extents.iter().map(Dim::as_const).collect();
    let Some(extents) = extents else { return unsupported("the extents of the window are not constant") };
    match extents.iter().try_fold(1i64, |product, extent| product.checked_mul(*extent)) {
        Some(product @ 1..=MAX_WINDOW) => Ok((extents, product)),
        _ => unsupported(format!("the window {extents:?} is empty or too large")),
    }
}

/// The place of element `number` of a window, per dimension.
fn unravel(mut number: i64, extents: &[i64]) -> Vec<i64> {
    let mut places = vec![0; extents.len()];
    for (place, extent) in places.iter_mut().zip(extents).rev() {
        (*place, number) = (number % extent, number / extent);
    }
    places
}

/// `DeformConv` (Dai et al., 2017; Zhu et al., 2019): a convolution whose window is sampled at shifted places.
pub(super) fn deform_conv(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, kernel, offset) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let (bias, mask) = (c.optional(3)?, c.optional(4)?);
    let (input, weights) = (c.shape(x), c.shape(kernel));
    let rank = input.len().saturating_sub(2);
    if rank < 1 || weights.len() != rank + 2 || c.shape(offset).len() != rank + 2 {
        return bad_input(format!("can't convolve {} with {}", c.ty(x), c.ty(kernel)));
    }
    let (groups, offset_groups) = (c.int_or("group", 1)?, c.int_or("offset_group", 1)?);
    if groups < 1 || offset_groups < 1 {
        return bad_input("needs at least one group");
    }
    let geometry = geometry(c, &input[2..], weights[2..].to_vec())?;
    let deformed = Deformed { offset, mask, groups: offset_groups, geometry };
    let columns = deformed.columns(c, x)?;
    let places: Vec<Dim> = c.shape(offset)[2..].to_vec();
    let y = contract(c, columns, kernel, groups, &places)?;
    Ok(add_bias(c, y, bias)?.into())
}

struct Deformed {
    offset: ValueId,
    mask: Option<ValueId>,
    groups: i64,
    geometry: Geometry,
}

impl Deformed {
    /// The sampled windows: \[batch, features, window, places\].
    fn columns(&self, c: &mut Context<'_, '_, '_>, x: ValueId) -> Result<ValueId> {
        let (extents, count) = window(&self.geometry.size)?;
        let (input, places) = (c.shape(x), c.shape(self.offset));
        let (rank, dtype) = (extents.len(), c.dtype(x));
        let wide = if dtype.bytes() < 4 { DType::F32 } else { dtype };
        let grid: Vec<Dim> = places[2..].to_vec();
        let samples = grid.iter().fold(Dim::from(count), |product, dim| &product * dim);
        let batch = &input[0] * self.groups;
        // [batch · groups, window, spatial, places…].
        let split: Vec<Dim> = [batch.clone(), Dim::from(count), Dim::from(rank)]
            .into_iter()
            .chain(grid.iter().cloned())
            .collect();
        let offset = c.reshape(self.offset, &split)?;
        let offset = c.cast(offset, wide)?;
        let single: Vec<Dim> =
            [batch.clone(), Dim::from(count)].into_iter().chain(grid.iter().cloned()).collect();
        let mut coordinates = Vec::with_capacity(rank);
        for axis in 0..rank {
            let shift = super::slice::slice_axis(c, offset, 2, Dim::from(axis), Dim::from(axis + 1))?;
            let shift = c.reshape(shift, &single)?;
            let regular = self.regular(c, axis, &extents, &grid, wide)?;
            let place = c.binary(BinaryOp::Add, shift, regular)?;
            coordinates.push(c.reshape(place, &[batch.clone(), samples.clone(), Dim::ONE])?);
        }
        let members = input[1].floor_div(&Dim::from(self.groups));
        let own: Vec<Dim> =
            [batch.clone(), members.clone()].into_iter().chain(input[2..].iter().cloned()).collect();
        let x = c.reshape(x, &own)?;
        let mut sampled = linear_sample(c, x, &coordinates)?;
        if let Some(mask) = self.mask {
            let mask = c.reshape(mask, &[batch, samples, Dim::ONE])?;
            sampled = c.binary(BinaryOp::Mul, sampled, mask)?;
        }
        let sampled = c.transpose(sampled, &[0, 2, 1])?;
        let flat = grid.iter().fold(Dim::ONE, |product, dim| &product * dim);
        Ok(c.reshape(sampled, &[input[0].clone(), input[1].clone(), Dim::from(count), flat])?)
    }

    /// Places of the undeformed windows along a dimension: \[window, places…\].
    fn regular(
        &self,
        c: &mut Context<'_, '_, '_>,
        axis: usize,
        extents: &[i64],
        grid: &[Dim],
        dtype: DType,
    ) -> Result<ValueId> {
        let Geometry { stride, dilation, low, .. } = &self.geometry;
        let steps = c.op(Op::Iota { shape: grid.to_vec(), axis, dtype }, &[])?;
        let steps = c.binary_scalar(BinaryOp::Mul, steps, stride[axis] as f64)?;
        let count: i64 = extents.iter().product();
        let within: Vec<f64> =
            (0..count).map(|number| (unravel(number, extents)[axis] * dilation[axis]) as f64).collect();
        let within = super::constant::vector(dtype, &within)?;
        let within = c.constant(within)?;
        let wide: Vec<Dim> = [Dim::from(count)].into_iter().chain(vec![Dim::ONE; grid.len()]).collect();
        let within = c.reshape(within, &wide)?;
        let start = super::indexing::extent_value(c, &low[axis], dtype)?;
        let within = c.binary(BinaryOp::Sub, within, start)?;
        Ok(c.binary(BinaryOp::Add, steps, within)?)
    }
}

/// Columns \[batch, features, window, places\] times the kernel, group by group.
fn contract(
    c: &mut Context<'_, '_, '_>,
    columns: ValueId,
    kernel: ValueId,
    groups: i64,
    places: &[Dim],
) -> Result<ValueId> {
    let (shape, weights) = (c.shape(columns), c.shape(kernel));
    let g = Dim::from(groups);
    let (members, filters) = (shape[1].floor_div(&g), weights[0].floor_div(&g));
    let depth = &members * &shape[2];
    let columns = c.reshape(columns, &[shape[0].clone(), g.clone(), depth.clone(), shape[3].clone()])?;
    let kernel = c.reshape(kernel, &[g, filters, depth])?;
    let op = Op::DotGeneral {
        lhs_batch: vec![0],
        rhs_batch: vec![1],
        lhs_contract: vec![2],
        rhs_contract: vec![2],
    };
    // [groups, filters, batch, places] → [batch, groups · filters, places…].
    let y = c.op(op, &[kernel, columns])?;
    let y = c.transpose(y, &[2, 0, 1, 3])?;
    let result: Vec<Dim> =
        [shape[0].clone(), weights[0].clone()].into_iter().chain(places.iter().cloned()).collect();
    Ok(c.reshape(y, &result)?)
}

/// `Col2Im`: the columns of windows added up where the windows overlap. That is a transposed convolution with a kernel that
/// is 1 where column and place in the window agree.
pub(super) fn col2im(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let (image, block) = (c.dims(1, "the shape of the image")?, c.dims(2, "the shape of the blocks")?);
    let (extents, count) = window(&block)?;
    let rank = extents.len();
    let shape = c.shape(x);
    let [batch, columns, _] = shape.as_slice() else { return bad_input("needs a tensor of rank 3") };
    if image.len() != rank || rank > 9 {
        return bad_input(format!("the image has {} dimensions and the blocks have {rank}", image.len()));
    }
    super::constant::check_extents(&image)?;
    let (stride, dilation) = (per_dimension(c, "strides", rank, 1)?, per_dimension(c, "dilations", rank, 1)?);
    let pads = super::conv::explicit_pads(c, rank)?;
    if stride.contains(&0) || dilation.contains(&0) {
        return bad_input("strides and dilations must be at least 1");
    }
    let features = columns.floor_div(&Dim::from(count));
    let mut split = vec![batch * &features, Dim::from(count)];
    let (mut low, mut high) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
    for axis in 0..rank {
        let covered = dilated(&block[axis], dilation[axis]);
        let padded = &image[axis] + &pads[axis] + &pads[axis + rank];
        let places = (padded - &covered).floor_div(&Dim::from(stride[axis])) + 1;
        let before = &covered - 1 - &pads[axis];
        high.push(&image[axis] - &((&places - 1) * stride[axis]) - 2 + &covered - &before);
        low.push(before);
        split.push(places);
    }
    let windows = c.reshape(x, &split)?;
    let kernel = placing_kernel(c.dtype(x), &extents, count)?;
    let kernel = c.constant(kernel)?;
    let op = Op::Conv {
        dimensions: ConvDimensions::standard(rank),
        stride: vec![1; rank],
        padding_low: low,
        padding_high: high,
        base_dilation: stride,
        kernel_dilation: dilation,
        feature_groups: 1,
        batch_groups: 1,
    };
    let y = c.op(op, &[windows, kernel])?;
    let result: Vec<Dim> = [batch.clone(), features].into_iter().chain(image).collect();
    Ok(c.reshape(y, &result)?.into())
}

/// \[1, window, block…\]: 1 where the mirrored place in the block is that of the column.
fn placing_kernel(dtype: DType, extents: &[i64], count: i64) -> Result<Tensor> {
    let mirrored = |number: i64| count - 1 - number;
    let mut data = Vec::new();
    for column in 0..count {
        for place in 0..count {
            let value = i32::from(column == mirrored(place));
            match dtype.is_float() {
                true => data.extend(element::encode_float(dtype, value.into())),
                false => data.extend(element::encode_int(dtype, value.into())),
            }
        }
    }
    let shape: Vec<usize> = [1, count].iter().chain(extents).map(|extent| *extent as usize).collect();
    Tensor::new(dtype, shape, data).map_err(|error| Failure::BadInput(error.to_string()))
}
