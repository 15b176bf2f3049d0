//! Gradients by way of other ops: the op is built again from them, and their gradient is taken. Common subexpressions with the forward graph are
//! found later.

use super::{OperandCotangents, Site};
use crate::autograd::{GradError, vjp::vjp};
use graven_ir::decompose::decompose;
use graven_ir::infer::InferError;
use graven_ir::{GraphBuilder, ValueId};

/// The gradient of a composite is that of its decomposition.
pub(super) fn composite(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    g: ValueId,
) -> Result<OperandCotangents, GradError> {
    rebuilt(b, site, &[Some(g)], |b| Ok(vec![decompose(b, &site.node.op, &site.node.operands)?]))
}

/// The gradient of what `build` makes of the node's operands: one value per result of the node.
pub(super) fn rebuilt(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    cotangents: &[Option<ValueId>],
    build: impl FnOnce(&mut GraphBuilder<'_>) -> Result<Vec<ValueId>, InferError>,
) -> Result<OperandCotangents, GradError> {
    let results = build(b)?;
    let seeds: Vec<(ValueId, ValueId)> =
        results.iter().zip(cotangents).filter_map(|(value, g)| g.map(|g| (*value, g))).collect();
    gradient_of(b, site, &seeds)
}

/// The vector-Jacobian product with respect to the wanted operands. A value that is several operands gets its cotangent in the first place.
fn gradient_of(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    seeds: &[(ValueId, ValueId)],
) -> Result<OperandCotangents, GradError> {
    let operands = &site.node.operands;
    let first = |place: usize| operands.iter().position(|other| *other == operands[place]) == Some(place);
    let places: Vec<usize> =
        (0..operands.len()).filter(|place| site.wants(*place) && first(*place)).collect();
    let wrt: Vec<ValueId> = places.iter().map(|place| operands[*place]).collect();
    let gradients = vjp(b, seeds, &wrt)?;
    let mut cotangents: OperandCotangents = smallvec::smallvec![None; operands.len()];
    for (place, gradient) in places.into_iter().zip(gradients) {
        cotangents[place] = gradient;
    }
    Ok(cotangents)
}
