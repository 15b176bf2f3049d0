//! The verifier: whether a module keeps the rules of the IR.
//!
//! [`verify`] collects all violations of these rules, each with its place; regions are graphs like any other:
//!
//! * Module: names of functions, of symbols and of named constants are unique; a symbol's extents are 0 ≤ lower ≤ upper ≤ [`MAX_ELEMENTS`].
//! * Constants: the byte of a bool is 0 or 1, that of a 4-bit integer within its range.
//! * Function: as many parameters as inputs and states, as many results as outputs and states; names of inputs and states are
//!   unique, and so are names of outputs and states; a state has one type before and after.
//! * SSA form: ids name entities of the same graph; parameters and results of nodes have exactly the values that name them as
//!   their definition; no node depends on itself.
//! * Types: the result types of a node are those that [`infer`] gives, which covers attributes,
//!   captures and the signatures of regions; parameters have possible sizes; every symbol in a type or attribute is declared, with the same bounds.
//! * A symbol that a node binds is bound by no other node, is no extent of a parameter, and nothing that the node depends on has it; nodes of regions bind none.
//! * Regions nest at most [`MAX_REGION_DEPTH`] deep.
//!
//! Value names need not be unique: the text form tells values of one name apart. The verifier does not panic, whatever
//! graph was read. Where the ids of a graph are wrong, nothing else is checked in that graph.

mod binding;

use crate::analysis::GraphView;
use crate::infer::{InferError, check_type, infer};
use crate::{ConstantId, Constants, DType, Definition, Dim, Function, Graph, MAX_ELEMENTS, Module};
use crate::{NodeId, Symbol, Tensor, TensorType, ValueId};
use petgraph::algo::kosaraju_scc;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt;

/// The deepest nesting of regions.
pub const MAX_REGION_DEPTH: usize = 64;

/// A broken rule with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The function by its index in the module, or `None` for the module itself.
    pub function: Option<usize>,
    /// From the function's graph inwards: a node and the index of its region.
    pub regions: Vec<(NodeId, usize)>,
    /// The part of the innermost graph.
    pub entity: Entity,
    /// The broken rule.
    pub violation: Violation,
}

/// What a violation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// The module, the function or the region as a whole.
    Whole,
    /// A value.
    Value(ValueId),
    /// A node.
    Node(NodeId),
    /// A constant of the module.
    Constant(ConstantId),
    /// A symbol, by its index in the module.
    Symbol(usize),
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two entities have one name.
    #[error("there are two {kind} named `{name}`")]
    RepeatedName {
        /// What has the name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A symbol whose bounds are no extents.
    #[error("the symbol `{name}` has the bounds {lower}..={upper}, which are no extents")]
    SymbolBounds {
        /// Its name.
        name: String,
        /// Its lower bound.
        lower: i64,
        /// Its upper bound.
        upper: i64,
    },
    /// A symbol that the module does not declare, or not with these bounds.
    #[error("the symbol `{name}` in {lower}..={upper} is not declared so")]
    UndeclaredSymbol {
        /// Its name.
        name: String,
        /// Its lower bound.
        lower: i64,
        /// Its upper bound.
        upper: i64,
    },
    /// A byte of a constant that is no element of its dtype.
    #[error("element {element} of `{name}` has the byte {byte:#04x}, which is no {dtype}")]
    ConstantByte {
        /// The constant's name.
        name: String,
        /// The first such element.
        element: usize,
        /// Its byte.
        byte: u8,
        /// The constant's dtype.
        dtype: DType,
    },
    /// The names of a function's signature are not as many as the values.
    #[error("{values} {what} have {names} names")]
    Signature {
        /// Parameters or results.
        what: &'static str,
        /// Number of values.
        values: usize,
        /// Number of names.
        names: usize,
    },
    /// A state changes its type.
    #[error("the state `{name}` is {before} before and {after} after")]
    StateType {
        /// Its name.
        name: String,
        /// Its type as a parameter.
        before: Box<TensorType>,
        /// Its type as a result.
        after: Box<TensorType>,
    },
    /// An id that names nothing in its graph.
    #[error("{0} does not exist in this graph")]
    UnknownValue(ValueId),
    /// A value whose definition is not where it says.
    #[error("the definition {0:?} does not name this value")]
    Definition(Definition),
    /// A node that needs its own results.
    #[error("the node depends on itself")]
    Cycle,
    /// A type that no value can have.
    #[error("{0}")]
    Type(String),
    /// An op that does not fit its operands.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A result whose type is not the inferred one.
    #[error("result {place} is {stated} but should be {inferred}")]
    ResultType {
        /// Which result.
        place: usize,
        /// Its type.
        stated: Box<TensorType>,
        /// The type that follows from the operands.
        inferred: Box<TensorType>,
    },
    /// More or fewer results than the op has.
    #[error("the node has {stated} results but the op {inferred}")]
    ResultCount {
        /// Number of results.
        stated: usize,
        /// Number that follows from the operands.
        inferred: usize,
    },
    /// A node gives a value to a symbol that it can't give one to.
    #[error("binds `{name}`, {reason}")]
    Binding {
        /// The symbol.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Regions nest too deeply.
    #[error("regions nest deeper than {MAX_REGION_DEPTH}")]
    Depth,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(function) = self.function {
            write!(f, "function {function}: ")?;
        }
        for (node, region) in &self.regions {
            write!(f, "region {region} of {node}: ")?;
        }
        match self.entity {
            Entity::Whole => {}
            Entity::Value(value) => write!(f, "{value}: ")?,
            Entity::Node(node) => write!(f, "{node}: ")?,
            Entity::Constant(constant) => write!(f, "{constant}: ")?,
            Entity::Symbol(_) => {}
        }
        self.violation.fmt(f)
    }
}

