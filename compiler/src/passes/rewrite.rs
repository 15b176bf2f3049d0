//! Rebuilds a graph node by node, giving a rule the chance to put something else in a node's place.
//!
//! The new graph is typed as it is built, and what a rule gives must have the types of the node's results, so a rule can't corrupt the graph.
//! Regions of control flow are rewritten first.

use super::PassError;
use cranelift_entity::SecondaryMap;
use graven_ir::{Constants, Graph, GraphBuilder, Node, Op, Uses, ValueId};
use smallvec::SmallVec;

/// What a rule gives in place of a node's results; `None` leaves the node.
pub type Replacement = Option<SmallVec<[ValueId; 1]>>;

/// A node with its surroundings.
pub struct Site<'s> {
    /// The old graph.
    pub graph: &'s Graph,
    /// Who uses the old graph's values.
    pub uses: &'s Uses,
    /// The node, in the old graph.
    pub node: &'s Node,
    /// Its operands in the new graph.
    pub operands: &'s [ValueId],
    /// Tells graphs apart: values of regions have the same numbers as those outside.
    pub scope: usize,
}

/// A rule: sees the node with its operands in the new graph, and may build there.
pub type Rule<'r> = dyn FnMut(&mut GraphBuilder, &Site) -> Result<Replacement, PassError> + 'r;

/// The graph with `rule` applied to every live node, operands first.
pub fn rewrite(constants: &mut Constants, graph: &Graph, rule: &mut Rule) -> Result<Graph, PassError> {
    let mut builder = GraphBuilder::new(constants);
    let results = Rewriter { rule, scopes: 0 }.graph(&mut builder, graph)?;
    Ok(builder.finish(results))
}

/// Builds `graph` with `rule` applied and gives its results. For rules that rewrite regions themselves.
pub fn rebuild(
    builder: &mut GraphBuilder,
    graph: &Graph,
    rule: &mut Rule,
) -> Result<Vec<ValueId>, PassError> {
    Rewriter { rule, scopes: 0 }.graph(builder, graph)
}

struct Rewriter<'w, 'r> {
    rule: &'w mut Rule<'r>,
    scopes: usize,
}

impl Rewriter<'_, '_> {
    fn graph(&mut self, builder: &mut GraphBuilder, graph: &Graph) -> Result<Vec<ValueId>, PassError> {
        let scope = self.scopes;
        self.scopes += 1;
        let uses = graph.uses();
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
            let site = Site { graph, uses: &uses, node, operands: &operands, scope };
            let results = match (self.rule)(builder, &site)? {
                Some(results) => {
                    check_types(builder, graph, node, &results)?;
                    results
                }
                None => self.keep(builder, node, &operands)?,
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
        &mut self,
        builder: &mut GraphBuilder,
        node: &Node,
        operands: &[ValueId],
    ) -> Result<SmallVec<[ValueId; 1]>, PassError> {
        let mut regions = Vec::with_capacity(node.regions.len());
        for region in &node.regions {
            if matches!(node.op, Op::Fuse { .. }) {
                regions.push(region.clone());
                continue;
            }
            let mut inner = builder.region();
            let results = self.graph(&mut inner, region)?;
            regions.push(inner.finish(results));
        }
        let id = builder.node(node.op.clone(), operands, regions)?;
        Ok(builder.graph().node(id).results.clone())
    }
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
