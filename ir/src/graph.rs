//! A graph: nodes over values in SSA form.
//!
//! Functions and regions are graphs. A graph sees only its own values: a region gets what it uses from outside as parameters.
//! Nodes that no result depends on and that have no effect are dead; they stay in the tables until [`Graph::compact`].

use crate::infer::{InferError, infer};
use crate::{ConstantId, Constants, NodeId, Op, TensorType, ValueId};
use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// The n-th parameter of the graph.
    Param(u32),
    /// The n-th result of a node.
    Result(NodeId, u32),
}

/// A typed SSA value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Element type and shape.
    pub ty: TensorType,
    /// Where it comes from.
    pub definition: Definition,
    /// The name in the text form, `%name`, instead of the number.
    pub name: Option<Arc<str>>,
}

/// An op applied to values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Its operands.
    pub operands: SmallVec<[ValueId; 3]>,
    /// Its results.
    pub results: SmallVec<[ValueId; 1]>,
    /// Its regions; see the op's row.
    pub regions: Vec<Graph>,
    /// The model's node that it comes from, for messages and profiles.
    pub origin: Option<Arc<str>>,
}

/// A graph with parameters and results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    params: Vec<ValueId>,
    results: Vec<ValueId>,
    nodes: PrimaryMap<NodeId, Node>,
    values: PrimaryMap<ValueId, Value>,
}

impl Graph {
    /// A graph without parameters, nodes and results.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds a parameter.
    pub fn add_param(&mut self, ty: TensorType, name: Option<&str>) -> ValueId {
        let definition = Definition::Param(self.params.len() as u32);
        let value = self.values.push(Value { ty, definition, name: name.map(Into::into) });
        self.params.push(value);
        value
    }

    /// Adds a node; its result types are inferred, which checks the operands and attributes.
    pub fn add_node(
        &mut self,
        constants: &Constants,
        op: Op,
        operands: &[ValueId],
        regions: Vec<Graph>,
        origin: Option<Arc<str>>,
    ) -> Result<NodeId, InferError> {
        let result_types = {
            let types: SmallVec<[&TensorType; 4]> = operands.iter().map(|v| &self.values[*v].ty).collect();
            infer(constants, &op, &types, &regions)?
        };
        let node = self.nodes.next_key();
        let mut results = SmallVec::new();
        for (place, ty) in result_types.into_iter().enumerate() {
            let definition = Definition::Result(node, place as u32);
            results.push(self.values.push(Value { ty, definition, name: None }));
        }
        self.nodes.push(Node { op, operands: operands.into(), results, regions, origin });
        Ok(node)
    }

    /// Parameters in order.
    pub fn params(&self) -> &[ValueId] {
        &self.params
    }

    /// Results in order.
    pub fn results(&self) -> &[ValueId] {
        &self.results
    }

