//! One gradient rule per row of the op table.
//!
//! * [`elementwise`]: functions of elements
//! * [`movement`]: reshape, transpose, broadcast, slice, pad, concat, reverse
//! * [`indexing`]: gathers, scatters, dynamic slices
//! * [`contraction`]: the `dot_general` op
//! * [`convolution`]: the `conv` op, whose gradients are convolutions
//! * [`window`]: window reductions
//! * [`reduction`]: reductions and running reductions
//! * [`control`]: `if`, `scan`, `while`, groups
//! * [`local`]: the gradient of an op by that of other ops: composites
//!
//! A rule is given the cotangents of a node's results and builds those of the operands that are wanted. Where a function is not
//! differentiable, the choice is PyTorch's and the rule's doc states it.

mod contraction;
mod control;
mod convolution;
mod elementwise;
mod indexing;
mod local;
mod movement;
mod reduction;
mod window;

pub(super) use control::keep_carried;

use super::GradError;
use graven_ir::{GraphBuilder, Node, Op, ValueId};
use smallvec::{SmallVec, smallvec};

/// The cotangent of each operand; `None` where it is zero or not wanted.
pub(super) type OperandCotangents = SmallVec<[Option<ValueId>; 3]>;

/// What a rule sees: a node, which operands' cotangents are wanted, the cotangents of its results.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) node: &'a Node,
    pub(super) wanted: &'a [bool],
    pub(super) cotangents: &'a [Option<ValueId>],
}

impl<'a> Site<'a> {
    fn operand(&self, place: usize) -> ValueId {
        self.node.operands[place]
    }

    fn result(&self) -> ValueId {
        self.node.results[0]
    }

    fn wants(&self, place: usize) -> bool {
        self.wanted.get(place).copied().unwrap_or(false)
    }

    fn unsupported<T>(&self, reason: &'static str) -> Result<T, GradError> {
        let op = self.node.op.name();
        let place = match &self.node.origin {
            Some(origin) => format!("`{op}` (from `{origin}`)"),
            None => format!("`{op}`"),
        };
        Err(GradError::NotDifferentiable { place, reason })
    }
}

/// The cotangents of a node's operands, from those of its results (at least one is there).
pub(super) fn apply(
    b: &mut GraphBuilder<'_>,
    node: &Node,
    wanted: &[bool],
    cotangents: &[Option<ValueId>],
) -> Result<OperandCotangents, GradError> {
    let site = Site { node, wanted, cotangents };
    let zero = || Ok(smallvec![None; node.operands.len()]);
    let Some(g) = cotangents.first().copied().flatten() else {
        return match node.op {
            Op::If | Op::While { .. } | Op::Scan { .. } | Op::Fuse { .. } => control::apply(b, site),
            Op::BindExtent { ref axes, .. } => movement::bind_extent(b, site, axes),
            Op::CustomCall { .. } => custom_call(site),
            // Only the first result of the others is a float that gradients come through.
            _ => zero(),
        };
    };
    match &node.op {
        Op::Unary(op) => elementwise::unary(b, site, *op, g),
        Op::Binary(op) => elementwise::binary(b, site, *op, g),
        Op::Select => elementwise::select(b, site, g),
        Op::Cast { .. } => elementwise::cast(b, site, g),
        Op::Bitcast { .. } => site.unsupported("it takes bits apart; use `cast` to convert values"),

        Op::Compare(_) | Op::Constant { .. } | Op::Extent { .. } | Op::Iota { .. } => zero(),
        Op::RandomBits { .. } | Op::ArgReduce { .. } | Op::ArgMaxWindow { .. } => zero(),

        Op::Reshape { .. } => movement::reshape(b, site, g),
        Op::Transpose { permutation } => movement::transpose(b, permutation, g),
        Op::Broadcast { dimensions, .. } => movement::broadcast(b, site, dimensions, g),
        Op::Slice { start, stride, .. } => movement::slice(b, site, start, stride, g),
        Op::Pad { low, high, interior } => movement::pad(b, site, [low, high], interior, g),
        Op::Concat { axis } => movement::concat(b, site, *axis, g),
        Op::Reverse { axes } => movement::reverse(b, axes, g),
        Op::Relayout => Ok(smallvec![Some(g)]),
        Op::BindExtent { axes, .. } => movement::bind_extent(b, site, axes),

        Op::Gather { axis } => indexing::gather(b, site, *axis, g),
        Op::GatherElements { axis } => indexing::gather_elements(b, site, *axis, g),
        Op::GatherNd { batch_dimensions } => indexing::gather_nd(b, site, *batch_dimensions, g),
        Op::ScatterElements { axis, combine } => {
            indexing::scatter(b, site, indexing::Places::Elements { axis: *axis }, *combine, g)
        }
        Op::ScatterNd { combine } => indexing::scatter(b, site, indexing::Places::Nd, *combine, g),
        Op::DynamicSlice { .. } => indexing::dynamic_slice(b, site, g),
        Op::DynamicUpdateSlice => indexing::dynamic_update_slice(b, site, g),

        Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
            contraction::dot_general(b, site, [lhs_batch, rhs_batch], [lhs_contract, rhs_contract], g)
        }
        Op::Conv { .. } => convolution::conv(b, site, g),
        Op::ReduceWindow { .. } => window::reduce_window(b, site, g),

        Op::Reduce { combine, axes } => reduction::reduce(b, site, *combine, axes, g),
        Op::Cumulative { combine, axis, exclusive, reverse } => {
            reduction::cumulative(b, site, *combine, reduction::Run::new(*axis, *exclusive, *reverse), g)
        }
        Op::Sort { axis, .. } | Op::TopK { axis, .. } => indexing::ordered(b, site, *axis, g),

        Op::If | Op::While { .. } | Op::Scan { .. } | Op::Fuse { .. } => control::apply(b, site),

        Op::Softmax { axis } => elementwise::softmax(b, site, *axis, g),
        Op::LogSoftmax { axis } => elementwise::log_softmax(b, site, *axis, g),
        Op::LayerNorm { .. }
        | Op::RmsNorm { .. }
        | Op::Gelu { .. }
        | Op::Silu
        | Op::Attention { .. }
        | Op::Quantize { .. }
        | Op::Dequantize { .. } => local::composite(b, site, g),

        Op::CustomCall { .. } => custom_call(site),
    }
}

fn custom_call<T>(site: Site<'_>) -> Result<T, GradError> {
    site.unsupported("Graven does not know what the application's code computes")
}
