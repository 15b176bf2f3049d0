//! Translates graphs node by node: names, functions, known values, unsupported nodes.

use super::context::{NodeContext, Output, Outputs};
use super::failure::Failure;
use super::file::Folder;
use super::ops;
use super::order::{live_order, node_label, node_place};
use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto};
use super::scope::{Arg, Item, LazyConstant, Scope};
use super::{shape_rules, tensor};
use crate::error::{Error, Place, UnsupportedNode};
use crate::import::{BatchNorm, ImportReport};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::rc::Rc;

/// Nodes that a model may have once its functions are expanded.
const MAX_NODES: usize = 4_000_000;
/// Bytes that a node may take, with its values, types and the nodes that it becomes: some dozens of small ones.
const NODE_BYTES: u64 = 2048;
/// Bodies and functions within each other.
const MAX_DEPTH: usize = 100;

/// What is common to all graphs of a model.
pub(super) struct Importer<'p> {
    pub(super) folder: Folder,
    pub(super) functions: FxHashMap<(&'p str, &'p str, &'p str), &'p FunctionProto>,
    pub(super) report: ImportReport,
    pub(super) batch_norm: BatchNorm,
    /// Running statistics that nodes know by another name than the initialiser's.
    statistics: FxHashMap<(Arg, &'p str), Rc<LazyConstant>>,
    constant_names: FxHashSet<String>,
    nodes_left: usize,
    depth: usize,
}

/// The names that nodes see.
pub(super) struct Frame<'p> {
    pub(super) names: FxHashMap<&'p str, Arg>,
    pub(super) call: Rc<Call<'p>>,
}

/// The function whose body is translated, or the model itself.
pub(super) struct Call<'p> {
    /// Attributes of the call and defaults, by the names in the function.
    pub(super) attributes: FxHashMap<&'p str, &'p AttributeProto>,
    /// Versions of the operator domains.
    opsets: FxHashMap<&'p str, i64>,
    /// Functions around, innermost last.
    stack: Vec<*const FunctionProto>,
    /// What stands before the names of nodes in messages.
    prefix: String,
}

