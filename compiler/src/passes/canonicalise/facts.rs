//! What is known about values.

use graven_ir::{BinaryOp, GraphBuilder, Node, Op, ReduceOp, UnaryOp, ValueId};

/// How far the questions follow operands.
const DEPTH: usize = 8;

/// The node that defines a value.
pub fn definition<'b>(builder: &'b GraphBuilder, value: ValueId) -> Option<&'b Node> {
    let graph = builder.graph();
    graph.defining_node(value).map(|id| graph.node(id))
}

/// The element that a value repeats.
pub fn repeated(builder: &GraphBuilder, value: ValueId) -> Option<f64> {
    let mut value = value;
    for _ in 0..DEPTH {
        if let Some(tensor) = builder.constant_value(value) {
            return tensor.splat_value();
        }
        let node = definition(builder, value)?;
        match node.op {
            Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. } => value = node.operands[0],
            _ => return None,
        }
    }
    None
}

/// The operand of the function `op` that defines a value.
pub fn operand_of(builder: &GraphBuilder, value: ValueId, op: UnaryOp) -> Option<ValueId> {
    definition(builder, value).filter(|node| node.op == Op::Unary(op)).map(|node| node.operands[0])
}

/// Whether no element of a float value is negative, −0 included; NaN may be.
pub fn is_never_negative(builder: &GraphBuilder, value: ValueId) -> bool {
    never_negative(builder, value, DEPTH)
}

fn never_negative(builder: &GraphBuilder, value: ValueId, depth: usize) -> bool {
    if let Some(element) = repeated(builder, value) {
        return element >= 0.0 && !element.is_sign_negative();
    }
    let Some(node) = definition(builder, value) else { return false };
    let operand = |place: usize| depth > 0 && never_negative(builder, node.operands[place], depth - 1);
    match &node.op {
        Op::Unary(UnaryOp::Abs | UnaryOp::Exp | UnaryOp::Sigmoid) => true,
        Op::Unary(UnaryOp::Sqrt | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round) => operand(0),
        Op::Binary(BinaryOp::Mul) if node.operands[0] == node.operands[1] => true,
        Op::Binary(BinaryOp::Add | BinaryOp::Mul | BinaryOp::Div) => operand(0) && operand(1),
        Op::Binary(BinaryOp::Max) => operand(0) || operand(1),
        Op::Reduce { combine: ReduceOp::Sum | ReduceOp::Product, .. } => operand(0),
        Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } => operand(0),
        _ => false,
    }
}
