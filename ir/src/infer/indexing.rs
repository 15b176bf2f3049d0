//! Gathers, scatters and slices at run-time places.

use super::check;
use super::{Rule, window};
use crate::{DType, Dim, ReduceOp, ScatterOp, Shape, TensorType};

pub fn gather(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x, indices] = check::operands(operands)?;
    check::integer("the indices", indices)?;
    check::axis("axis", axis, x)?;
    let (before, after) = (&x.shape[..axis], &x.shape[axis + 1..]);
    check::tensor(x.dtype, before.iter().chain(&indices.shape).chain(after).cloned().collect::<Shape>())
}

/// The indices address `x` along `axis` and stay within it elsewhere.
fn index_elements(axis: usize, x: &TensorType, indices: &TensorType) -> Result<(), String> {
    check::integer("the indices", indices)?;
    check::axis("axis", axis, x)?;
    if x.rank() != indices.rank() {
        return Err(format!("the ranks of {x} and of the indices {indices} must be equal"));
    }
    for place in (0..x.rank()).filter(|place| *place != axis) {
        let what = format!("extent {place} of the indices");
        check::at_most(&what, &indices.shape[place], &x.shape[place])?;
    }
    Ok(())
}

pub fn gather_elements(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x, indices] = check::operands(operands)?;
    index_elements(axis, x, indices)?;
    Ok(indices.with_dtype(x.dtype))
}

pub fn scatter_elements(axis: usize, combine: ScatterOp, operands: &[&TensorType]) -> Rule {
    let [x, indices, updates] = check::operands(operands)?;
    index_elements(axis, x, indices)?;
    combines(combine, x)?;
    check::is_type("the updates", updates, &indices.with_dtype(x.dtype))?;
    Ok(x.clone())
}

fn combines(combine: ScatterOp, x: &TensorType) -> Result<(), String> {
    match combine {
        ScatterOp::Replace | ScatterOp::Max | ScatterOp::Min => Ok(()),
        ScatterOp::Add | ScatterOp::Mul => window::combines(ReduceOp::Sum, x),
    }
}

/// The shape of what coordinates in the last dimension of `indices` address: `[b…, i…, rest…]`.
fn coordinates(batch: usize, x: &TensorType, indices: &TensorType) -> Result<Shape, String> {
    check::integer("the indices", indices)?;
    let Some((last, places)) = indices.shape.split_last() else {
        return Err(format!("the indices {indices} have no dimension that holds coordinates"));
    };
    let Some(k) = last.as_const().and_then(|k| usize::try_from(k).ok()) else {
        return Err(format!("the number of coordinates {last} must be known when compiling"));
    };
    if batch > places.len() {
        return Err(format!("{batch} batch dimensions are more than the indices {indices} have"));
    }
    if batch.saturating_add(k) > x.rank() {
        return Err(format!("{batch} batch dimensions and {k} coordinates are more than the rank of {x}"));
    }
    check::same_shape("the batch extents", &x.shape[..batch], &places[..batch])?;
    Ok(places.iter().chain(&x.shape[batch + k..]).cloned().collect())
}

pub fn gather_nd(batch: usize, operands: &[&TensorType]) -> Rule {
    let [x, indices] = check::operands(operands)?;
    check::tensor(x.dtype, coordinates(batch, x, indices)?)
}

pub fn scatter_nd(combine: ScatterOp, operands: &[&TensorType]) -> Rule {
    let [x, indices, updates] = check::operands(operands)?;
    combines(combine, x)?;
    let shape = coordinates(0, x, indices)?;
    check::is_type("the updates", updates, &TensorType { dtype: x.dtype, shape })?;
    Ok(x.clone())
}

fn window_of(x: &TensorType, shape: &[Dim], starts: &TensorType) -> Result<(), String> {
    check::is_type("the starts", starts, &TensorType::new(DType::I64, [x.rank()]))?;
    check::per_dimension("shape", shape, x.rank())?;
    for (axis, (inner, outer)) in shape.iter().zip(&x.shape).enumerate() {
        check::at_most(&format!("extent {axis} of the slice"), inner, outer)?;
    }
    Ok(())
}

pub fn dynamic_slice(shape: &[Dim], operands: &[&TensorType]) -> Rule {
    let [x, starts] = check::operands(operands)?;
    window_of(x, shape, starts)?;
    check::tensor(x.dtype, shape)
}

