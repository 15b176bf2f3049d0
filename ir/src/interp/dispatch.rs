//! From the row of an op to its function.

use super::values::{Array, by_number};
use super::{EvalErrorKind, operands};
use super::{
    composite, contraction, elementwise, indexing, leaf, movement, quantize, reduction, sorting, window,
};
use crate::{Constants, Op, Tensor};
use contraction::{Conv, conv, dot_general};
use elementwise::compare;
use reduction::{arg_reduce, cumulative, reduce};
use sorting::sorted;
use window::{arg_max_window, reduce_window};

/// The results of an op without regions, whose operands and `results` inference has checked.
pub(super) fn evaluate(
    constants: &Constants,
    op: &Op,
    inputs: &[Tensor],
    results: &[Array],
) -> Result<Vec<Tensor>, EvalErrorKind> {
    let (axis, descending) = match (op, results) {
        (Op::Sort { axis, descending }, _) => (*axis, *descending),
        (Op::TopK { axis, largest, .. }, _) => (*axis, *largest),
        (_, [result]) => return Ok(vec![single(constants, op, inputs, result)?]),
        _ => return Err(EvalErrorKind::Internal(format!("`{}` with {} results", op.name(), results.len()))),
    };
    let [x] = operands(inputs)?;
    by_number!(x.dtype(), sorted(x, axis, descending, results))
}

/// The result of an op that has one.
fn single(
    constants: &Constants,
    op: &Op,
    inputs: &[Tensor],
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    match op {
        Op::Constant { id } => match constants.get(*id) {
            Some(constant) => Ok(constant.tensor.clone()),
            None => Err(EvalErrorKind::Internal(format!("no constant {id}"))),
        },
        Op::Extent { dim } => result.encode(&[i128::from(super::constant(dim)?)]),
        Op::Iota { axis, .. } => leaf::iota(*axis, result),
        Op::RandomBits { .. } => operands(inputs).and_then(|[key]| leaf::random_bits(key, result)),

        Op::Unary(function) => operands(inputs).and_then(|[x]| elementwise::unary(*function, x, result)),
        Op::Binary(function) => {
            operands(inputs).and_then(|[x, y]| elementwise::binary(*function, x, y, result))
        }
        Op::Compare(function) => {
            let [x, y] = operands(inputs)?;
            by_number!(x.dtype(), compare(*function, x, y, result))
        }
        Op::Select => operands(inputs).and_then(|[c, x, y]| elementwise::select(c, x, y, result)),
        Op::Cast { .. } => operands(inputs).and_then(|[x]| elementwise::cast(x, result)),
        Op::Bitcast { .. } => operands(inputs).and_then(|[x]| elementwise::bitcast(x, result)),
        Op::Quantize { axis } => quantize::quantize(inputs, *axis, result),
        Op::Dequantize { axis } => quantize::dequantize(inputs, *axis, result),

        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Broadcast { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice
        | Op::Relayout => moved(op, inputs, result),

        Op::Gather { .. }
        | Op::GatherElements { .. }
        | Op::GatherNd { .. }
        | Op::ScatterElements { .. }
        | Op::ScatterNd { .. } => indexed(op, inputs, result),

        Op::DotGeneral { .. }
        | Op::Conv { .. }
        | Op::ReduceWindow { .. }
        | Op::ArgMaxWindow { .. }
        | Op::Reduce { .. }
        | Op::ArgReduce { .. }
        | Op::Cumulative { .. } => accumulated(op, inputs, result),

        Op::Softmax { .. }
        | Op::LogSoftmax { .. }
        | Op::LayerNorm { .. }
        | Op::RmsNorm { .. }
        | Op::Gelu { .. }
        | Op::Silu
        | Op::Attention { .. } => composed(op, inputs, result),

        // These do not come here: they run regions or the application's code, or have two results.
        Op::If
        | Op::BindExtent { .. }
        | Op::While { .. }
        | Op::Scan { .. }
        | Op::Fuse { .. }
        | Op::CustomCall { .. }
        | Op::Sort { .. }
        | Op::TopK { .. } => Err(wrong_place(op)),
    }
}

fn wrong_place(op: &Op) -> EvalErrorKind {
    EvalErrorKind::Internal(format!("`{}` is evaluated in the wrong place", op.name()))
}

/// Elements in other places.
fn moved(op: &Op, inputs: &[Tensor], result: &Array) -> Result<Tensor, EvalErrorKind> {
    match op {
        Op::Transpose { permutation } => {
            operands(inputs).and_then(|[x]| movement::transpose(x, permutation, result))
        }
        Op::Broadcast { dimensions, .. } => {
            operands(inputs).and_then(|[x]| movement::broadcast(x, dimensions, result))
        }
        Op::Slice { start, stride, .. } => {
            operands(inputs).and_then(|[x]| movement::slice(x, start, stride, result))
        }
        Op::Pad { low, interior, .. } => {
            operands(inputs).and_then(|[x, value]| movement::pad(x, value, low, interior, result))
        }
        Op::Concat { axis } => movement::concat(inputs, *axis, result),
        Op::Reverse { axes } => operands(inputs).and_then(|[x]| movement::reverse(x, axes, result)),
        Op::DynamicSlice { .. } => {
            operands(inputs).and_then(|[x, starts]| movement::dynamic_slice(x, starts, result))
        }
        Op::DynamicUpdateSlice => operands(inputs)
            .and_then(|[x, update, starts]| movement::dynamic_update_slice(x, update, starts, result)),
        // Reshape and relayout: the row-major elements stay.
        _ => operands(inputs).and_then(|[x]| result.tensor(x.data().clone())),
    }
}

/// Contractions, windows and reductions.
fn accumulated(op: &Op, inputs: &[Tensor], result: &Array) -> Result<Tensor, EvalErrorKind> {
    let [x, ..] = inputs else {
        return Err(EvalErrorKind::Internal(format!("`{}` without operands", op.name())));
    };
    let dtype = x.dtype();
    match op {
        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            let (batch, contract) = ([&lhs_batch[..], rhs_batch], [&lhs_contract[..], rhs_contract]);
            by_number!(dtype, dot_general(operands(inputs)?, batch, contract, result))
        }
        Op::Conv { .. } => {
            let [x, kernel] = operands(inputs)?;
            let attributes = Conv::new(op).ok_or_else(|| wrong_place(op))?;
            by_number!(dtype, conv(x, kernel, &attributes, result))
        }
        Op::ReduceWindow { combine, size, stride, dilation, padding_low, .. } => {
            by_number!(dtype, reduce_window(x, *combine, [size, stride, dilation], padding_low, result))
        }
        Op::ArgMaxWindow { size, stride, dilation, padding_low, .. } => {
            by_number!(dtype, arg_max_window(x, [size, stride, dilation], padding_low, result))
        }
        Op::Reduce { combine, axes } => by_number!(dtype, reduce(x, *combine, axes, result)),
        Op::ArgReduce { largest, axis, last } => {
            by_number!(dtype, arg_reduce(x, *axis, *largest, *last, result))
        }
        Op::Cumulative { combine, axis, exclusive, reverse } => {
            by_number!(dtype, cumulative(x, *combine, *axis, *exclusive, *reverse, result))
        }
        _ => Err(wrong_place(op)),
    }
}

