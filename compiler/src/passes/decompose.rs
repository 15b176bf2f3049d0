//! Composites become primitives, so that the lowering sees only these.
//!
//! Before: `%1 = softmax %0 {axis = 1}`. After: the maximum, the difference, the exponential, its sum and the quotient. `gelu` and `silu` stay: they are evaluated per
//! element.

use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::{Category, Graph, Op};
use smallvec::smallvec;

/// The graph without composites.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    rewrite(context.constants, graph, &mut |builder, site| {
        let node = site.node;
        let stays = matches!(node.op, Op::Gelu { .. } | Op::Silu);
        let composite = node.op.category() == Category::Composite && !stays;
        match composite || matches!(node.op, Op::Quantize { .. } | Op::Dequantize { .. }) {
            true => Ok(Some(smallvec![graven_ir::decompose::decompose(builder, &node.op, site.operands)?])),
            false => Ok(None),
        }
    })
}