impl std::error::Error for VerifyError {}

/// Checks all rules of the [module documentation](self).
///
/// # Errors
/// Every violation, in the order of the module, its functions, and their graphs from the outside inwards.
pub fn verify(module: &Module) -> Result<(), Vec<VerifyError>> {
    let symbols = module.symbols.iter().map(|symbol| (symbol.name(), symbol)).collect();
    let mut verifier = Verifier {
        constants: &module.constants,
        symbols,
        function: None,
        regions: Vec::new(),
        errors: Vec::new(),
    };
    verifier.module(module);
    for (index, function) in module.functions.iter().enumerate() {
        verifier.function = Some(index);
        verifier.function(function);
    }
    match verifier.errors.is_empty() {
        true => Ok(()),
        false => Err(verifier.errors),
    }
}

/// Checks the rules of graphs on one that stands in no function, over a module's constants and symbols.
///
/// # Errors
/// Every violation, from the outside inwards.
pub fn verify_graph(
    constants: &Constants,
    symbols: &[Symbol],
    graph: &Graph,
) -> Result<(), Vec<VerifyError>> {
    let symbols = symbols.iter().map(|symbol| (symbol.name(), symbol)).collect();
    let mut verifier =
        Verifier { constants, symbols, function: None, regions: Vec::new(), errors: Vec::new() };
    verifier.graph(graph);
    match verifier.errors.is_empty() {
        true => Ok(()),
        false => Err(verifier.errors),
    }
}

struct Verifier<'m> {
    constants: &'m Constants,
    symbols: FxHashMap<&'m str, &'m Symbol>,
    function: Option<usize>,
    regions: Vec<(NodeId, usize)>,
    errors: Vec<VerifyError>,
}

