//! `dot_general`: the cotangent contracted with the other operand.

use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::inverse;
use graven_ir::infer::InferError;
use graven_ir::{GraphBuilder, Op, ValueId};
use smallvec::smallvec;

/// One side of the product.
struct Side<'a> {
    value: ValueId,
    batch: &'a [usize],
    contract: &'a [usize],
    /// The other dimensions, in order.
    free: Vec<usize>,
    /// Where they start in the result.
    first_free: usize,
}

pub(super) fn dot_general(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    batch: [&[usize]; 2],
    contract: [&[usize]; 2],
    g: ValueId,
) -> Result<OperandCotangents, GradError> {
    let free = |b: &GraphBuilder<'_>, side: usize| -> Vec<usize> {
        let rank = b.ty(site.operand(side)).rank();
        (0..rank).filter(|axis| !batch[side].contains(axis) && !contract[side].contains(axis)).collect()
    };
    let (lhs_free, rhs_free) = (free(b, 0), free(b, 1));
    let first_rhs = batch[0].len() + lhs_free.len();
    let sides = [
        Side {
            value: site.operand(0),
            batch: batch[0],
            contract: contract[0],
            free: lhs_free,
            first_free: batch[0].len(),
        },
        Side {
            value: site.operand(1),
            batch: batch[1],
            contract: contract[1],
            free: rhs_free,
            first_free: first_rhs,
        },
    ];
    let mut cotangents: OperandCotangents = smallvec![None; 2];
    for place in 0..2 {
        if site.wants(place) {
            cotangents[place] = Some(against(b, g, &sides[place], &sides[1 - place])?);
        }
    }
    Ok(cotangents)
}

/// The cotangent of `side`: g contracted with the other operand over the other's free dimensions.
fn against(
    b: &mut GraphBuilder<'_>,
    g: ValueId,
    side: &Side<'_>,
    other: &Side<'_>,
) -> Result<ValueId, InferError> {
    let op = Op::DotGeneral {
        lhs_batch: (0..side.batch.len()).collect(),
        rhs_batch: other.batch.to_vec(),
        lhs_contract: (other.first_free..other.first_free + other.free.len()).collect(),
        rhs_contract: other.free.clone(),
    };
    let product = b.op(op, &[g, other.value])?;
    // Its dimensions are batch, the side's free ones, and the other's contracted ones in the order of their places.
    let mut contracted: Vec<(usize, usize)> =
        other.contract.iter().copied().zip(side.contract.iter().copied()).collect();
    contracted.sort_unstable();
    let order: Vec<usize> = side
        .batch
        .iter()
        .chain(&side.free)
        .copied()
        .chain(contracted.into_iter().map(|(_, own)| own))
        .collect();
    b.transpose(product, &inverse(&order))
}
