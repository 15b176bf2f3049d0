//! Matrix products.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{BinaryOp, DType, Dim, Op, Shape, ValueId, broadcast_shapes};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `MatMul`.
pub(super) fn matmul(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b) = (c.value(0)?, c.value(1)?);
    Ok(matmul_of(c, a, b)?.into())
}

/// numpy's `matmul`: vectors count as a row on the left and as a column on the right; leading dimensions are broadcast.
pub(super) fn matmul_of(c: &mut Context<'_, '_, '_>, a: ValueId, b: ValueId) -> Result<ValueId> {
    let (left, right) = (c.shape(a), c.shape(b));
    if left.is_empty() || right.is_empty() {
        return bad_input("can't multiply scalars as matrices");
    }
    let (p, q) = (left.len(), right.len());
    let is_one = |dims: &[Dim]| dims.iter().all(|dim| dim.is(1));
    let contract = |c: &mut Context<'_, '_, '_>, a, b, batch: usize, i: usize, j: usize| {
        let batch: Vec<usize> = (0..batch).collect();
        let op = Op::DotGeneral {
            lhs_batch: batch.clone(),
            rhs_batch: batch,
            lhs_contract: vec![i],
            rhs_contract: vec![j],
        };
        c.op(op, &[a, b])
    };
    if q <= 2 {
        return Ok(contract(c, a, b, 0, p - 1, 0)?);
    }
    let batch_a = &left[..p.saturating_sub(2)];
    let batch_b = &right[..q - 2];
    if is_one(batch_b) && q <= p {
        let b = c.reshape(b, &right[q - 2..])?;
        return Ok(contract(c, a, b, 0, p - 1, 0)?);
    }
    if is_one(batch_a) && p <= q {
        return row_times_batch(c, a, b, &left, &right);
    }
    let common = broadcast_shapes(batch_a, batch_b)?;
    let with_batch = |matrix: &[Dim]| common.iter().chain(matrix).cloned().collect::<Shape>();
    let a = c.broadcast_to(a, &with_batch(&left[p - 2..]))?;
    let b = c.broadcast_to(b, &with_batch(&right[q - 2..]))?;
    Ok(contract(c, a, b, common.len(), common.len() + 1, common.len())?)
}

/// One matrix (or vector) times a batch of matrices, without repeating it.
fn row_times_batch(
    c: &mut Context<'_, '_, '_>,
    a: ValueId,
    b: ValueId,
    left: &[Dim],
    right: &[Dim],
) -> Result<ValueId> {
    let (p, q) = (left.len(), right.len());
    let matrix = c.reshape(a, &left[p.saturating_sub(2)..])?;
    let rank = p.min(2);
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![rank - 1],
        rhs_contract: vec![q - 2],
    };
    let product = c.op(op, &[matrix, b])?;
    if rank == 1 {
        return Ok(product);
    }
    // The row of the result comes first: move it behind the batch dimensions.
    let permutation: Vec<usize> = (1..q - 1).chain([0, q - 1]).collect();
    Ok(c.transpose(product, &permutation)?)
}

/// `Gemm`: α·a·b + β·c, with a and b transposed as asked.
pub(super) fn gemm(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (a, b, addend) = (c.value(0)?, c.value(1)?, c.optional(2)?);
    if c.shape(a).len() != 2 || c.shape(b).len() != 2 {
        return bad_input("needs matrices");
    }
    let (alpha, beta) = (c.float_or("alpha", 1.0)?, c.float_or("beta", 1.0)?);
    let (transpose_a, transpose_b) = (c.flag("transA", false)?, c.flag("transB", false)?);
    let op = Op::DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![if transpose_a { 0 } else { 1 }],
        rhs_contract: vec![if transpose_b { 1 } else { 0 }],
    };
    let product = c.op(op, &[a, b])?;
    let product = scaled(c, product, alpha)?;
    match addend {
        None => Ok(product.into()),
        Some(addend) => {
            let shape = c.shape(product);
            let addend = scaled(c, addend, beta)?;
            let addend = c.broadcast_to(addend, &shape)?;
            Ok(c.binary(BinaryOp::Add, product, addend)?.into())
        }
    }
}

/// x · factor; integers are scaled in f64.
pub(super) fn scaled(c: &mut Context<'_, '_, '_>, x: ValueId, factor: f64) -> Result<ValueId> {
    if factor == 1.0 {
        return Ok(x);
    }
    let dtype = c.dtype(x);
    let wide = if dtype.is_float() { x } else { c.cast(x, DType::F64)? };
    let product = c.binary_scalar(BinaryOp::Mul, wide, factor)?;
    Ok(c.cast(product, dtype)?)
}
