//! Simplifies single nodes: ops without effect vanish, chains of movement ops become one, functions become cheaper ones.
//!
//! Before: `%1 = reshape %0; %2 = reshape %1`. After: `%2 = reshape %0`. Each rule is directional: it removes a node or replaces it by a cheaper one.
//! What a rule gives is looked at again, until no rule applies.
//!
//! * [`neutral`]: ops that give an operand back
//! * [`arithmetic`]: functions of elements
//! * [`movement`]: reshapes, transposes, broadcasts, reversals
//! * [`chains`]: chains of movement ops that are one slice
//! * [`slices`]: slices, concatenations, paddings, gathers
//! * [`convolution`]: padding into convolutions
//! * [`facts`]: what is known about values

mod arithmetic;
mod chains;
mod convolution;
pub mod facts;
pub mod movement;
mod neutral;
mod slices;

use super::rewrite::rewrite;
use super::{Context, PassError};
use crate::accuracy::Accuracy;
use graven_ir::{Graph, GraphBuilder, Node, Op, TensorType, ValueId};
use smallvec::smallvec;

/// A rule of this pass: the value to use in place of the node's only result.
type Rule = fn(&mut GraphBuilder, &Node, &[ValueId]) -> Result<Option<ValueId>, PassError>;

/// A rule whose result may differ by a rounding, as far as the accuracy allows it.
type RoundingRule = fn(&mut GraphBuilder, &Node, &[ValueId], Accuracy) -> Result<Option<ValueId>, PassError>;

/// The rules, tried in order until one applies.
const RULES: &[Rule] = &[
    neutral::no_effect,
    arithmetic::constant_right,
    neutral::neutral_operand,
    neutral::no_choice,
    arithmetic::unary,
    arithmetic::signs,
    arithmetic::bounds,
    arithmetic::same_operands,
    arithmetic::absorbing,
    arithmetic::cast_chain,
    arithmetic::negated_select,
    arithmetic::reciprocal_root,
    movement::chain,
    movement::as_reshape,
    movement::broadcast_source,
    movement::sliced_broadcast,
    chains::chain_as_slice,
    slices::slice_of_slice,
    slices::slice_of_concat,
    slices::concat,
    slices::pad_of_pad,
    slices::gather_as_slice,
    slices::constant_dynamic_slice,
    convolution::pad_into_conv,
];

/// Rules that look at the accuracy, tried after the others.
const ROUNDING_RULES: &[RoundingRule] = &[arithmetic::power, arithmetic::division];

/// How often the replacement of a node is looked at again.
const ROUNDS: usize = 8;

/// The graph with the rules applied.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let accuracy = context.accuracy;
    rewrite(context.constants, graph, &mut |builder, site| {
        let [result] = site.node.results.as_slice() else { return Ok(None) };
        let value = simplify(builder, site.node, site.operands, site.graph.ty(*result), accuracy);
        Ok(value.map(|value| smallvec![value]))
    })
}

/// What stands for a node of type `ty` after the rules have been applied, also to what they gave; `None` if none applies.
pub fn simplify(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
    ty: &TensorType,
    accuracy: Accuracy,
) -> Option<ValueId> {
    let mut value = apply(builder, node, operands, ty, accuracy)?;
    for _ in 0..ROUNDS {
        let Some(id) = builder.graph().defining_node(value) else { break };
        let node = builder.graph().node(id).clone();
        if node.results.len() > 1 || matches!(node.op, Op::Constant { .. }) {
            break;
        }
        match apply(builder, &node, &node.operands, ty, accuracy) {
            Some(simpler) => value = simpler,
            None => break,
        }
    }
    Some(value)
}

/// What the first rule that applies gives. With symbolic extents a rule may find that it can't build what it wants, or
/// that the result is equal but not provably so; then it does not apply.
fn apply(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
    ty: &TensorType,
    accuracy: Accuracy,
) -> Option<ValueId> {
    for rule in RULES {
        if let Ok(Some(value)) = rule(builder, node, operands)
            && builder.ty(value) == ty
        {
            return Some(value);
        }
    }
    for rule in ROUNDING_RULES {
        if let Ok(Some(value)) = rule(builder, node, operands, accuracy)
            && builder.ty(value) == ty
        {
            return Some(value);
        }
    }
    None
}
