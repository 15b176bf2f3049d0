//! Conditions.

use crate::import::onnx::context::{NodeContext, Output, Outputs};
use crate::import::onnx::failure::{Result, unsupported};
use crate::import::onnx::region::{Captures, inline_body};
use graven_ir::{Op, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// `If`: a constant condition takes its branch; otherwise both become regions.
pub(in crate::import::onnx::ops) fn conditional(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (then_branch, else_branch) = (c.subgraph("then_branch")?, c.subgraph("else_branch")?);
    if let Some(condition) = c.maybe_constant(0) {
        let taken = condition.to_ints().is_some_and(|values| values.first() == Some(&1));
        let outputs = inline_body(c, if taken { then_branch } else { else_branch }, &[])?;
        return Ok(Outputs(outputs.into_iter().map(Output::Same).collect()));
    }
    let condition = c.value(0)?;
    let condition = c.reshape(condition, &[])?;
    let captures = Captures::of(c, &[then_branch, else_branch])?;
    let mut regions = Vec::with_capacity(2);
    let mut types = Vec::with_capacity(2);
    for branch in [then_branch, else_branch] {
        let mut body = captures.body(c, branch, Vec::new())?;
        let values = body.values()?;
        types.push(values.iter().map(|value| body.scope.builder.ty(*value).clone()).collect::<Vec<_>>());
        regions.push(body.finish(values));
    }
    if types[0] != types[1] {
        return unsupported(
            "the branches give tensors of different types, and the condition is not constant",
        );
    }
    let operands: Vec<ValueId> = [condition].into_iter().chain(captures.operands).collect();
    let node = c.node(Op::If, &operands, regions)?;
    Ok(Outputs::values(c.graph().node(node).results.clone()))
}
