//! Rebuilds a graph node by node, giving a rule the chance to put something else in a node's place.
//!
//! The new graph is typed as it is built, and what a rule gives must have the types of the node's results, so a rule can't corrupt the graph.
//! Regions of control flow are rewritten first.

use super::PassError;
use cranelift_entity::SecondaryMap;
use graven_ir::{Constants, Graph, GraphBuilder, Node, Op, ValueId};
use smallvec::SmallVec;

/// What a rule gives in place of a node's results; `None` leaves the node.
pub type Replacement = Option<SmallVec<[ValueId; 1]>>;

/// A rule: sees the node with its operands in the new graph, and may build there.
pub type Rule<'r> = dyn FnMut(&mut GraphBuilder, &Node, &[ValueId]) -> Result<Replacement, PassError> + 'r;

/// The graph with `rule` applied to every live node, operands first.
pub fn rewrite(constants: &mut Constants, graph: &Graph, rule: &mut Rule) -> Result<Graph, PassError> {
    let mut builder = GraphBuilder::new(constants);
    let results = rebuild(&mut builder, graph, rule)?;
    Ok(builder.finish(results))
}

fn rebuild(builder: &mut GraphBuilder, graph: &Graph, rule: &mut Rule) -> Result<Vec<ValueId>, PassError> {
    let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
    for param in graph.params() {
        let value = graph.value(*param);
        map[*param] = Some(builder.param(value.ty.clone(), value.name.as_deref()));
    }
    for id in graph.order() {
        let node = graph.node(id);
        let operands =
            node.operands.iter().map(|operand| map[*operand]).collect::<Option<SmallVec<[ValueId; 3]>>>();
        let operands = operands.ok_or_else(|| PassError::internal("a node comes before its operands"))?;
        builder.set_origin(node.origin.clone());
        let replacement = rule(builder, node, &operands)?;
        let results = match replacement {
            Some(results) => {
                check_types(builder, graph, node, &results)?;
                results
            }
            None => keep(builder, node, &operands, rule)?,
        };
        for (old, new) in node.results.iter().zip(results) {
            map[*old] = Some(new);
            if let Some(name) = &graph.value(*old).name {
                builder.set_name(new, name);
            }
        }
    }
    let results = graph.results().iter().map(|result| map[*result]).collect::<Option<Vec<ValueId>>>();
    results.ok_or_else(|| PassError::internal("a result is not computed"))
}

fn keep(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
    rule: &mut Rule,
) -> Result<SmallVec<[ValueId; 1]>, PassError> {
    let mut regions = Vec::with_capacity(node.regions.len());
    for region in &node.regions {
        if matches!(node.op, Op::Fuse { .. }) {
            regions.push(region.clone());
            continue;
        }
        let mut inner = builder.region();
        let results = rebuild(&mut inner, region, rule)?;
        regions.push(inner.finish(results));
    }
    let id = builder.node(node.op.clone(), operands, regions)?;
    Ok(builder.graph().node(id).results.clone())
}

fn check_types(
    builder: &GraphBuilder,
    graph: &Graph,
    node: &Node,
    results: &[ValueId],
) -> Result<(), PassError> {
    let equal = |(old, new): (&ValueId, &ValueId)| graph.ty(*old) == builder.ty(*new);
    match results.len() == node.results.len() && node.results.iter().zip(results).all(equal) {
        true => Ok(()),
        false => Err(PassError::internal(format!("a rewrite of `{}` changes its type", node.op.name()))),
    }
}
