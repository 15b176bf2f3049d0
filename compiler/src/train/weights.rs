//! Values in the place of constants.

use graven_ir::infer::InferError;
use graven_ir::{ConstantId, Graph, GraphBuilder, Op, ValueId};
use rustc_hash::FxHashMap;

/// The value that stands for each constant.
pub(super) type Weights = FxHashMap<ConstantId, ValueId>;

/// The graph's results in the builder, with `params` in the place of its parameters and `weights` in that of constants. Regions that use such a
/// constant capture the value.
pub(super) fn inline(
    b: &mut GraphBuilder<'_>,
    graph: &Graph,
    params: &[ValueId],
    weights: &Weights,
) -> Result<Vec<ValueId>, InferError> {
    let mut map: FxHashMap<ValueId, ValueId> =
        graph.params().iter().copied().zip(params.iter().copied()).collect();
    for id in graph.order() {
        let node = graph.node(id);
        b.set_origin(node.origin.clone());
        let weight = match &node.op {
            Op::Constant { id } => weights.get(id),
            _ => None,
        };
        if let Some(weight) = weight {
            map.insert(node.results[0], *weight);
            continue;
        }
        let mut operands: Vec<ValueId> = node.operands.iter().map(|operand| map[operand]).collect();
        let mut captured: Vec<ConstantId> = Vec::new();
        node.regions.iter().for_each(|region| used_weights(region, weights, &mut captured));
        let mut regions = Vec::with_capacity(node.regions.len());
        for region in &node.regions {
            regions.push(with_captures(b, region, &captured)?);
        }
        operands.extend(captured.iter().map(|id| weights[id]));
        let added = b.node(node.op.clone(), &operands, regions)?;
        let results = b.graph().node(added).results.clone();
        map.extend(node.results.iter().copied().zip(results));
    }
    b.set_origin(None);
    Ok(graph.results().iter().map(|result| map[result]).collect())
}

/// The region with further parameters in the place of constants.
fn with_captures(
    b: &mut GraphBuilder<'_>,
    region: &Graph,
    captured: &[ConstantId],
) -> Result<Graph, InferError> {
    let mut inner = b.region();
    let own: Vec<ValueId> =
        region.params().iter().map(|param| inner.param(region.ty(*param).clone(), None)).collect();
    let mut weights = Weights::default();
    for id in captured {
        let ty = inner.constants()[*id].tensor.ty();
        weights.insert(*id, inner.param(ty, None));
    }
    let results = inline(&mut inner, region, &own, &weights)?;
    Ok(inner.finish(results))
}

/// Adds the constants of `weights` that the region uses to `used`, each once.
fn used_weights(region: &Graph, weights: &Weights, used: &mut Vec<ConstantId>) {
    for (_, node) in region.nodes() {
        if let Op::Constant { id } = &node.op
            && weights.contains_key(id)
            && !used.contains(id)
        {
            used.push(*id);
        }
        node.regions.iter().for_each(|region| used_weights(region, weights, used));
    }
}
