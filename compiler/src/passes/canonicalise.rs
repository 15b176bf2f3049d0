//! Simplifies single nodes: ops without effect vanish, chains of movement ops become one, zero padding goes into convolutions.
//!
//! Before: `%1 = reshape %0; %2 = reshape %1`. After: `%2 = reshape %0`. Each rule is directional: it removes a node or replaces it by a cheaper one.

use super::rewrite::{Replacement, rewrite};
use super::{Context, PassError};
use graven_ir::{BinaryOp, Dim, Graph, GraphBuilder, Node, Op, ValueId};
use smallvec::{SmallVec, smallvec};

/// A rule of this pass: the value to use in place of the node's only result.
type Rule = fn(&mut GraphBuilder, &Node, &[ValueId]) -> Result<Option<ValueId>, PassError>;

/// The rules, tried in order until one applies.
const RULES: &[Rule] = &[no_effect, neutral_operand, movement_chain, constant_select, pad_into_conv];

/// The graph with the rules applied.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    rewrite(context.constants, graph, &mut |builder, node, operands| apply(builder, node, operands))
}

fn apply(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Result<Replacement, PassError> {
    for rule in RULES {
        if let Some(value) = rule(builder, node, operands)? {
            return Ok(Some(smallvec![value]));
        }
    }
    Ok(None)
}

/// Ops that give their operand back.
fn no_effect(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Some(x) = operands.first().copied() else { return Ok(None) };
    let ty = builder.ty(x);
    let same = match &node.op {
        Op::Reshape { shape } | Op::Broadcast { shape, .. } => ty.shape.as_slice() == shape.as_slice(),
        Op::Transpose { permutation } => permutation.iter().copied().eq(0..permutation.len()),
        Op::Cast { to } | Op::Bitcast { to } => ty.dtype == *to,
        Op::Slice { start, limit, stride } => {
            let whole = |axis: usize| start[axis].is(0) && limit[axis] == ty.shape[axis] && stride[axis] == 1;
            (0..ty.rank()).all(whole)
        }
        Op::Pad { low, high, interior } => {
            low.iter().chain(high).all(|pad| pad.is(0)) && interior.iter().all(|n| *n == 0)
        }
        Op::Concat { .. } => operands.len() == 1,
        Op::Reverse { axes } => axes.iter().all(|axis| ty.shape[*axis].is(1)),
        Op::Reduce { axes, .. } => axes.is_empty(),
        _ => false,
    };
    Ok(same.then_some(x))
}

/// The element that a value repeats.
fn repeated(builder: &GraphBuilder, value: ValueId) -> Option<f64> {
    if let Some(tensor) = builder.constant_value(value) {
        return tensor.splat_value();
    }
    let graph = builder.graph();
    let node = graph.node(graph.defining_node(value)?);
    match node.op {
        Op::Broadcast { .. } | Op::Reshape { .. } => repeated(builder, node.operands[0]),
        _ => None,
    }
}

/// x + 0, x − 0, x · 1, x ÷ 1, x¹. Not 0 + x for floats' −0, which x + (−0) alone would keep: adding +0 turns −0 to +0, so only −0 is dropped there.
fn neutral_operand(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Op::Binary(op) = node.op else { return Ok(None) };
    let (x, y) = (operands[0], operands[1]);
    let float = builder.dtype(x).is_float();
    let is = |value: Option<f64>, wanted: f64| value.is_some_and(|value| value == wanted);
    let is_zero = |value: Option<f64>, negative: bool| {
        value.is_some_and(|value| value == 0.0 && (!float || value.is_sign_negative() == negative))
    };
    let (left, right) = (repeated(builder, x), repeated(builder, y));
    let keep = match op {
        BinaryOp::Add if is_zero(right, true) => Some(x),
        BinaryOp::Add if is_zero(left, true) => Some(y),
        BinaryOp::Sub if is_zero(right, false) => Some(x),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow if is(right, 1.0) => Some(x),
        BinaryOp::Mul if is(left, 1.0) => Some(y),
        _ => None,
    };
    Ok(keep)
}

/// Two movement ops in one: reshape of reshape, transpose of transpose, broadcast of broadcast.
fn movement_chain(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let Some(id) = operands.first().and_then(|x| builder.graph().defining_node(*x)) else { return Ok(None) };
    let inner = builder.graph().node(id);
    let source = inner.operands.first().copied();
    let merged = match (&node.op, &inner.op) {
        (Op::Reshape { .. }, Op::Reshape { .. }) => node.op.clone(),
        (Op::Transpose { permutation: outer }, Op::Transpose { permutation }) => {
            Op::Transpose { permutation: outer.iter().map(|axis| permutation[*axis]).collect() }
        }
        (Op::Broadcast { shape, dimensions: outer }, Op::Broadcast { dimensions, .. }) => {
            let dimensions = dimensions.iter().map(|axis| outer[*axis]).collect();
            Op::Broadcast { shape: shape.clone(), dimensions }
        }
        _ => return Ok(None),
    };
    let Some(source) = source else { return Ok(None) };
    // The two may cancel each other.
    let value = match merged {
        Op::Reshape { shape } => builder.reshape(source, &shape)?,
        Op::Transpose { permutation } => builder.transpose(source, &permutation)?,
        op => builder.op(op, &[source])?,
    };
    Ok(Some(value))
}

/// A select with a condition that is the same everywhere.
fn constant_select(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    if node.op != Op::Select {
        return Ok(None);
    }
    Ok(repeated(builder, operands[0]).map(|truth| if truth != 0.0 { operands[1] } else { operands[2] }))
}

/// Zeros around the spatial dimensions of a convolution's input become its padding.
fn pad_into_conv(
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
            graven_ir::DimensionRole::Spatial(n) => {
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
