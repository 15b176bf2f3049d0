//! `Det`: determinants by Gaussian elimination.

use super::slice::slice_axis;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Rows of a matrix; each is eliminated by nodes of its own.
const MAX_ROWS: i64 = 64;

/// `Det` of the matrices in the last two dimensions.
pub(super) fn det(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let x = c.value(0)?;
    let shape = c.shape(x);
    let [batch @ .., rows, columns] = shape.as_slice() else { return bad_input("needs matrices") };
    if rows != columns {
        return bad_input(format!("needs square matrices, not {}", c.ty(x)));
    }
    let Some(size @ 0..=MAX_ROWS) = rows.as_const() else {
        return unsupported(format!("matrices with {rows} rows"));
    };
    let count = batch.iter().fold(Dim::ONE, |product, dim| &product * dim);
    let mut matrix = c.reshape(x, &[count.clone(), rows.clone(), rows.clone()])?;
    let one = c.scalar_like(x, 1.0)?;
    let mut product = c.broadcast_to(one, std::slice::from_ref(&count))?;
    for left in (1..=size).rev() {
        let (factor, rest) = eliminate(c, matrix, &count, left)?;
        product = c.binary(BinaryOp::Mul, product, factor)?;
        matrix = rest;
    }
    Ok(c.reshape(product, batch)?.into())
}

/// Brings the row with the largest leading element to the top and subtracts it from the others. Gives that element, with the sign
/// of the exchange, and the matrices \[batch, size − 1, size − 1\] that are left.
fn eliminate(c: &mut Context<'_, '_, '_>, x: ValueId, batch: &Dim, size: i64) -> Result<(ValueId, ValueId)> {
    let extent = Dim::from(size);
    let leading = slice_axis(c, x, 2, Dim::ZERO, Dim::ONE)?;
    let magnitude = c.unary(UnaryOp::Abs, leading)?;
    let pivot = c.op(Op::ArgReduce { largest: true, axis: 1, last: false }, &[magnitude])?;
    let row =
        c.op(Op::Iota { shape: vec![Dim::ONE, extent.clone(), Dim::ONE], axis: 1, dtype: DType::I64 }, &[])?;
    let pivot = c.reshape(pivot, &[batch.clone(), Dim::ONE, Dim::ONE])?;
    // Row 0 takes the place of the pivot.
    let is_pivot = c.compare(CompareOp::Eq, row, pivot)?;
    let zero = c.scalar(DType::I64, 0.0)?;
    let source = c.select(is_pivot, zero, row)?;
    let is_first = c.compare(CompareOp::Eq, row, zero)?;
    let source = c.select(is_first, pivot, source)?;
    let source = c.broadcast_to(source, &[batch.clone(), extent.clone(), extent.clone()])?;
    let exchanged = c.op(Op::GatherElements { axis: 1 }, &[x, source])?;
    let top = slice_axis(c, exchanged, 1, Dim::ZERO, Dim::ONE)?;
    let head = slice_axis(c, top, 2, Dim::ZERO, Dim::ONE)?;
    let tail = slice_axis(c, top, 2, Dim::ONE, extent.clone())?;
    let below = slice_axis(c, exchanged, 1, Dim::ONE, extent.clone())?;
    let first = slice_axis(c, below, 2, Dim::ZERO, Dim::ONE)?;
    let others = slice_axis(c, below, 2, Dim::ONE, extent)?;
    // Of a singular matrix the product is 0 whatever is left.
    let is_zero = super::elementwise::compare_scalar(c, CompareOp::Eq, head, 0.0)?;
    let one = c.scalar_like(head, 1.0)?;
    let divisor = c.select(is_zero, one, head)?;
    let factors = c.binary(BinaryOp::Div, first, divisor)?;
    let subtracted = c.binary(BinaryOp::Mul, factors, tail)?;
    let rest = c.binary(BinaryOp::Sub, others, subtracted)?;
    let stays = c.compare(CompareOp::Eq, pivot, zero)?;
    let negated = c.unary(UnaryOp::Neg, head)?;
    let signed = c.select(stays, head, negated)?;
    Ok((c.reshape(signed, std::slice::from_ref(batch))?, rest))
}
