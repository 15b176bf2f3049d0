//! Windows that slide over padded and dilated extents; the extents of convolutions come from the same formula.

use super::{Rule, check};
use crate::{DType, Dim, Op, ReduceOp, Shape, TensorType};

/// How a window slides along one dimension.
pub struct Window<'a> {
    /// Extent of the window before dilation.
    pub size: Dim,
    /// Step.
    pub stride: i64,
    /// Distance of neighbours within the window.
    pub dilation: i64,
    /// Distance of neighbours in the operand.
    pub base_dilation: i64,
    /// Padding before.
    pub low: &'a Dim,
    /// Padding after.
    pub high: &'a Dim,
}

/// Elements from the first to the last of `extent` ones at distance `dilation`.
fn dilated(extent: &Dim, dilation: i64) -> Result<Dim, String> {
    let result = match dilation {
        1 => extent.clone(),
        _ => ((extent - 1) * dilation + 1).maximum(&Dim::ZERO),
    };
    check::amount("the dilated extent", &result)?;
    Ok(result)
}

/// The extent after dilation and padding.
pub fn padded(extent: &Dim, dilation: i64, low: &Dim, high: &Dim) -> Result<Dim, String> {
    check::amount("padding", low)?;
    check::amount("padding", high)?;
    Ok(dilated(extent, dilation)? + low + high)
}

/// Number of places of the window: ⌊(padded extent − dilated window) ÷ stride⌋ + 1.
pub fn places(extent: &Dim, window: &Window) -> Result<Dim, String> {
    check::count("a stride", window.stride, 1)?;
    check::count("a dilation", window.dilation, 1)?;
    check::count("a base dilation", window.base_dilation, 1)?;
    if window.size.upper() < 1 {
        return Err(format!("a window extent is {} but must be at least 1", window.size));
    }
    let base = padded(extent, window.base_dilation, window.low, window.high)?;
    let size = dilated(&window.size, window.dilation)?;
    let places = (&base - &size).floor_div(&Dim::from(window.stride)) + 1;
    match places.upper() < 0 {
        true => Err(format!("a window of extent {size} does not fit into the padded extent {base}")),
        false => Ok(places),
    }
}

/// The bool sum and product are left to `or` and `and`.
pub fn combines(combine: ReduceOp, x: &TensorType) -> Result<(), String> {
    match combine {
        ReduceOp::Sum | ReduceOp::Product => check::numeric("the operand", x),
        ReduceOp::Max | ReduceOp::Min => Ok(()),
    }
}

pub fn window(op: &Op, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    let (dtype, size, stride, dilation, low, high) = match op {
        Op::ReduceWindow { combine, size, stride, dilation, padding_low, padding_high } => {
            combines(*combine, x)?;
            (x.dtype, size, stride, dilation, padding_low, padding_high)
        }
        Op::ArgMaxWindow { size, stride, dilation, padding_low, padding_high } => {
            check::numeric("the operand", x)?;
            (DType::I64, size, stride, dilation, padding_low, padding_high)
        }
        _ => return Err("is no window reduction".into()),
    };
    check::per_dimension("size", size, x.rank())?;
    check::per_dimension("stride", stride, x.rank())?;
    check::per_dimension("dilation", dilation, x.rank())?;
    check::per_dimension("padding_low", low, x.rank())?;
    check::per_dimension("padding_high", high, x.rank())?;
    let mut shape = Shape::new();
    for (axis, extent) in x.shape.iter().enumerate() {
        check::count("a window extent", size[axis], 1)?;
        let window = Window {
            size: Dim::from(size[axis]),
            stride: stride[axis],
            dilation: dilation[axis],
            base_dilation: 1,
            low: &low[axis],
            high: &high[axis],
        };
        shape.push(places(extent, &window)?);
    }
    check::tensor(dtype, shape)
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{DType, Dim, Op, ReduceOp};

    fn sum(size: i64, stride: i64, dilation: i64, low: Dim, high: Dim) -> Op {
        window(ReduceOp::Sum, size, stride, dilation, low, high)
    }

    fn window(combine: ReduceOp, size: i64, stride: i64, dilation: i64, low: Dim, high: Dim) -> Op {
        Op::ReduceWindow {
            combine,
            size: vec![1, size],
            stride: vec![1, stride],
            dilation: vec![1, dilation],
            padding_low: vec![d(0), low],
            padding_high: vec![d(0), high],
        }
    }

    #[test]
    fn window_places() {
        let x = f32s([2, 10]);
        good(sum(3, 1, 1, d(0), d(0)), &[&x], f32s([2, 8]));
        good(sum(3, 2, 1, d(1), d(1)), &[&x], f32s([2, 5]));
        good(sum(3, 2, 2, d(1), d(0)), &[&x], f32s([2, 4]));
        good(sum(3, 1, 1, d(-2), d(0)), &[&x], f32s([2, 6]));
        good(sum(11, 1, 1, d(0), d(0)), &[&x], f32s([2, 0]));
        let symbolic = ty(DType::F32, [d(2), n()]);
        good(sum(3, 1, 1, d(1), d(1)), &[&symbolic], symbolic.clone());
        good(sum(7, 1, 1, d(0), d(0)), &[&symbolic], ty(DType::F32, [d(2), n() - 6]));
    }

    #[test]
    fn bad_windows() {
        let x = f32s([2, 10]);
        bad(sum(12, 1, 1, d(0), d(0)), &[&x], "extent 12 does not fit into the padded extent 10");
        bad(sum(0, 1, 1, d(0), d(0)), &[&x], "a window extent is 0");
        bad(sum(3, 0, 1, d(0), d(0)), &[&x], "a stride is 0");
        bad(sum(3, 1, 0, d(0), d(0)), &[&x], "a dilation is 0");
        bad(sum(3, 1, i64::MAX, d(0), d(0)), &[&x], "must be at most");
        bad(sum(3, 1, 1, d(i64::MAX), d(i64::MIN)), &[&x], "may be beyond");
        bad(sum(3, 1, 1, d(0), d(0)), &[&f32s([10])], "`size` has 2 entries for 1 dimensions");
        bad(sum(3, 1, 1, d(0), d(0)), &[&bools([2, 10])], "must be numbers, not bool[2, 10]");
        good(window(ReduceOp::Max, 3, 1, 1, d(0), d(0)), &[&bools([2, 10])], bools([2, 8]));
    }

    #[test]
    fn arg_max_windows_give_indices() {
        let op = Op::ArgMaxWindow {
            size: vec![2],
            stride: vec![2],
            dilation: vec![1],
            padding_low: vec![d(0)],
            padding_high: vec![d(1)],
        };
        good(op.clone(), &[&f32s([9])], i64s([5]));
        bad(op.clone(), &[&bools([9])], "must be numbers");
        bad(op, &[&f32s([9, 1])], "`size` has 1 entries for 2 dimensions");
    }
}
