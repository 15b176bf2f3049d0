//! Rebuilds a graph with its groups as `fuse` nodes.

use super::{Grouping, is_copied};
use cranelift_entity::SecondaryMap;
use graven_ir::infer::InferError;
use graven_ir::{Constants, Graph, Node, NodeId, Op, ValueId};
use smallvec::SmallVec;

/// The graph with each group of more than one node as a `fuse` node at the place of its root.
pub fn outline(constants: &mut Constants, graph: &Graph, grouping: &Grouping) -> Result<Graph, InferError> {
    let mut outer = Outer { constants, graph, grouping, result: Graph::new(), map: SecondaryMap::new() };
    for param in graph.params() {
        let value = graph.value(*param);
        outer.map[*param] = Some(outer.result.add_param(value.ty.clone(), value.name.as_deref()));
    }
    for id in graph.order() {
        if let Some(group) = grouping.group_of[id].filter(|group| grouping.groups[*group].root == id) {
            outer.group(id, group)?;
        }
    }
    let mut results = Vec::with_capacity(graph.results().len());
    for result in graph.results() {
        results.push(outer.outer_value(*result)?);
    }
    outer.result.set_results(results);
    Ok(outer.result)
}

struct Outer<'a> {
    constants: &'a mut Constants,
    graph: &'a Graph,
    grouping: &'a Grouping,
    result: Graph,
    map: SecondaryMap<ValueId, Option<ValueId>>,
}

impl Outer<'_> {
    /// The value in the new graph. Constants and copied nodes get a node there when they are first needed.
    fn outer_value(&mut self, value: ValueId) -> Result<ValueId, InferError> {
        if let Some(known) = self.map[value] {
            return Ok(known);
        }
        let Some(id) = self.graph.defining_node(value) else {
            return Err(InferError { op: "fuse", reason: format!("{value} is computed after its use") });
        };
        self.copy_node(id)?;
        self.map[value].ok_or_else(|| InferError { op: "fuse", reason: format!("{value} has no node") })
    }

    fn copy_node(&mut self, id: NodeId) -> Result<(), InferError> {
        let node = self.graph.node(id);
        let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
        for operand in &node.operands {
            operands.push(self.outer_value(*operand)?);
        }
        let mut regions = Vec::with_capacity(node.regions.len());
        for region in &node.regions {
            regions.push(match node.op {
                Op::Fuse { .. } => region.clone(),
                _ => super::fuse(self.constants, region)?,
            });
        }
        let (op, origin) = (node.op.clone(), node.origin.clone());
        let new = self.result.add_node(self.constants, op, &operands, regions, origin)?;
        let results = self.result.node(new).results.clone();
        node.results.iter().zip(results).for_each(|(old, new)| self.map[*old] = Some(new));
        Ok(())
    }

    fn group(&mut self, root: NodeId, number: usize) -> Result<(), InferError> {
        let group = &self.grouping.groups[number];
        let reads_copied = |id: &NodeId| {
            let operands = &self.graph.node(*id).operands;
            operands
                .iter()
                .filter_map(|v| self.graph.defining_node(*v))
                .any(|id| is_copied(self.constants, self.graph, id))
        };
        let alone = group.nodes.len() == 1 && !group.nodes.iter().any(reads_copied);
        if alone
            || self.graph.node(root).op.region_count() > 0
            || matches!(self.graph.node(root).op, Op::Relayout)
        {
            return self.copy_node(root);
        }
        let mut region = Region {
            outer: self,
            number,
            graph: Graph::new(),
            map: SecondaryMap::new(),
            operands: Vec::new(),
        };
        let mut results = Vec::new();
        for result in &region.outer.graph.node(root).results.clone() {
            results.push(region.value(*result)?);
        }
        region.graph.set_results(results);
        let Region { mut graph, operands, .. } = region;
        graph.compact();
        let node = self.graph.node(root);
        let origin = self.origin(number);
        let new = self.result.add_node(
            self.constants,
            Op::Fuse { kind: group.kind },
            &operands,
            vec![graph],
            origin,
        )?;
        let results = self.result.node(new).results.clone();
        node.results.iter().zip(results).for_each(|(old, new)| self.map[*old] = Some(new));
        Ok(())
    }

    /// The heavy node's origin, or the root's.
    fn origin(&self, number: usize) -> Option<std::sync::Arc<str>> {
        let group = &self.grouping.groups[number];
        let heavy = group.nodes.iter().find(|id| {
            matches!(
                self.graph.node(**id).op,
                Op::Conv { .. } | Op::DotGeneral { .. } | Op::ReduceWindow { .. }
            )
        });
        self.graph.node(*heavy.unwrap_or(&group.root)).origin.clone()
    }
}

struct Region<'o, 'a> {
    outer: &'o mut Outer<'a>,
    number: usize,
    graph: Graph,
    map: SecondaryMap<ValueId, Option<ValueId>>,
    operands: Vec<ValueId>,
}

impl Region<'_, '_> {
    /// The value within the region: computed there if its node is in the group or copied, else a parameter.
    fn value(&mut self, value: ValueId) -> Result<ValueId, InferError> {
        if let Some(known) = self.map[value] {
            return Ok(known);
        }
        let outer = &self.outer;
        let inside = outer.graph.defining_node(value).filter(|id| {
            outer.grouping.group_of[*id] == Some(self.number) || is_copied(outer.constants, outer.graph, *id)
        });
        let Some(id) = inside else { return self.param(value) };
        let source = self.outer.graph;
        let node = source.node(id);
        let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
        for operand in &node.operands {
            operands.push(match self.is_packed(node, *operand) {
                true => self.param(*operand)?,
                false => self.value(*operand)?,
            });
        }
        let constants = &*self.outer.constants;
        let new = self.graph.add_node(
            constants,
            node.op.clone(),
            &operands,
            node.regions.clone(),
            node.origin.clone(),
        )?;
        let results = self.graph.node(new).results.clone();
        node.results.iter().zip(results).for_each(|(old, new)| self.map[*old] = Some(new));
        self.map[value].ok_or_else(|| InferError { op: "fuse", reason: format!("{value} has no node") })
    }

    /// Whether an operand is a constant that a contraction's schedule packs: even one number repeated is weights there.
    fn is_packed(&self, node: &Node, operand: ValueId) -> bool {
        let defining = self.outer.graph.defining_node(operand).map(|id| &self.outer.graph.node(id).op);
        matches!(node.op, Op::Conv { .. } | Op::DotGeneral { .. })
            && matches!(defining, Some(Op::Constant { .. }))
    }

    /// The value as a parameter of the region.
    fn param(&mut self, value: ValueId) -> Result<ValueId, InferError> {
        if let Some(known) = self.map[value].filter(|known| self.graph.params().contains(known)) {
            return Ok(known);
        }
        let operand = self.outer.outer_value(value)?;
        self.operands.push(operand);
        let param = self.graph.add_param(self.outer.graph.ty(value).clone(), None);
        self.map[value] = Some(param);
        Ok(param)
    }
}