impl Verifier<'_> {
    fn report(&mut self, entity: Entity, violation: Violation) {
        let (function, regions) = (self.function, self.regions.clone());
        self.errors.push(VerifyError { function, regions, entity, violation });
    }

    fn unique<'a>(&mut self, kind: &'static str, names: impl Iterator<Item = &'a str>) {
        let mut seen = FxHashSet::default();
        for name in names {
            if !seen.insert(name) {
                self.report(Entity::Whole, Violation::RepeatedName { kind, name: name.into() });
            }
        }
    }

    fn module(&mut self, module: &Module) {
        self.unique("functions", module.functions.iter().map(|function| function.name.as_str()));
        self.unique("symbols", module.symbols.iter().map(Symbol::name));
        let constants = module.constants.values().map(|constant| &*constant.name);
        self.unique("constants", constants.filter(|name| !name.is_empty()));
        for (index, symbol) in module.symbols.iter().enumerate() {
            let (lower, upper) = (symbol.lower(), symbol.upper());
            if lower < 0 || lower > upper || upper > MAX_ELEMENTS {
                let name = symbol.name().into();
                self.report(Entity::Symbol(index), Violation::SymbolBounds { name, lower, upper });
            }
        }
        for (id, constant) in &module.constants {
            if let Some((element, byte)) = wrong_byte(&constant.tensor) {
                let (name, dtype) = (constant.name.to_string(), constant.tensor.dtype());
                self.report(Entity::Constant(id), Violation::ConstantByte { name, element, byte, dtype });
            }
        }
    }

    fn function(&mut self, function: &Function) {
        let (inputs, outputs, states) = (&function.inputs, &function.outputs, &function.states);
        self.unique("inputs and states", inputs.iter().chain(states).map(|name| &**name));
        self.unique("outputs and states", outputs.iter().chain(states).map(|name| &**name));
        let graph = &function.graph;
        let (params, results) = (graph.params(), graph.results());
        let mut complete = true;
        for (what, values, names) in [("parameters", params, inputs), ("results", results, outputs)] {
            let (values, names) = (values.len(), names.len() + states.len());
            if values != names {
                complete = false;
                self.report(Entity::Whole, Violation::Signature { what, values, names });
            }
        }
        if !self.graph(graph) {
            return;
        }
        self.bindings(graph);
        if !complete {
            return;
        }
        let pairs = params[inputs.len()..].iter().zip(&results[outputs.len()..]);
        for (name, (before, after)) in states.iter().zip(pairs) {
            let (before, after) = (graph.ty(*before), graph.ty(*after));
            if before != after {
                let (before, after) = (Box::new(before.clone()), Box::new(after.clone()));
                self.report(Entity::Whole, Violation::StateType { name: name.to_string(), before, after });
            }
        }
    }

    /// Whether the ids of the graph are right, so that others may follow them.
    fn graph(&mut self, graph: &Graph) -> bool {
        if self.regions.len() > MAX_REGION_DEPTH {
            self.report(Entity::Whole, Violation::Depth);
            return false;
        }
        let errors = self.errors.len();
        self.ids(graph);
        if self.errors.len() > errors {
            return false;
        }
        for component in kosaraju_scc(&GraphView::with_dead(graph)) {
            let uses_itself = |node: &NodeId| {
                graph.node(*node).operands.iter().any(|value| graph.defining_node(*value) == Some(*node))
            };
            if let Some(first) = component.iter().min().filter(|n| component.len() > 1 || uses_itself(n)) {
                self.report(Entity::Node(*first), Violation::Cycle);
            }
        }
        for (id, value) in graph.values() {
            value.ty.shape.iter().for_each(|dim| self.dim(Entity::Value(id), dim));
            if let Err(reason) = check_type(&value.ty) {
                self.report(Entity::Value(id), Violation::Type(reason));
            }
        }
        let mut sound = true;
        for (id, node) in graph.nodes() {
            for (index, region) in node.regions.iter().enumerate() {
                self.regions.push((id, index));
                sound &= self.graph(region);
                self.regions.pop();
            }
            self.node(graph, id);
        }
        sound
    }

    fn ids(&mut self, graph: &Graph) {
        let exists = |value: &ValueId| graph.get_value(*value).is_some();
        let ends = graph.params().iter().chain(graph.results());
        for value in ends.filter(|value| !exists(value)) {
            self.report(Entity::Whole, Violation::UnknownValue(*value));
        }
        for (id, node) in graph.nodes() {
            for value in node.operands.iter().chain(&node.results).filter(|value| !exists(value)) {
                self.report(Entity::Node(id), Violation::UnknownValue(*value));
            }
        }
        let mut defined = 0;
        for (id, value) in graph.values() {
            let named = match value.definition {
                Definition::Param(place) => graph.params().get(place as usize),
                Definition::Result(node, place) => {
                    graph.get_node(node).and_then(|node| node.results.get(place as usize))
                }
            };
            match named == Some(&id) {
                true => defined += 1,
                false => self.report(Entity::Value(id), Violation::Definition(value.definition)),
            }
        }
        // Every value has one place; a place more is a value that stands in two.
        let places = graph.params().len() + graph.nodes().map(|(_, node)| node.results.len()).sum::<usize>();
        if places > defined {
            let lists = graph.nodes().flat_map(|(_, node)| &node.results).chain(graph.params());
            let mut seen = FxHashSet::default();
            for value in lists.filter(|value| exists(value) && !seen.insert(**value)) {
                let Some(content) = graph.get_value(*value) else { continue };
                self.report(Entity::Value(*value), Violation::Definition(content.definition));
            }
        }
    }

    fn node(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        for (_, attribute) in node.op.attributes() {
            attribute.for_each_dim(&mut |dim| self.dim(Entity::Node(id), dim));
        }
        let operands: Vec<&TensorType> = node.operands.iter().map(|value| graph.ty(*value)).collect();
        let inferred = match infer(self.constants, &node.op, &operands, &node.regions) {
            Ok(inferred) => inferred,
            Err(error) => return self.report(Entity::Node(id), Violation::Infer(error)),
        };
        if inferred.len() != node.results.len() {
            let (stated, inferred) = (node.results.len(), inferred.len());
            return self.report(Entity::Node(id), Violation::ResultCount { stated, inferred });
        }
        for (place, (value, inferred)) in node.results.iter().zip(inferred).enumerate() {
            let stated = graph.ty(*value);
            if *stated != inferred {
                let (stated, inferred) = (Box::new(stated.clone()), Box::new(inferred));
                self.report(Entity::Node(id), Violation::ResultType { place, stated, inferred });
            }
        }
    }

    fn dim(&mut self, entity: Entity, dim: &Dim) {
        dim.for_each_symbol(&mut |symbol| {
            if self.symbols.get(symbol.name()).is_none_or(|declared| *declared != symbol) {
                let (name, lower, upper) = (symbol.name().into(), symbol.lower(), symbol.upper());
                self.report(entity, Violation::UndeclaredSymbol { name, lower, upper });
            }
        });
    }
}

/// The first byte of a tensor that is no element: those of bool and of 4-bit integers have free bits.
fn wrong_byte(tensor: &Tensor) -> Option<(usize, u8)> {
    let is_element: fn(u8) -> bool = match tensor.dtype() {
        DType::Bool => |byte| byte <= 1,
        DType::U4 => |byte| byte <= 15,
        DType::I4 => |byte| (-8..=7).contains(&(byte as i8)),
        _ => return None,
    };
    let place = tensor.data().iter().position(|byte| !is_element(*byte))?;
    tensor.data().get(place).map(|byte| (place, *byte))
}

#[cfg(test)]
mod tests;