pub fn dynamic_update_slice(operands: &[&TensorType]) -> Rule {
    let [x, update, starts] = check::operands(operands)?;
    check::same_dtype("the types of operand and update", x.dtype, update.dtype)?;
    window_of(x, &update.shape, starts)?;
    Ok(x.clone())
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{DType, Dim, Op, ScatterOp};

    #[test]
    fn gather_replaces_a_dimension() {
        let along = |axis| Op::Gather { axis };
        let x = f32s([5, 6, 7]);
        good(along(1), &[&x, &ty(DType::I32, [n(), d(2)])], ty(DType::F32, [d(5), n(), d(2), d(7)]));
        good(along(0), &[&x, &ty::<i64, 0>(DType::U8, [])], f32s([6, 7]));
        bad(along(3), &[&x, &i64s([2])], "axis 3 is not below the rank");
        bad(along(0), &[&x, &f32s([2])], "the indices must be of an integer type");
        bad(along(0), &[&f32s([]), &i64s([2])], "axis 0 is not below the rank");
        bad(along(0), &[&x], "takes 2 operands, not 1");
    }

    #[test]
    fn elements_are_indexed_within_the_operand() {
        let gather = |axis| Op::GatherElements { axis };
        let x = f32s([5, 6]);
        good(gather(0), &[&x, &i64s([9, 6])], f32s([9, 6]));
        good(gather(1), &[&x, &i64s([2, 8])], f32s([2, 8]));
        bad(gather(1), &[&x, &i64s([6, 1])], "extent 0 of the indices is 6, which is more than 5");
        bad(gather(1), &[&x, &i64s([5])], "the ranks of f32[5, 6] and of the indices i64[5]");
        bad(gather(2), &[&x, &i64s([5, 6])], "axis 2");
        bad(gather(0), &[&x, &bools([5, 6])], "integer type");

        let scatter = |combine| Op::ScatterElements { axis: 0, combine };
        good(scatter(ScatterOp::Add), &[&x, &i64s([2, 6]), &f32s([2, 6])], x.clone());
        good(scatter(ScatterOp::Max), &[&bools([5]), &i64s([2]), &bools([2])], bools([5]));
        bad(scatter(ScatterOp::Add), &[&bools([5]), &i64s([2]), &bools([2])], "must be numbers");
        bad(scatter(ScatterOp::Mul), &[&x, &i64s([2, 6]), &f32s([2, 5])], "the updates must be f32[2, 6]");
        bad(scatter(ScatterOp::Mul), &[&x, &i64s([2, 6]), &i64s([2, 6])], "the updates must be f32[2, 6]");
        bad(scatter(ScatterOp::Mul), &[&x, &i64s([2, 7]), &f32s([2, 7])], "extent 1 of the indices is 7");
    }

    #[test]
    fn coordinates_address_leading_dimensions() {
        let gather = |batch_dimensions| Op::GatherNd { batch_dimensions };
        let x = ty(DType::F32, [n(), d(6), d(7)]);
        good(gather(0), &[&x, &i64s([4, 2])], f32s([4, 7]));
        good(gather(0), &[&x, &i64s([3])], f32s([]));
        good(gather(0), &[&x, &i64s([4, 0])], ty(DType::F32, [d(4), n(), d(6), d(7)]));
        good(gather(1), &[&x, &ty(DType::I64, [n(), d(5), d(1)])], ty(DType::F32, [n(), d(5), d(7)]));
        bad(gather(1), &[&x, &i64s([4, 5, 1])], "the batch extents must be equal but are [N] and [4]");
        bad(gather(1), &[&x, &i64s([1])], "1 batch dimensions are more than the indices i64[1] have");
        bad(gather(0), &[&x, &i64s([4])], "0 batch dimensions and 4 coordinates");
        bad(gather(0), &[&x, &i64s([])], "no dimension that holds coordinates");
        bad(gather(0), &[&x, &ty(DType::I64, [n()])], "must be known when compiling");
        bad(gather(usize::MAX), &[&x, &i64s([1])], "batch dimensions are more");

        let scatter = Op::ScatterNd { combine: ScatterOp::Replace };
        good(scatter.clone(), &[&x, &i64s([4, 2]), &f32s([4, 7])], x.clone());
        bad(scatter.clone(), &[&x, &i64s([4, 2]), &f32s([4])], "the updates must be f32[4, 7], not f32[4]");
        bad(scatter, &[&x, &i64s([4, 4]), &f32s([4])], "4 coordinates");
        let add = Op::ScatterNd { combine: ScatterOp::Add };
        bad(add, &[&bools([5]), &i64s([1, 1]), &bools([1])], "must be numbers");
    }

    #[test]
    fn dynamic_slices_lie_within_the_operand() {
        let slice = |shape: &[Dim]| Op::DynamicSlice { shape: shape.to_vec() };
        let x = ty(DType::F32, [n(), d(6)]);
        good(slice(&[d(2), d(6)]), &[&x, &i64s([2])], f32s([2, 6]));
        good(slice(&[]), &[&f32s([]), &i64s([0])], f32s([]));
        bad(slice(&[n() + 1, d(6)]), &[&x, &i64s([2])], "extent 0 of the slice is N + 1");
        bad(slice(&[d(2)]), &[&x, &i64s([2])], "`shape` has 1 entries for 2 dimensions");
        bad(slice(&[d(2), d(6)]), &[&x, &i64s([3])], "the starts must be i64[2], not i64[3]");
        bad(slice(&[d(2), d(6)]), &[&x, &ty(DType::I32, [2])], "the starts must be i64[2]");

        let update = Op::DynamicUpdateSlice;
        good(update.clone(), &[&x, &f32s([1, 3]), &i64s([2])], x.clone());
        bad(update.clone(), &[&x, &f32s([1, 7]), &i64s([2])], "extent 1 of the slice is 7");
        bad(update.clone(), &[&x, &i64s([1, 3]), &i64s([2])], "types of operand and update");
        bad(update, &[&x, &f32s([3]), &i64s([2])], "`shape` has 1 entries");
    }
}
