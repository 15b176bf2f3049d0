//! A module: functions, constants, symbols, metadata.

use crate::{ConstantId, Graph, Symbol, Tensor};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The constants of a module.
pub type Constants = PrimaryMap<ConstantId, Constant>;

/// A constant tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its name in the text form (`@name`) and in the safetensors file, unique within the module. Empty for an anonymous
    /// constant, one that only its id names.
    pub name: Arc<str>,
    /// Its value.
    pub tensor: Tensor,
}

/// A function: a graph with a signature.
///
/// The graph's parameters are the inputs, then the states; its results are the outputs, then the states.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub graph: Graph,
    /// Names of the inputs, in order.
    pub inputs: Vec<Arc<str>>,
    /// Names of the outputs, in order.
    pub outputs: Vec<Arc<str>>,
    /// Names of the states, in order.
    pub states: Vec<Arc<str>>,
}

/// What a compiler run works on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// The model's name.
    pub name: String,
    /// Functions; a model has one, `main`.
    pub functions: Vec<Function>,
    /// Constants of all functions.
    pub constants: Constants,
    /// Symbolic extents of all functions, in the order of the `m_dims` struct.
    pub symbols: Vec<Symbol>,
    /// Free key-value pairs: producer, licence, …
    pub metadata: BTreeMap<String, String>,
}

impl Module {
    /// Drops dead nodes and the anonymous constants that no live node uses, and renumbers what is left: nodes and values in
    /// [`Graph::order`], constants with names first, then the others in the order of their use.
    pub fn compact(&mut self) {
        let mut order: Vec<ConstantId> = Vec::new();
        let mut map: SecondaryMap<ConstantId, Option<ConstantId>> = SecondaryMap::new();
        let mut number = |id: ConstantId| {
            *map[id].get_or_insert_with(|| {
                order.push(id);
                ConstantId::from_u32(order.len() as u32 - 1)
            })
        };
        for (id, constant) in &self.constants {
            if !constant.name.is_empty() {
                number(id);
            }
        }
        for function in &mut self.functions {
            function.graph.compact();
            function.graph.for_each_constant_mut(&mut |id| *id = number(*id));
        }
        self.constants = order.iter().filter_map(|id| self.constants.get(*id).cloned()).collect();
    }
}