/// ONNX's own operators may name their domain or not.
pub(super) fn domain_name(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn opset_versions(imports: &[OperatorSetIdProto]) -> FxHashMap<&str, i64> {
    imports.iter().map(|import| (domain_name(&import.domain), import.version)).collect()
}

impl<'p> Call<'p> {
    /// The model itself.
    pub(super) fn model(imports: &'p [OperatorSetIdProto]) -> Rc<Call<'p>> {
        let opsets = opset_versions(imports);
        Rc::new(Call { attributes: FxHashMap::default(), opsets, stack: Vec::new(), prefix: String::new() })
    }

    /// The version of a domain; 0 if the model does not import it.
    pub(super) fn opset(&self, domain: &str) -> i64 {
        self.opsets.get(domain_name(domain)).copied().unwrap_or(0)
    }
}

impl<'p> Importer<'p> {
    /// An importer of one model.
    pub(super) fn new(functions: &'p [FunctionProto], folder: Folder, batch_norm: BatchNorm) -> Importer<'p> {
        let key = |function: &'p FunctionProto| {
            ((domain_name(&function.domain), function.name.as_str(), function.overload.as_str()), function)
        };
        Importer {
            folder,
            functions: functions.iter().map(key).collect(),
            report: ImportReport::default(),
            batch_norm,
            statistics: FxHashMap::default(),
            constant_names: FxHashSet::default(),
            nodes_left: MAX_NODES,
            depth: 0,
        }
    }

    /// Translates something within a node, if that is not too deep.
    pub(super) fn nested<T>(
        &mut self,
        translate: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        if self.depth == MAX_DEPTH {
            return Err(Failure::Unsupported(format!("is nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let result = translate(self);
        self.depth -= 1;
        Ok(result?)
    }

    /// `name`, or a variation of it that no constant has yet.
    fn unique_name(&mut self, name: &str) -> String {
        let mut unique = name.to_string();
        let mut number = 1;
        while !unique.is_empty() && !self.constant_names.insert(unique.clone()) {
            unique = format!("{name}.{number}");
            number += 1;
        }
        unique
    }

    /// The running statistic that an initialiser is for nodes that know it as `name`. Exporters let nodes share an initialiser through `Identity` where
    /// the first values are equal; each of its names is a statistic of its own.
    pub(super) fn statistic(
        &mut self,
        arg: Arg,
        name: &'p str,
        initial: Rc<LazyConstant>,
    ) -> Rc<LazyConstant> {
        if initial.name() == name {
            return initial;
        }
        if let Some(known) = self.statistics.get(&(arg, name)) {
            return known.clone();
        }
        let own = LazyConstant::new(self.unique_name(name), initial.tensor.clone());
        self.statistics.insert((arg, name), own.clone());
        own
    }

    /// Adds those initialisers of a graph that are `wanted`.
    fn initializers(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &mut Frame<'p>,
        graph: &'p GraphProto,
        wanted: &FxHashSet<&str>,
    ) -> Result<(), Error> {
        for proto in graph.initializer.iter().filter(|proto| wanted.contains(proto.name.as_str())) {
            let item = match tensor::tensor(proto, &mut self.folder) {
                Ok(tensor) => {
                    let name = self.unique_name(&proto.name);
                    scope.add_constant(LazyConstant::new(name, tensor))
                }
                Err(error) => return Err(error),
            };
            frame.names.insert(&proto.name, item);
        }
        for proto in &graph.sparse_initializer {
            let Some(values) = proto.values.as_ref().filter(|v| wanted.contains(v.name.as_str())) else {
                continue;
            };
            let tensor = tensor::sparse_tensor(proto, &mut self.folder)?;
            let name = self.unique_name(&values.name);
            frame.names.insert(&values.name, scope.add_constant(LazyConstant::new(name, tensor)));
        }
        Ok(())
    }

    /// Translates a graph whose inputs are in the frame already; gives its outputs.
    pub(super) fn graph(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &mut Frame<'p>,
        graph: &'p GraphProto,
    ) -> Result<Vec<Arg>, Error> {
        let mut constants: FxHashSet<&str> =
            graph.initializer.iter().map(|proto| proto.name.as_str()).collect();
        let sparse = graph.sparse_initializer.iter().filter_map(|proto| proto.values.as_ref());
        constants.extend(sparse.map(|values| values.name.as_str()));
        let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        let is_known = |name: &str| frame.names.contains_key(name) || constants.contains(name);
        let order = live_order(&graph.node, &outputs, &is_known)?;
        let mut wanted: FxHashSet<&str> = outputs.iter().copied().collect();
        wanted.extend(order.iter().flat_map(|place| super::order::used_names(&graph.node[*place])));
        // An initialiser that is an input as well is a default; a value in the frame goes before it.
        wanted.retain(|name| !frame.names.contains_key(name));
        self.initializers(scope, frame, graph, &wanted)?;
        self.nodes(scope, frame, &graph.node, &order)?;
        let place = || Place::named("graph", &graph.name);
        self.outputs(frame, &outputs, place)
    }

    fn outputs(
        &self,
        frame: &Frame<'p>,
        names: &[&str],
        place: impl Fn() -> Place,
    ) -> Result<Vec<Arg>, Error> {
        let find = |name: &&str| match frame.names.get(name) {
            Some(arg) => Ok(*arg),
            None => Err(Error::bad_input(place(), format!("output `{name}` is never defined"))),
        };
        names.iter().map(find).collect()
    }

    fn nodes(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &mut Frame<'p>,
        nodes: &'p [NodeProto],
        order: &[usize],
    ) -> Result<(), Error> {
        for place in order {
            let node = &nodes[*place];
            self.nodes_left = match self.nodes_left.checked_sub(1) {
                Some(left) => left,
                None => {
                    return Err(Error::unsupported(node_place(node), "the model has too many nodes"));
                }
            };
            let constants = scope.builder.constants().len();
            let result = self.node(scope, frame, node);
            let new = scope.builder.constants().values().skip(constants);
            let bytes =
                new.fold(NODE_BYTES, |sum, constant| sum.saturating_add(constant.tensor.byte_len() as u64));
            self.folder.memory.take(bytes).map_err(|error| Failure::from(error).at(node_place(node)))?;
            let outputs = match result {
                Ok(outputs) => outputs,
                Err(Failure::Unsupported(reason)) => {
                    self.report.unsupported.push(describe(node, frame, reason));
                    vec![scope.add(Item::Poisoned); node.output.len()]
                }
                Err(failure) => return Err(failure.at(node_place(node))),
            };
            let names = node.output.iter().zip(outputs).filter(|(name, _)| !name.is_empty());
            frame.names.extend(names.map(|(name, arg)| (name.as_str(), arg)));
        }
        Ok(())
    }

    fn node(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &Frame<'p>,
        node: &'p NodeProto,
    ) -> Result<Vec<Arg>, Failure> {
        let domain = domain_name(&node.domain);
        let opset = frame.call.opset(domain);
        let function = self.functions.get(&(domain, node.op_type.as_str(), node.overload.as_str())).copied();
        let handler = match function.filter(|_| !domain.is_empty()) {
            Some(_) => None,
            None => Some(ops::find(domain, &node.op_type, opset).map_err(Failure::Unsupported)?),
        };
        let inputs: SmallVec<[Option<Arg>; 4]> =
            node.input.iter().map(|name| frame.names.get(name.as_str()).copied()).collect();
        let is_poisoned = |arg: &Arg| matches!(scope.item(*arg), Item::Poisoned);
        if inputs.iter().flatten().any(is_poisoned) {
            return Ok(vec![scope.add(Item::Poisoned); node.output.len()]);
        }
        let label = format!("{}{} ({})", frame.call.prefix, node_label(node), node.op_type);
        scope.builder.set_origin(Some(label.into()));
        let Some(handler) = handler else {
            let function = function.ok_or_else(|| Failure::BadInput("calls no function".into()))?;
            return self.call(scope, frame, node, &inputs, function);
        };
        let mut context = NodeContext { importer: self, scope, frame, node, inputs, opset };
        let outputs = match shape_rules::apply(&mut context)? {
            Some(tensors) => Outputs(tensors.into_iter().map(Output::Symbolic).collect()),
            None => handler(&mut context)?,
        };
        self.add_outputs(scope, node, outputs)
    }

    /// Adds a node's results to the scope.
    fn add_outputs(
        &mut self,
        scope: &mut Scope<'_>,
        node: &NodeProto,
        outputs: Outputs,
    ) -> Result<Vec<Arg>, Failure> {
        if let Some(name) = node.output.iter().skip(outputs.0.len()).find(|name| !name.is_empty()) {
            return Err(Failure::Unsupported(format!("output `{name}` is not supported")));
        }
        let add = |output: Output| match output {
            Output::Value(value) => scope.add_value(value),
            Output::Symbolic(tensor) => scope.add_symbolic(tensor),
            Output::Constant(tensor) => scope.add_constant(LazyConstant::new(String::new(), tensor)),
            Output::Same(arg) => arg,
            Output::Sequence(items) => scope.add(Item::Sequence(items)),
            Output::Nothing => scope.add(Item::Nothing),
        };
        Ok(outputs.0.into_iter().take(node.output.len()).map(add).collect())
    }

    /// Translates a function's body in place of a call.
    fn call(
        &mut self,
        scope: &mut Scope<'_>,
        frame: &Frame<'p>,
        node: &'p NodeProto,
        inputs: &[Option<Arg>],
        function: &'p FunctionProto,
    ) -> Result<Vec<Arg>, Failure> {
        if frame.call.stack.contains(&std::ptr::from_ref(function)) {
            return Err(Failure::BadInput("the function calls itself".into()));
        }
        if inputs.len() > function.input.len() {
            let reason = format!("the function takes {} inputs, not {}", function.input.len(), inputs.len());
            return Err(Failure::BadInput(reason));
        }
        let mut stack = frame.call.stack.clone();
        stack.push(function);
        let call = Call {
            attributes: call_attributes(frame, node, function),
            opsets: opset_versions(&function.opset_import),
            stack,
            prefix: format!("{}{}/", frame.call.prefix, node_label(node)),
        };
        let mut inner = Frame { names: FxHashMap::default(), call: Rc::new(call) };
        for (place, name) in function.input.iter().enumerate() {
            if let Some(arg) = inputs.get(place).copied().flatten() {
                inner.names.insert(name, arg);
            }
        }
        let outputs: Vec<&str> = function.output.iter().map(String::as_str).collect();
        let known = |name: &str| function.input.iter().any(|input| input == name);
        let order = live_order(&function.node, &outputs, &known)?;
        self.nested(|importer| importer.nodes(scope, &mut inner, &function.node, &order))?;
        Ok(self.outputs(&inner, &outputs, || node_place(node))?)
    }
}

/// The attributes that a function's body sees.
fn call_attributes<'p>(
    frame: &Frame<'p>,
    node: &'p NodeProto,
    function: &'p FunctionProto,
) -> FxHashMap<&'p str, &'p AttributeProto> {
    let mut attributes: FxHashMap<&str, &AttributeProto> =
        function.attribute_proto.iter().map(|default| (default.name.as_str(), default)).collect();
    for own in &node.attribute {
        let value = match own.ref_attr_name.is_empty() {
            true => Some(own),
            false => frame.call.attributes.get(own.ref_attr_name.as_str()).copied(),
        };
        if let Some(value) = value {
            attributes.insert(&own.name, value);
        }
    }
    attributes
}

fn describe(node: &NodeProto, frame: &Frame<'_>, reason: String) -> UnsupportedNode {
    UnsupportedNode {
        node: format!("{}{}", frame.call.prefix, node_label(node)),
        domain: domain_name(&node.domain).to_string(),
        op_type: node.op_type.clone(),
        opset: frame.call.opset(&node.domain),
        reason,
    }
}
