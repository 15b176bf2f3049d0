//! Reductions, running reductions, sorting.

use super::{ResultTypes, Rule, check, window};
use crate::{DType, Dim, ReduceOp, Shape, TensorType};

fn without(x: &TensorType, axes: &[usize]) -> Shape {
    let kept = (0..x.rank()).filter(|axis| !axes.contains(axis));
    kept.map(|axis| x.shape[axis].clone()).collect()
}

pub fn reduce(combine: ReduceOp, axes: &[usize], operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    window::combines(combine, x)?;
    check::distinct_axes("axis", axes, x)?;
    if !axes.is_sorted() {
        return Err(format!("the axes {axes:?} must be increasing"));
    }
    check::tensor(x.dtype, without(x, axes))
}

pub fn arg_reduce(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::numeric("the operand", x)?;
    check::axis("axis", axis, x)?;
    if x.shape[axis].upper() < 1 {
        return Err(format!("{x} has no element along axis {axis}"));
    }
    check::tensor(DType::I64, without(x, &[axis]))
}

pub fn cumulative(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::numeric("the operand", x)?;
    check::axis("axis", axis, x)?;
    Ok(x.clone())
}

pub fn sort(axis: usize, operands: &[&TensorType]) -> Result<ResultTypes, String> {
    Ok(check::with_indices(cumulative(axis, operands)?))
}

pub fn top_k(axis: usize, k: &Dim, operands: &[&TensorType]) -> Result<ResultTypes, String> {
    let mut values = cumulative(axis, operands)?;
    check::at_most("k", k, &values.shape[axis])?;
    values.shape[axis] = k.clone();
    Ok(check::with_indices(values))
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{CumulativeOp, DType, Dim, Op, ReduceOp};

    #[test]
    fn reduced_axes_disappear() {
        let op = |combine, axes: &[usize]| Op::Reduce { combine, axes: axes.to_vec() };
        let x = ty(DType::F32, [n(), d(3), d(5)]);
        good(op(ReduceOp::Sum, &[0, 2]), &[&x], f32s([3]));
        good(op(ReduceOp::Max, &[]), &[&x], x.clone());
        good(op(ReduceOp::Min, &[0]), &[&bools([3])], bools([]));
        bad(op(ReduceOp::Product, &[0]), &[&bools([3])], "must be numbers");
        bad(op(ReduceOp::Sum, &[2, 0]), &[&x], "the axes [2, 0] must be increasing");
        bad(op(ReduceOp::Sum, &[0, 0]), &[&x], "axis 0 is listed twice");
        bad(op(ReduceOp::Sum, &[3]), &[&x], "axis 3 is not below the rank");
    }

    #[test]
    fn arg_reduce_gives_indices() {
        let op = |axis| Op::ArgReduce { largest: true, axis, last: false };
        good(op(1), &[&f32s([2, 3])], i64s([2]));
        bad(op(2), &[&f32s([2, 3])], "axis 2 is not below the rank");
        bad(op(0), &[&f32s([0, 3])], "f32[0, 3] has no element along axis 0");
        bad(op(0), &[&bools([3])], "must be numbers");
    }

    #[test]
    fn cumulative_keeps_the_type() {
        let op = |axis| Op::Cumulative { combine: CumulativeOp::Sum, axis, exclusive: false, reverse: true };
        good(op(1), &[&i64s([2, 3])], i64s([2, 3]));
        bad(op(2), &[&i64s([2, 3])], "axis 2 is not below the rank");
        bad(op(0), &[&bools([3])], "must be numbers");
    }

    #[test]
    fn sorting_gives_values_and_indices() {
        let sort = |axis| Op::Sort { axis, descending: false };
        good_all(sort(0), &[&f32s([2, 3])], &[], &[f32s([2, 3]), i64s([2, 3])]);
        bad(sort(2), &[&f32s([2, 3])], "axis 2 is not below the rank");
        bad(sort(0), &[&bools([2])], "must be numbers");

        let top = |k: Dim| Op::TopK { axis: 1, k, largest: true };
        let x = ty(DType::F16, [d(2), n()]);
        good_all(top(d(3)), &[&x], &[], &[ty(DType::F16, [2, 3]), i64s([2, 3])]);
        good_all(top(n()), &[&x], &[], &[x.clone(), ty(DType::I64, [d(2), n()])]);
        bad(top(n() + 1), &[&x], "k is N + 1, which is more than N");
        bad(top(d(33)), &[&x], "k is 33, which is more than N");
        bad(top(d(-1)), &[&x], "negative extent -1");
        bad(top(d(1)), &[&f32s([3])], "axis 1 is not below the rank");
    }
}