    /// Sets the results.
    pub fn set_results(&mut self, results: Vec<ValueId>) {
        self.results = results;
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node]
    }

    /// A node's regions. Only patches change them, and check that their types stay.
    pub(crate) fn regions_mut(&mut self, node: NodeId) -> &mut Vec<Graph> {
        &mut self.nodes[node].regions
    }

    /// A value.
    pub fn value(&self, value: ValueId) -> &Value {
        &self.values[value]
    }

    /// A value, if the graph has it.
    pub fn get_value(&self, value: ValueId) -> Option<&Value> {
        self.values.get(value)
    }

    /// A node, if the graph has it.
    pub fn get_node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// A value's type.
    pub fn ty(&self, value: ValueId) -> &TensorType {
        &self.values[value].ty
    }

    /// The node that a value comes from, unless it is a parameter.
    pub fn defining_node(&self, value: ValueId) -> Option<NodeId> {
        match self.values[value].definition {
            Definition::Result(node, _) => Some(node),
            Definition::Param(_) => None,
        }
    }

    /// Names a value in the text form.
    pub fn set_name(&mut self, value: ValueId, name: &str) {
        self.values[value].name = Some(name.into());
    }

    /// All nodes, dead ones included, in the order of their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        self.nodes.iter()
    }

    /// All values, dead ones included, in the order of their ids.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (ValueId, &Value)> {
        self.values.iter()
    }

    /// Number of nodes, dead ones included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether `value` exists.
    pub fn has_value(&self, value: ValueId) -> bool {
        self.values.is_valid(value)
    }

    /// Whether a node must run even if nothing uses its results: its op, or a node in one of its regions, has an effect.
    pub fn has_effect(&self, node: NodeId) -> bool {
        let node = &self.nodes[node];
        !node.op.is_pure()
            || node.regions.iter().any(|region| region.nodes.keys().any(|id| region.has_effect(id)))
    }

    /// Live nodes, operands before users: what the results depend on, in their order, and the nodes with effects, each before the results that have greater
    /// ids. The order is the same for equal graphs and stays near the order of the ids.
    pub fn order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut seen = EntitySet::with_capacity(self.nodes.len());
        // Depth first without recursion: models are deep. The flag says that the operands are done.
        let mut stack: Vec<(NodeId, bool)> = Vec::new();
        let mut effects = self.nodes.keys().filter(|id| self.has_effect(*id)).peekable();
        let mut roots: Vec<NodeId> = Vec::new();
        for result in self.results.iter().filter_map(|result| self.defining_node(*result)) {
            roots.extend(std::iter::from_fn(|| effects.next_if(|effect| *effect < result)));
            roots.push(result);
        }
        roots.extend(effects);
        for root in roots {
            stack.push((root, false));
            while let Some((node, done)) = stack.pop() {
                if done {
                    order.push(node);
                } else if seen.insert(node) {
                    stack.push((node, true));
                    let operands = self.nodes[node].operands.iter().rev();
                    stack.extend(operands.filter_map(|v| self.defining_node(*v)).map(|n| (n, false)));
                }
            }
        }
        order
    }

    /// For each value the live nodes that use it, once per operand place, and how often it is a result.
    pub fn uses(&self) -> Uses {
        let mut uses = Uses { users: SecondaryMap::new(), results: SecondaryMap::new() };
        for node in self.order() {
            for operand in &self.nodes[node].operands {
                uses.users[*operand].push(node);
            }
        }
        for result in &self.results {
            uses.results[*result] += 1;
        }
        uses
    }

    /// The operands of a node. Only patches change them, after the type check.
    pub(crate) fn operands_mut(&mut self, node: NodeId) -> &mut [ValueId] {
        &mut self.nodes[node].operands
    }

    /// Gives the name of `old` to `new`, if `old` has one and `new` has none.
    pub(crate) fn move_name(&mut self, old: ValueId, new: ValueId) {
        if self.values[new].name.is_none() {
            self.values[new].name = self.values[old].name.take();
        }
    }

    /// Drops dead nodes and renumbers nodes and values in [`Graph::order`], in regions too.
    pub fn compact(&mut self) {
        let mut compacted = Graph::new();
        let mut map: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
        for param in &self.params {
            let value = &self.values[*param];
            map[*param] = Some(compacted.add_param(value.ty.clone(), value.name.as_deref()));
        }
        for id in self.order() {
            let mut node = self.nodes[id].clone();
            let new_id = compacted.nodes.next_key();
            node.operands.iter_mut().for_each(|v| *v = map[*v].unwrap_or(*v));
            node.regions.iter_mut().for_each(Graph::compact);
            for (place, result) in node.results.iter_mut().enumerate() {
                let old = &self.values[*result];
                let definition = Definition::Result(new_id, place as u32);
                let value = Value { ty: old.ty.clone(), definition, name: old.name.clone() };
                let new = compacted.values.push(value);
                map[*result] = Some(new);
                *result = new;
            }
            compacted.nodes.push(node);
        }
        compacted.results = self.results.iter().map(|v| map[*v].unwrap_or(*v)).collect();
        *self = compacted;
    }

    /// Calls `visit` for the constant of every node, regions included.
    pub(crate) fn for_each_constant_mut(&mut self, visit: &mut dyn FnMut(&mut ConstantId)) {
        for node in self.nodes.values_mut() {
            if let Op::Constant { id } = &mut node.op {
                visit(id);
            }
            node.regions.iter_mut().for_each(|region| region.for_each_constant_mut(visit));
        }
    }
}

/// Who uses each value; see [`Graph::uses`].
pub struct Uses {
    users: SecondaryMap<ValueId, SmallVec<[NodeId; 2]>>,
    results: SecondaryMap<ValueId, u32>,
}

impl Uses {
    /// The nodes that use `value`, once per operand place.
    pub fn users(&self, value: ValueId) -> &[NodeId] {
        &self.users[value]
    }

    /// Whether `value` is a result of the graph.
    pub fn is_result(&self, value: ValueId) -> bool {
        self.results[value] > 0
    }

    /// Operand places and results that use `value`.
    pub fn count(&self, value: ValueId) -> usize {
        self.users[value].len() + self.results[value] as usize
    }
}
