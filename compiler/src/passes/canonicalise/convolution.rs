//! Convolutions.

use super::facts::repeated;
use crate::passes::PassError;
use graven_ir::{Dim, DimensionRole, GraphBuilder, Node, Op, ValueId};
use smallvec::SmallVec;

/// Zeros around the spatial dimensions of a convolution's input become its padding.
pub fn pad_into_conv(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Op::Conv { dimensions, padding_low, padding_high, .. } = &node.op else { return Ok(None) };
    let graph = builder.graph();
    let Some(pad) = graph.defining_node(operands[0]).map(|id| graph.node(id)) else { return Ok(None) };
    let Op::Pad { low, high, interior } = &pad.op else { return Ok(None) };
    let positive = |dim: &Dim| dim.lower() >= 0;
    let (Some(0.0), true) = (repeated(builder, pad.operands[1]), interior.iter().all(|n| *n == 0)) else {
        return Ok(None);
    };
    // Padding that the convolution cuts again must stay where it is.
    if !low.iter().chain(high).chain(padding_low).chain(padding_high).all(positive) {
        return Ok(None);
    }
    let (mut new_low, mut new_high) = (padding_low.clone(), padding_high.clone());
    for (axis, role) in dimensions.input.iter().enumerate() {
        match role {
            DimensionRole::Spatial(n) => {
                new_low[usize::from(*n)] = &new_low[usize::from(*n)] + &low[axis];
                new_high[usize::from(*n)] = &new_high[usize::from(*n)] + &high[axis];
            }
            _ if low[axis].is(0) && high[axis].is(0) => {}
            _ => return Ok(None),
        }
    }
    let mut op = node.op.clone();
    if let Op::Conv { padding_low, padding_high, base_dilation, .. } = &mut op {
        if base_dilation.iter().any(|d| *d != 1) {
            return Ok(None);
        }
        (*padding_low, *padding_high) = (new_low, new_high);
    }
    let mut new_operands: SmallVec<[ValueId; 3]> = operands.into();
    new_operands[0] = pad.operands[0];
    Ok(Some(builder.op(op, &new_operands)?))
}
