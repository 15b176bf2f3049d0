//! The verifier: whether a module keeps the rules of the IR.
//!
//! [`verify`] collects all violations of these rules, each with its place; regions are graphs like any other:
//!
//! * Module: names of functions, of symbols and of named constants are unique; a symbol's extents are 0 ≤ lower ≤ upper ≤ [`MAX_ELEMENTS`].
//! * Function: as many parameters as inputs and states, as many results as outputs and states; names of inputs and states are
//!   unique, and so are names of outputs and states; a state has one type before and after.
//! * SSA form: ids name entities of the same graph; parameters and results of nodes have exactly the values that name them as
//!   their definition; no node depends on itself.
//! * Types: the result types of a node are those that [`infer`] gives, which covers attributes,
//!   captures and the signatures of regions; parameters have possible sizes; every symbol in a type or attribute is declared, with the same bounds.
//! * Regions nest at most [`MAX_REGION_DEPTH`] deep.
//!
//! Value names need not be unique: the text form tells values of one name apart. The verifier does not panic, whatever
//! graph was read. Where the ids of a graph are wrong, nothing else is checked in that graph.

use crate::analysis::GraphView;
use crate::infer::{InferError, check_type, infer};
use crate::{Attribute, Constants, Definition, Dim, Function, Graph, MAX_ELEMENTS, Module, NodeId, Symbol};
use crate::{TensorType, ValueId};
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
        for symbol in &module.symbols {
            let (lower, upper) = (symbol.lower(), symbol.upper());
            if lower < 0 || lower > upper || upper > MAX_ELEMENTS {
                let name = symbol.name().into();
                self.report(Entity::Whole, Violation::SymbolBounds { name, lower, upper });
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
        if !self.graph(graph) || !complete {
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
            self.attribute(Entity::Node(id), &attribute);
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

    fn attribute(&mut self, entity: Entity, attribute: &Attribute) {
        match attribute {
            Attribute::Dim(dim) => self.dim(entity, dim),
            Attribute::List(items) => items.iter().for_each(|item| self.attribute(entity, item)),
            Attribute::Real(_) | Attribute::Bool(_) | Attribute::Word(_) | Attribute::Text(_) => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BinaryOp, Constant, DType, GraphBuilder, Tensor, UnaryOp};
    use serde_json::{Value, json};

    /// y = x · x + s, new state −s, for x, s: f32[N].
    fn module() -> Module {
        let n = Symbol::new("N", 1, 32);
        let mut module = Module { symbols: vec![n.clone()], ..Module::default() };
        let mut builder = GraphBuilder::new(&mut module.constants);
        let ty = TensorType::new(DType::F32, [Dim::from(n)]);
        let (x, s) = (builder.param(ty.clone(), None), builder.param(ty, None));
        let square = builder.binary(BinaryOp::Mul, x, x).unwrap();
        let sum = builder.binary(BinaryOp::Add, square, s).unwrap();
        let negative = builder.unary(UnaryOp::Neg, s).unwrap();
        let graph = builder.finish(vec![sum, negative]);
        let names = |name: &str| vec![name.into()];
        let (inputs, outputs, states) = (names("x"), names("y"), names("s"));
        module.functions.push(Function { name: "main".into(), graph, inputs, outputs, states });
        module
    }

    /// The violations after a change of the graph as JSON.
    fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut module = module();
        let mut json = serde_json::to_value(&module.functions[0].graph).unwrap();
        change(&mut json);
        module.functions[0].graph = serde_json::from_value(json).unwrap();
        messages(&module)
    }

    fn messages(module: &Module) -> Vec<String> {
        verify(module).unwrap_err().iter().map(VerifyError::to_string).collect()
    }

    #[test]
    fn good_modules_pass() {
        assert_eq!(verify(&module()), Ok(()));
        assert_eq!(verify(&Module::default()), Ok(()));
    }

    #[test]
    fn ids_must_exist_and_agree() {
        let unknown = broken(|graph| graph["nodes"]["elems"][0]["operands"][1] = json!(99));
        assert_eq!(unknown, ["function 0: node0: %99 does not exist in this graph"]);
        let unknown = broken(|graph| graph["results"][0] = json!(u32::MAX - 1));
        assert!(unknown[0].contains("does not exist"), "{unknown:?}");
        let moved = broken(|graph| graph["values"]["elems"][2]["definition"] = json!({"Param": 0}));
        assert!(moved[0].starts_with("function 0: %2: the definition Param(0)"), "{moved:?}");
        let twice = broken(|graph| graph["params"] = json!([0, 1, 1]));
        assert!(twice.iter().any(|message| message.contains("%1: the definition")), "{twice:?}");
    }

    #[test]
    fn cycles_are_found() {
        let own = broken(|graph| graph["nodes"]["elems"][0]["operands"][0] = json!(2));
        assert_eq!(own, ["function 0: node0: the node depends on itself"]);
        let longer = broken(|graph| graph["nodes"]["elems"][0]["operands"][0] = json!(3));
        assert_eq!(longer, ["function 0: node0: the node depends on itself"]);
    }

    #[test]
    fn types_must_be_the_inferred_ones() {
        let ty = broken(|graph| graph["values"]["elems"][3]["ty"]["dtype"] = json!("f64"));
        assert_eq!(ty, ["function 0: node1: result 0 is f64[N] but should be f32[N]"]);
        let op = broken(|graph| graph["nodes"]["elems"][2]["op"] = json!({"unary": "not"}));
        assert!(op[0].starts_with("function 0: node2: `not`: the operand must"), "{op:?}");
        let op = broken(|graph| {
            graph["nodes"]["elems"][2]["op"] = json!({"sort": {"axis": 0, "descending": true}})
        });
        assert_eq!(op, ["function 0: node2: the node has 1 results but the op 2"]);
        let negative = broken(|graph| graph["values"]["elems"][0]["ty"]["shape"][0] = json!(-1));
        assert!(negative.iter().any(|message| message.contains("%0: ")), "{negative:?}");
    }

    #[test]
    fn symbols_are_declared() {
        let mut undeclared = module();
        undeclared.symbols[0] = Symbol::new("N", 1, 33);
        assert_eq!(messages(&undeclared).len(), 5);
        assert!(messages(&undeclared)[0].contains("%0: the symbol `N` in 1..=32 is not declared so"));
        let mut bounds = module();
        bounds.symbols.push(Symbol::new("M", -1, 3));
        bounds.symbols.push(Symbol::new("M", 5, 3));
        let expected = ["there are two symbols named `M`", "the bounds -1..=3", "the bounds 5..=3"];
        let found = messages(&bounds);
        assert!(found.iter().zip(expected).all(|(message, part)| message.contains(part)), "{found:?}");
    }

    #[test]
    fn signatures_and_names() {
        let mut names = module();
        names.functions[0].inputs.push("s".into());
        let expected = ["two inputs and states named `s`", "2 parameters have 3 names"];
        let found = messages(&names);
        assert!(found.iter().zip(expected).all(|(message, part)| message.contains(part)), "{found:?}");

        let mut state = module();
        let graph = &mut state.functions[0].graph;
        graph.add_param(TensorType::scalar(DType::F32), None);
        state.functions[0].inputs.push("z".into());
        assert_eq!(messages(&state), ["function 0: the state `s` is f32[] before and f32[N] after"]);

        let mut repeated = module();
        repeated.functions.push(repeated.functions[0].clone());
        for _ in 0..2 {
            repeated.constants.push(Constant { name: "w".into(), tensor: Tensor::from_i64s(&[1]) });
            repeated.constants.push(Constant { name: "".into(), tensor: Tensor::from_i64s(&[1]) });
        }
        assert_eq!(
            messages(&repeated),
            ["there are two functions named `main`", "there are two constants named `w`"]
        );
    }

    #[test]
    fn regions_are_graphs_too() {
        let mut module = module();
        let graph = &mut module.functions[0].graph;
        let nodes = graph.order();
        crate::patch::outline(graph, &mut module.constants, &nodes, crate::FusionKind::Pointwise).unwrap();
        graph.compact();
        assert_eq!(verify(&module), Ok(()));
        let fused = module.functions[0].graph.order()[0];
        let region = &mut module.functions[0].graph.regions_mut(fused)[0];
        let result = region.results()[0];
        region.operands_mut(NodeId::from_u32(0))[0] = result;
        assert_eq!(messages(&module), ["function 0: region 0 of node0: node0: the node depends on itself"]);
    }
}
