//! Sums of products.

use super::window::{self, Window};
use super::{Rule, check};
use crate::{ConvDimensions, Dim, DimensionRole, Op, Shape, TensorType};

pub fn dot_general(op: &Op, operands: &[&TensorType]) -> Rule {
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = op else {
        return Err("is no dot_general".into());
    };
    let [a, b] = check::operands(operands)?;
    check::numeric("the operands", a)?;
    check::same_dtype("the types of the operands", a.dtype, b.dtype)?;
    if lhs_batch.len() != rhs_batch.len() || lhs_contract.len() != rhs_contract.len() {
        return Err("the lists of dimensions of a and b must have equal lengths".into());
    }
    let (lhs, rhs) =
        ([lhs_batch.as_slice(), lhs_contract].concat(), [rhs_batch.as_slice(), rhs_contract].concat());
    check::distinct_axes("dimension of a", &lhs, a)?;
    check::distinct_axes("dimension of b", &rhs, b)?;
    for (i, j) in lhs.iter().zip(&rhs) {
        let what = format!("extents of dimension {i} of {a} and {j} of {b}");
        check::same_extent(&what, &a.shape[*i], &b.shape[*j])?;
    }
    let free = |ty: &TensorType, used: &[usize]| {
        let free = (0..ty.rank()).filter(|axis| !used.contains(axis));
        free.map(|axis| ty.shape[axis].clone()).collect::<Shape>()
    };
    let mut shape: Shape = lhs_batch.iter().map(|axis| a.shape[*axis].clone()).collect();
    shape.extend(free(a, &lhs));
    shape.extend(free(b, &rhs));
    check::tensor(a.dtype, shape)
}

/// The places of outer, inner and spatial dimensions in an order that is complete.
struct Places {
    outer: usize,
    inner: usize,
    spatial: Vec<usize>,
}

fn places(what: &str, order: &[DimensionRole], ty: &TensorType) -> Result<Places, String> {
    if ty.rank() != order.len() {
        return Err(format!("the {what} {ty} does not have the {} dimensions of its order", order.len()));
    }
    let place = |role| {
        let place = ConvDimensions::position(order, role);
        place.ok_or_else(|| format!("the dimension order of the {what} is incomplete"))
    };
    let spatial = (0..10).take(order.len().saturating_sub(2)).map(|n| place(DimensionRole::Spatial(n)));
    let spatial: Vec<usize> = spatial.collect::<Result<_, _>>()?;
    if order.len() > spatial.len() + 2 {
        return Err(format!("the {what} has more than {} spatial dimensions", spatial.len()));
    }
    Ok(Places { outer: place(DimensionRole::Outer)?, inner: place(DimensionRole::Inner)?, spatial })
}

/// The part of `extent` that each of `groups` takes.
fn divided(what: &str, extent: &Dim, groups: i64) -> Result<Dim, String> {
    let groups = Dim::from(groups);
    match extent.modulo(&groups).is(0) {
        true => Ok(extent.floor_div(&groups)),
        false => Err(format!("{what} {extent} can't be divided into {groups} groups")),
    }
}

