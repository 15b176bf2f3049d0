//! How much arithmetic a model is.

use graven_ir::{ConvDimensions, Dim, DimensionRole, Graph, Module, Node, Op};

/// Arithmetic operations of a run of the first function, a multiply-add counted as two. Extents count with their bounds; bodies of loops once.
///
/// Only multiplications of contractions and one operation per element of everything that computes are counted, which is what papers state.
/// `None` where an extent has no useful bound.
pub(crate) fn flops(module: &Module) -> Option<u64> {
    let function = module.functions.first()?;
    function.graph.order().iter().try_fold(0u64, |sum, node| {
        Some(sum.saturating_add(of_node(&function.graph, function.graph.node(*node))?))
    })
}

pub(crate) fn of_node(graph: &Graph, node: &Node) -> Option<u64> {
    let elements =
        |value| graph.ty(value).checked_upper_elements().and_then(|elements| u64::try_from(elements).ok());
    let result = elements(*node.results.first()?)?;
    let own = match &node.op {
        Op::DotGeneral { lhs_contract, .. } => {
            let lhs = graph.ty(*node.operands.first()?);
            let inner = lhs_contract.iter().filter_map(|axis| lhs.shape.get(*axis)).map(Dim::upper);
            inner
                .fold(2u64, |product, extent| product.saturating_mul(extent.unsigned_abs()))
                .saturating_mul(result)
        }
        Op::Conv { .. } => conv(graph, node, result)?,
        _ => 0,
    };
    node.regions.iter().try_fold(own, |sum, region| {
        region
            .order()
            .iter()
            .try_fold(sum, |sum, inner| Some(sum.saturating_add(of_node(region, region.node(*inner))?)))
    })
}

/// Each result element sums over the kernel elements of one output feature.
fn conv(graph: &Graph, node: &Node, result: u64) -> Option<u64> {
    let Op::Conv { dimensions, .. } = &node.op else { return None };
    let kernel = graph.ty(*node.operands.get(1)?);
    let features = ConvDimensions::position(&dimensions.kernel, DimensionRole::Outer)?;
    let taps = kernel.shape.iter().enumerate().filter(|(axis, _)| *axis != features);
    let taps = taps.fold(2u64, |product, (_, extent)| product.saturating_mul(extent.upper().unsigned_abs()));
    Some(taps.saturating_mul(result))
}
