//! Result types from operand types: one file per family of ops.
//!
//! * [`leaf`]: constants, extents, iota, random bits
//! * [`elementwise`]: functions of elements, select, casts, quantisation
//! * [`movement`]: reshape, transpose, broadcast, slice, pad, concat, reverse
//! * [`indexing`]: gathers, scatters, dynamic slices
//! * [`contraction`]: `dot_general` and `conv`
//! * [`window`]: extents of sliding windows, window reductions
//! * [`reduction`]: reductions, running reductions, sorting
//! * [`control`]: ops with regions
//! * [`composite`]: named ops and custom calls
//! * [`check`]: what the rules have in common
//!
//! Extents are symbolic. Where two must be equal, they are if their normal forms are. Where one must not exceed another, only a
//! violation for all values of the symbols is an error here; the rest is checked when the symbols have values. So an inferred
//! extent may have a negative lower bound, but never a negative upper bound.

mod check;
mod composite;
mod contraction;
mod control;
mod elementwise;
mod indexing;
mod leaf;
mod movement;
mod reduction;
#[cfg(test)]
mod testing;
mod window;

pub(crate) use check::result_size as check_type;

use crate::{Constants, Graph, Op, TensorType};
use smallvec::{SmallVec, smallvec};

/// Types of a node's results.
pub type ResultTypes = SmallVec<[TensorType; 1]>;

/// Why an op does not fit its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{op}`: {reason}")]
pub struct InferError {
    /// The op's name.
    pub op: &'static str,
    /// One sentence: what does not fit.
    pub reason: String,
}

/// What a rule gives: the type of the only result, or a sentence why there is none.
type Rule = Result<TensorType, String>;

/// The types of the results of `op`, or why it can't be applied to these operands.
pub fn infer(
    constants: &Constants,
    op: &Op,
    operands: &[&TensorType],
    regions: &[Graph],
) -> Result<ResultTypes, InferError> {
    let fail = |reason| InferError { op: op.name(), reason };
    check::region_count(op, regions).map_err(fail)?;
    let types = rule(constants, op, operands, regions).map_err(fail)?;
    types.iter().try_for_each(check::result_size).map_err(fail)?;
    Ok(types)
}

fn rule(
    constants: &Constants,
    op: &Op,
    operands: &[&TensorType],
    regions: &[Graph],
) -> Result<ResultTypes, String> {
    let single = match op {
        Op::Constant { id } => leaf::constant(constants, *id, operands),
        Op::Extent { dim } => leaf::extent(dim, operands),
        Op::Iota { shape, axis, dtype } => leaf::iota(shape, *axis, *dtype, operands),
        Op::RandomBits { shape } => leaf::random_bits(shape, operands),

        Op::Unary(function) => elementwise::unary(*function, operands),
        Op::Binary(function) => elementwise::binary(*function, operands),
        Op::Compare(_) => elementwise::compare(operands),
        Op::Select => elementwise::select(operands),
        Op::Cast { to } => elementwise::cast(*to, operands),
        Op::Bitcast { to } => elementwise::bitcast(*to, operands),
        Op::Quantize { axis } => elementwise::quantize(*axis, operands),
        Op::Dequantize { axis } => elementwise::dequantize(*axis, operands),

        Op::Reshape { shape } => movement::reshape(shape, operands),
        Op::Transpose { permutation } => movement::transpose(permutation, operands),
        Op::Broadcast { shape, dimensions } => movement::broadcast(shape, dimensions, operands),
        Op::Slice { start, limit, stride } => movement::slice(start, limit, stride, operands),
        Op::Pad { low, high, interior } => movement::pad(low, high, interior, operands),
        Op::Concat { axis } => movement::concat(*axis, operands),
        Op::Reverse { axes } => movement::reverse(axes, operands),
        Op::Relayout => movement::relayout(operands),
        Op::BindExtent { symbol, axes } => return movement::bind_extent(symbol, axes, operands),

        Op::Gather { axis } => indexing::gather(*axis, operands),
        Op::GatherElements { axis } => indexing::gather_elements(*axis, operands),
        Op::GatherNd { batch_dimensions } => indexing::gather_nd(*batch_dimensions, operands),
        Op::ScatterElements { axis, combine } => indexing::scatter_elements(*axis, *combine, operands),
        Op::ScatterNd { combine } => indexing::scatter_nd(*combine, operands),
        Op::DynamicSlice { shape } => indexing::dynamic_slice(shape, operands),
        Op::DynamicUpdateSlice => indexing::dynamic_update_slice(operands),

        Op::DotGeneral { .. } => contraction::dot_general(op, operands),
        Op::Conv { .. } => contraction::conv(op, operands),
        Op::ReduceWindow { .. } | Op::ArgMaxWindow { .. } => window::window(op, operands),

        Op::Reduce { combine, axes } => reduction::reduce(*combine, axes, operands),
        Op::ArgReduce { axis, .. } => reduction::arg_reduce(*axis, operands),
        Op::Cumulative { axis, .. } => reduction::cumulative(*axis, operands),
        Op::Sort { axis, .. } => return reduction::sort(*axis, operands),
        Op::TopK { axis, k, .. } => return reduction::top_k(*axis, k, operands),

        Op::If => return control::conditional(operands, regions),
        Op::While { carried, trip_limit } => {
            return control::while_loop(*carried, trip_limit, operands, regions);
        }
        Op::Scan { carried, scanned, length, .. } => {
            return control::scan(*carried, *scanned, length, operands, regions);
        }
        Op::Fuse { .. } => return control::fuse(operands, regions),

        Op::Softmax { axis } | Op::LogSoftmax { axis } => composite::softmax(*axis, operands),
        Op::LayerNorm { axis, .. } => composite::norm(*axis, 2, operands),
        Op::RmsNorm { axis, .. } => composite::norm(*axis, 1, operands),
        Op::Gelu { .. } | Op::Silu => composite::activation(operands),
        Op::Attention { .. } => composite::attention(operands),
        Op::CustomCall { dtypes, shapes, .. } => return composite::custom_call(dtypes, shapes),
    };
    single.map(|ty| smallvec![ty])
}
