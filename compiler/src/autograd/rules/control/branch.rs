//! `if`: the gradient of the branch that was taken.

use super::{or_zeros, params_like, region_cotangents};
use crate::autograd::GradError;
use crate::autograd::rules::{OperandCotangents, Site};
use graven_ir::{Graph, GraphBuilder, Op, ValueId};
use smallvec::smallvec;

pub(super) fn apply(b: &mut GraphBuilder<'_>, site: Site<'_>) -> Result<OperandCotangents, GradError> {
    let operands = &site.node.operands;
    let wrt: Vec<usize> =
        (1..operands.len()).filter(|place| site.wants(*place)).map(|place| place - 1).collect();
    let mut regions = Vec::with_capacity(2);
    for region in &site.node.regions {
        regions.push(backward(b, site, region, &wrt)?);
    }
    let given = site.cotangents.iter().copied().flatten();
    let operands: Vec<ValueId> = operands.iter().copied().chain(given).collect();
    let node = b.node(Op::If, &operands, regions)?;
    let mut cotangents: OperandCotangents = smallvec![None; site.node.operands.len()];
    for (place, result) in wrt.iter().zip(&b.graph().node(node).results) {
        cotangents[place + 1] = Some(*result);
    }
    Ok(cotangents)
}

/// `(captures…, cotangents of results…) → cotangents of captures…`.
fn backward(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    region: &Graph,
    wrt: &[usize],
) -> Result<Graph, GradError> {
    let mut body = b.region();
    let inputs = params_like(&mut body, region, 0..region.params().len());
    let mut given: Vec<Option<ValueId>> = Vec::with_capacity(site.cotangents.len());
    for (result, cotangent) in region.results().iter().zip(site.cotangents) {
        given.push(cotangent.map(|_| body.param(region.ty(*result).clone(), None)));
    }
    let gradients = region_cotangents(&mut body, region, &inputs, &given, wrt)?;
    let mut results = Vec::with_capacity(wrt.len());
    for (place, gradient) in wrt.iter().zip(gradients) {
        results.push(or_zeros(&mut body, gradient, inputs[*place])?);
    }
    Ok(body.finish(results))
}