/// Gathers and scatters.
fn indexed(op: &Op, inputs: &[Tensor], result: &Array) -> Result<Tensor, EvalErrorKind> {
    match op {
        Op::Gather { axis } => operands(inputs).and_then(|[x, i]| indexing::gather(x, i, *axis, result)),
        Op::GatherElements { axis } => {
            operands(inputs).and_then(|[x, i]| indexing::gather_elements(x, i, *axis, result))
        }
        Op::GatherNd { batch_dimensions } => {
            operands(inputs).and_then(|[x, i]| indexing::gather_nd(x, i, *batch_dimensions, result))
        }
        Op::ScatterElements { axis, combine } => indexing::scatter_elements(inputs, *axis, *combine, result),
        Op::ScatterNd { combine } => indexing::scatter_nd(inputs, *combine, result),
        _ => Err(wrong_place(op)),
    }
}

/// Composites.
fn composed(op: &Op, inputs: &[Tensor], result: &Array) -> Result<Tensor, EvalErrorKind> {
    match op {
        Op::Softmax { axis } => operands(inputs).and_then(|[x]| composite::softmax(x, *axis, result)),
        Op::LogSoftmax { axis } => operands(inputs).and_then(|[x]| composite::log_softmax(x, *axis, result)),
        Op::LayerNorm { axis, epsilon } => composite::layer_norm(inputs, *axis, epsilon.0, result),
        Op::RmsNorm { axis, epsilon } => composite::rms_norm(inputs, *axis, epsilon.0, result),
        Op::Gelu { tanh } => operands(inputs).and_then(|[x]| composite::gelu(x, *tanh, result)),
        Op::Silu => operands(inputs).and_then(|[x]| composite::silu(x, result)),
        Op::Attention { scale, causal } => composite::attention(inputs, scale.0, *causal, result),
        _ => Err(wrong_place(op)),
    }
}
