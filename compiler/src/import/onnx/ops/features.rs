//! Functions of features from the domain `ai.onnx.ml`.

use super::elementwise::compare_scalar;
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{CompareOp, Dim, Op};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `Binarizer`: 1 above the threshold, else 0.
pub(super) fn binarizer(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, threshold) = (c.value(0)?, c.float_or("threshold", 0.0)?);
    let dtype = c.dtype(x);
    let is_above = compare_scalar(c, CompareOp::Gt, x, threshold)?;
    Ok(c.cast(is_above, dtype)?.into())
}

/// `ArrayFeatureExtractor`: the columns of the indices; a vector counts as one row.
pub(super) fn array_feature_extractor(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (x, indices) = (c.value(0)?, c.value(1)?);
    let Some(axis) = c.shape(x).len().checked_sub(1) else { return bad_input("needs a vector or more") };
    let count = c.ty(indices).elements();
    let indices = c.reshape(indices, std::slice::from_ref(&count))?;
    let y = c.op(Op::Gather { axis }, &[x, indices])?;
    Ok(if axis == 0 { c.reshape(y, &[Dim::ONE, count])? } else { y }.into())
}