pub fn conv(op: &Op, operands: &[&TensorType]) -> Rule {
    let Op::Conv {
        dimensions,
        stride,
        padding_low,
        padding_high,
        base_dilation,
        kernel_dilation,
        feature_groups,
        batch_groups,
    } = op
    else {
        return Err("is no conv".into());
    };
    let [x, kernel] = check::operands(operands)?;
    check::numeric("the operands", x)?;
    check::same_dtype("the types of input and kernel", x.dtype, kernel.dtype)?;
    let (input, weights) =
        (places("input", &dimensions.input, x)?, places("kernel", &dimensions.kernel, kernel)?);
    let rank = input.spatial.len();
    let mut result = TensorType { dtype: x.dtype, shape: x.shape.clone() };
    let output = places("output", &dimensions.output, &result)?;
    if weights.spatial.len() != rank {
        return Err(format!("input {x} and kernel {kernel} must have equal ranks"));
    }
    check::per_dimension("stride", stride, rank)?;
    check::per_dimension("padding_low", padding_low, rank)?;
    check::per_dimension("padding_high", padding_high, rank)?;
    check::per_dimension("base_dilation", base_dilation, rank)?;
    check::per_dimension("kernel_dilation", kernel_dilation, rank)?;

    check::count("feature_groups", *feature_groups, 1)?;
    check::count("batch_groups", *batch_groups, 1)?;
    if *feature_groups > 1 && *batch_groups > 1 {
        return Err(format!(
            "{feature_groups} feature groups and {batch_groups} batch groups exclude each other"
        ));
    }
    let features = divided("the input features", &x.shape[input.inner], *feature_groups)?;
    check::same_extent("the features of a group and of the kernel", &features, &kernel.shape[weights.inner])?;
    let output_features = &kernel.shape[weights.outer];
    divided("the output features", output_features, *feature_groups)?;
    divided("the output features", output_features, *batch_groups)?;

    result.shape[output.outer] = divided("the batch", &x.shape[input.outer], *batch_groups)?;
    result.shape[output.inner] = output_features.clone();
    for axis in 0..rank {
        let window = Window {
            size: kernel.shape[weights.spatial[axis]].clone(),
            stride: stride[axis],
            dilation: kernel_dilation[axis],
            base_dilation: base_dilation[axis],
            low: &padding_low[axis],
            high: &padding_high[axis],
        };
        result.shape[output.spatial[axis]] = window::places(&x.shape[input.spatial[axis]], &window)?;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{ConvDimensions, DType, Dim, DimensionRole, Op};

    fn dot(lists: [&[usize]; 4]) -> Op {
        let [lhs_batch, rhs_batch, lhs_contract, rhs_contract] = lists.map(<[usize]>::to_vec);
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }
    }

    #[test]
    fn dot_general_orders_batch_then_free() {
        let (a, b) = (ty(DType::F32, [n(), d(3), d(4), d(5)]), ty(DType::F32, [d(5), d(7), d(3), n()]));
        good(dot([&[1, 0], &[2, 3], &[3], &[0]]), &[&a, &b], ty(DType::F32, [d(3), n(), d(4), d(7)]));
        good(dot([&[], &[], &[1], &[0]]), &[&i64s([2, 3]), &i64s([3, 4])], i64s([2, 4]));
        good(dot([&[], &[], &[], &[]]), &[&f32s([2]), &f32s([3])], f32s([2, 3]));
        good(dot([&[], &[], &[0], &[0]]), &[&f32s([0]), &f32s([0])], f32s([]));
    }

    #[test]
    fn bad_dot_generals() {
        let (a, b) = (f32s([2, 3]), f32s([3, 4]));
        bad(
            dot([&[], &[], &[1], &[1]]),
            &[&a, &b],
            "dimension 1 of f32[2, 3] and 1 of f32[3, 4] must be equal",
        );
        bad(dot([&[], &[], &[1], &[]]), &[&a, &b], "must have equal lengths");
        bad(dot([&[1], &[0], &[1], &[0]]), &[&a, &b], "dimension of a 1 is listed twice");
        bad(dot([&[], &[], &[2], &[0]]), &[&a, &b], "dimension of a 2 is not below the rank");
        bad(dot([&[], &[], &[1], &[9]]), &[&a, &b], "dimension of b 9 is not below the rank");
        bad(dot([&[], &[], &[1], &[0]]), &[&a, &i64s([3, 4])], "must be equal but are f32 and i64");
        bad(dot([&[], &[], &[0], &[0]]), &[&bools([2]), &bools([2])], "must be numbers");
        let huge = f32s([1 << 30, 1]);
        bad(dot([&[], &[], &[1], &[1]]), &[&huge, &huge], "may have more than");
    }

    fn conv() -> Op {
        conv_of("bf01_oi01_bf01", 1, 1)
    }

    fn conv_of(order: &str, feature_groups: i64, batch_groups: i64) -> Op {
        Op::Conv {
            dimensions: order.parse().unwrap(),
            stride: vec![2, 1],
            padding_low: vec![d(1), d(0)],
            padding_high: vec![d(1), d(-1)],
            base_dilation: vec![1, 2],
            kernel_dilation: vec![1, 3],
            feature_groups,
            batch_groups,
        }
    }

    // Rows: ⌊(9 + 2 − 3) ÷ 2⌋ + 1 = 5. Columns: dilated input 2·7 − 1 = 13, minus 1; dilated kernel 4; 12 − 4 + 1 = 9.
    #[test]
    fn conv_extents_in_any_order() {
        let (x, kernel) = (ty(DType::F32, [n(), d(4), d(9), d(7)]), f32s([8, 4, 3, 2]));
        good(conv(), &[&x, &kernel], ty(DType::F32, [n(), d(8), d(5), d(9)]));
        let (x, kernel) = (ty(DType::F32, [n(), d(9), d(7), d(4)]), f32s([2, 3, 4, 8]));
        good(conv_of("b01f_10io_f1b0", 1, 1), &[&x, &kernel], ty(DType::F32, [d(8), d(9), n(), d(5)]));
    }

    #[test]
    fn conv_groups() {
        let (x, kernel) = (f32s([6, 4, 9, 7]), f32s([8, 2, 3, 2]));
        good(conv_of("bf01_oi01_bf01", 2, 1), &[&x, &kernel], f32s([6, 8, 5, 9]));
        let kernel = f32s([9, 4, 3, 2]);
        good(conv_of("bf01_oi01_bf01", 1, 3), &[&x, &kernel], f32s([2, 9, 5, 9]));
        bad(
            conv_of("bf01_oi01_bf01", 3, 1),
            &[&x, &kernel],
            "the input features 4 can't be divided into 3 groups",
        );
        bad(conv_of("bf01_oi01_bf01", 1, 4), &[&x, &kernel], "the output features 9 can't be divided");
        bad(conv_of("bf01_oi01_bf01", 1, 9), &[&x, &kernel], "the batch 6 can't be divided into 9 groups");
        bad(conv_of("bf01_oi01_bf01", 2, 1), &[&x, &kernel], "the features of a group and of the kernel");
        bad(conv_of("bf01_oi01_bf01", 0, 1), &[&x, &kernel], "feature_groups is 0");
        bad(conv_of("bf01_oi01_bf01", 1, -1), &[&x, &kernel], "batch_groups is -1");
        bad(conv_of("bf01_oi01_bf01", 2, 2), &[&x, &kernel], "exclude each other");
    }

    #[test]
    fn conv_without_spatial_dimensions_is_a_product() {
        let op = Op::Conv {
            dimensions: ConvDimensions::standard(0),
            stride: vec![],
            padding_low: vec![],
            padding_high: vec![],
            base_dilation: vec![],
            kernel_dilation: vec![],
            feature_groups: 1,
            batch_groups: 1,
        };
        good(op, &[&f32s([2, 3]), &f32s([4, 3])], f32s([2, 4]));
    }

    #[test]
    fn bad_convs() {
        let (x, kernel) = (f32s([2, 4, 9, 7]), f32s([8, 4, 3, 2]));
        bad(conv(), &[&x, &f32s([8, 4, 3])], "the kernel f32[8, 4, 3] does not have the 4 dimensions");
        bad(conv(), &[&f32s([2, 4, 9]), &kernel], "the input f32[2, 4, 9] does not have the 4 dimensions");
        bad(conv(), &[&x, &f32s([8, 4, 99, 2])], "extent 99 does not fit into the padded extent 11");
        bad(conv(), &[&x, &f32s([8, 4, 0, 2])], "a window extent is 0 but must be at least 1");
        bad(conv(), &[&x, &ty(DType::F16, [8, 4, 3, 2])], "must be equal but are f32 and f16");
        bad(conv(), &[&bools([2, 4, 9, 7]), &bools([8, 4, 3, 2])], "must be numbers");
        bad(conv(), &[&x], "takes 2 operands");

        type Change<'a> = &'a dyn Fn(&mut ConvDimensions, &mut Vec<i64>, &mut Vec<Dim>);
        let change = |change: Change| {
            let mut op = conv();
            let Op::Conv { dimensions, stride, padding_low, .. } = &mut op else { unreachable!() };
            change(dimensions, stride, padding_low);
            op
        };
        bad(change(&|_, stride, _| stride[0] = 0), &[&x, &kernel], "a stride is 0");
        bad(
            change(&|_, stride, _| stride.push(1)),
            &[&x, &kernel],
            "`stride` has 3 entries for 2 dimensions",
        );
        bad(change(&|_, _, low| low[1] = d(i64::MAX)), &[&x, &kernel], "may be beyond");
        let repeated = change(&|dimensions, _, _| dimensions.input[1] = DimensionRole::Outer);
        bad(repeated, &[&x, &kernel], "the dimension order of the input is incomplete");
        let short = change(&|dimensions, _, _| dimensions.output.truncate(3));
        bad(short, &[&x, &kernel], "does not have the 3 dimensions");
        let empty = change(&|dimensions, _, _| dimensions.output.clear());
        bad(empty, &[&x, &kernel], "does not have the 0 dimensions");
    }

    #[test]
    fn dilated_extents_do_not_cancel_by_saturation() {
        let mut op = conv();
        let Op::Conv { base_dilation, kernel_dilation, .. } = &mut op else { unreachable!() };
        (*base_dilation, *kernel_dilation) = (vec![1 << 40; 2], vec![1 << 40; 2]);
        let (x, kernel) = (f32s([1, 4, 1 << 35, 1]), f32s([8, 4, 1 << 34, 1]));
        bad(op, &[&x, &kernel], "the dilated extent");
    }
}
