//! Reductions, positions of extremes, running sums.

use crate::import::onnx::context::{NodeContext, Outputs, normalize_axes, normalize_axis};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{BinaryOp, CumulativeOp, DType, Dim, Op, ReduceOp, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The reductions of ONNX.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Σx.
    Sum,
    /// Πx.
    Product,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Σx ÷ n.
    Mean,
    /// Σ|x|.
    L1,
    /// √Σx².
    L2,
    /// ln Σx.
    LogSum,
    /// ln Σeˣ.
    LogSumExp,
    /// Σx².
    SumSquare,
}

/// The axes of a reduction; `None` where the node does nothing.
fn reduced_axes(c: &mut Context<'_, '_, '_>, kind: Kind, rank: usize) -> Result<Option<Vec<usize>>> {
    let since = if kind == Kind::Sum { 13 } else { 18 };
    match c.axes(since, 1)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => Ok(Some(normalize_axes(&axes, rank)?)),
        None if c.flag("noop_with_empty_axes", false)? => Ok(None),
        None => Ok(Some((0..rank).collect())),
    }
}

/// `ReduceSum`, `ReduceMean`, …
pub(super) fn reduce(c: &mut Context<'_, '_, '_>, kind: Kind) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    // Without axes only the elementwise part of a reduction is left.
    let axes = reduced_axes(c, kind, rank)?.unwrap_or_default();
    let keep = c.flag("keepdims", true)?;
    Ok(reduce_over(c, kind, x, &axes, keep)?.into())
}

/// A reduction over given axes.
pub(super) fn reduce_over(
    c: &mut Context<'_, '_, '_>,
    kind: Kind,
    x: ValueId,
    axes: &[usize],
    keep: bool,
) -> Result<ValueId> {
    let combine = match kind {
        Kind::Product => ReduceOp::Product,
        Kind::Max => ReduceOp::Max,
        Kind::Min => ReduceOp::Min,
        Kind::LogSumExp => return log_sum_exp(c, x, axes, keep),
        _ => ReduceOp::Sum,
    };
    let dtype = c.dtype(x);
    let is_root = matches!(kind, Kind::L2 | Kind::LogSum);
    let wide = if is_root && !dtype.is_float() { c.cast(x, DType::F64)? } else { x };
    let terms = match kind {
        Kind::L1 => c.unary(UnaryOp::Abs, wide)?,
        Kind::L2 | Kind::SumSquare => c.binary(BinaryOp::Mul, wide, wide)?,
        _ => wide,
    };
    let count = element_count(c, x, axes);
    let sum = c.reduce(combine, terms, axes, keep)?;
    let result = match kind {
        Kind::L2 => c.unary(UnaryOp::Sqrt, sum)?,
        Kind::LogSum => c.unary(UnaryOp::Log, sum)?,
        Kind::Mean => divide_by(c, sum, &count)?,
        _ => sum,
    };
    Ok(c.cast(result, dtype)?)
}

/// How many elements a reduction over axes takes together.
pub(super) fn element_count(c: &Context<'_, '_, '_>, x: ValueId, axes: &[usize]) -> Dim {
    let shape = c.shape(x);
    axes.iter().fold(Dim::ONE, |product, axis| product * &shape[*axis])
}

/// A tensor divided by an extent.
pub(super) fn divide_by(c: &mut Context<'_, '_, '_>, x: ValueId, count: &Dim) -> Result<ValueId> {
    match count.as_const() {
        Some(1) => Ok(x),
        Some(count) => Ok(c.binary_scalar(BinaryOp::Div, x, count as f64)?),
        None => {
            let dtype = c.dtype(x);
            let extent = c.op(Op::Extent { dim: count.clone() }, &[])?;
            let extent = c.cast(extent, dtype)?;
            Ok(c.binary(BinaryOp::Div, x, extent)?)
        }
    }
}

/// ln Σ e^(x − m) + m with the maximum m, or 0 instead of an infinite one.
fn log_sum_exp(c: &mut Context<'_, '_, '_>, x: ValueId, axes: &[usize], keep: bool) -> Result<ValueId> {
    let dtype = c.dtype(x);
    let x = if dtype.is_float() { x } else { c.cast(x, DType::F64)? };
    let max = c.reduce(ReduceOp::Max, x, axes, true)?;
    let infinite = c.unary(UnaryOp::IsInf, max)?;
    let zero = c.scalar_like(x, 0.0)?;
    let max = c.select(infinite, zero, max)?;
    let shifted = c.binary(BinaryOp::Sub, x, max)?;
    let powers = c.unary(UnaryOp::Exp, shifted)?;
    let sum = c.reduce(ReduceOp::Sum, powers, axes, true)?;
    let log = c.unary(UnaryOp::Log, sum)?;
    let result = c.binary(BinaryOp::Add, log, max)?;
    let result = if keep { result } else { drop_axes(c, result, axes)? };
    Ok(c.cast(result, dtype)?)
}

/// Removes axes of extent 1.
pub(super) fn drop_axes(c: &mut Context<'_, '_, '_>, x: ValueId, axes: &[usize]) -> Result<ValueId> {
    let shape = c.shape(x);
    let left: Vec<Dim> = shape
        .iter()
        .enumerate()
        .filter(|(axis, _)| !axes.contains(axis))
        .map(|(_, dim)| dim.clone())
        .collect();
    Ok(c.reshape(x, &left)?)
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg_reduce(c: &mut Context<'_, '_, '_>, largest: bool) -> Result<Outputs> {
    let x = c.value(0)?;
    let mut shape = c.shape(x);
    let axis = normalize_axis(c.int_or("axis", 0)?, shape.len())?;
    let last = c.flag("select_last_index", false)?;
    let index = c.op(Op::ArgReduce { largest, axis, last }, &[x])?;
    if !c.flag("keepdims", true)? {
        return Ok(index.into());
    }
    shape[axis] = Dim::ONE;
    Ok(c.reshape(index, &shape)?.into())
}

/// `CumSum` and `CumProd`.
pub(super) fn cumulative(c: &mut Context<'_, '_, '_>, combine: CumulativeOp) -> Result<Outputs> {
    let x = c.value(0)?;
    let rank = c.shape(x).len();
    if rank == 0 {
        return bad_input("needs a tensor with at least one dimension");
    }
    let axis = normalize_axis(c.constant_int(1, "the axis")?, rank)?;
    let (exclusive, reverse) = (c.flag("exclusive", false)?, c.flag("reverse", false)?);
    Ok(c.op(Op::Cumulative { combine, axis, exclusive, reverse }, &[x])?.into())
}
