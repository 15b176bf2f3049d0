//! Bodies of control flow as regions: what they take from around becomes operands.

use super::context::NodeContext;
use super::failure::{Result, bad_input, unsupported};
use super::graph::Frame;
use super::order::free_names;
use super::proto::GraphProto;
use super::scope::{Arg, Item, LazyConstant, Scope};
use graven_ir::{Graph, Tensor, TensorType, ValueId};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// What bodies take from around.
pub(super) struct Captures<'p> {
    names: Vec<(&'p str, Captured)>,
    /// Values that become operands of the node, and parameters of each region after its own.
    pub(super) operands: Vec<ValueId>,
}

enum Captured {
    /// Known elements, which the body builds itself.
    Known(Item),
    /// The operand of this number.
    Operand(usize),
}

/// A parameter of a body.
pub(super) enum Param {
    /// A parameter of the region.
    Typed(TensorType),
    /// A constant inside the body and no parameter of the region.
    Constant(Tensor),
    /// A parameter of the region that stands after the typed ones and before the captures.
    Late(TensorType),
}

/// A translated body, not yet ended.
pub(super) struct Body<'b> {
    /// The region's graph.
    pub(super) scope: Scope<'b>,
    /// What the body's outputs are.
    pub(super) outputs: Vec<Arg>,
}

impl<'p> Captures<'p> {
    /// What the bodies of a node take from around, in the order of its first use.
    pub(super) fn of(c: &mut NodeContext<'_, '_, 'p>, bodies: &[&'p GraphProto]) -> Result<Captures<'p>> {
        let mut captures = Captures { names: Vec::new(), operands: Vec::new() };
        let mut seen = FxHashMap::default();
        for name in bodies.iter().flat_map(|body| free_names(body)) {
            if seen.insert(name, ()).is_some() {
                continue;
            }
            let Some(arg) = c.frame.names.get(name).copied() else {
                return bad_input(format!("its body uses `{name}`, which nothing defines"));
            };
            let item = c.scope.item(arg).clone();
            let captured = match item {
                Item::Tensor { value: Some(_), known: super::scope::Known::Nothing, .. } => {
                    captures.operands.push(c.value_of(arg)?);
                    Captured::Operand(captures.operands.len() - 1)
                }
                Item::Tensor { known, ty, .. } => Captured::Known(Item::Tensor { value: None, known, ty }),
                Item::Nothing => Captured::Known(Item::Nothing),
                Item::Poisoned => Captured::Known(Item::Poisoned),
                Item::Sequence(_) => return unsupported(format!("its body uses the sequence `{name}`")),
            };
            captures.names.push((name, captured));
        }
        Ok(captures)
    }

    /// Translates a body as a region with parameters, then the captures.
    pub(super) fn body<'b>(
        &self,
        c: &'b mut NodeContext<'_, '_, 'p>,
        graph: &'p GraphProto,
        params: Vec<Param>,
    ) -> Result<Body<'b>> {
        if params.len() != graph.input.len() {
            return bad_input(format!("its body takes {} inputs, not {}", graph.input.len(), params.len()));
        }
        let types: Vec<TensorType> = self.operands.iter().map(|operand| c.ty(*operand).clone()).collect();
        let mut scope = Scope::new(c.scope.builder.region());
        let mut frame = Frame { names: FxHashMap::default(), call: Rc::clone(&c.frame.call) };
        let mut late = Vec::new();
        for (param, input) in params.into_iter().zip(&graph.input) {
            let arg = match param {
                Param::Typed(ty) => {
                    let value = scope.builder.param(ty, None);
                    scope.add_value(value)
                }
                Param::Constant(tensor) => scope.add_constant(LazyConstant::new(String::new(), tensor)),
                Param::Late(ty) => {
                    late.push((input.name.as_str(), ty));
                    continue;
                }
            };
            frame.names.insert(&input.name, arg);
        }
        for (name, ty) in late {
            let value = scope.builder.param(ty, None);
            frame.names.insert(name, scope.add_value(value));
        }
        let captures: Vec<ValueId> = types.into_iter().map(|ty| scope.builder.param(ty, None)).collect();
        for (name, captured) in &self.names {
            let arg = match captured {
                Captured::Known(item) => scope.add(item.clone()),
                Captured::Operand(place) => scope.add_value(captures[*place]),
            };
            frame.names.insert(name, arg);
        }
        let outputs = c.importer.nested(|importer| importer.graph(&mut scope, &mut frame, graph))?;
        if outputs.iter().any(|arg| matches!(scope.item(*arg), Item::Poisoned)) {
            return unsupported("its body has nodes that are not supported");
        }
        Ok(Body { scope, outputs })
    }
}

impl Body<'_> {
    /// The body's outputs as values.
    pub(super) fn values(&mut self) -> Result<Vec<ValueId>> {
        let mut values = Vec::with_capacity(self.outputs.len());
        for place in 0..self.outputs.len() {
            match self.scope.value(self.outputs[place])? {
                Some(value) => values.push(value),
                None => return unsupported("its body gives a sequence or an optional"),
            }
        }
        Ok(values)
    }

    /// Ends the region with results.
    pub(super) fn finish(self, results: Vec<ValueId>) -> Graph {
        self.scope.builder.finish(results)
    }
}

/// Translates a body in place, in the graph of the node itself.
pub(super) fn inline_body<'p>(
    c: &mut NodeContext<'_, '_, 'p>,
    graph: &'p GraphProto,
    inputs: &[Arg],
) -> Result<Vec<Arg>> {
    if inputs.len() != graph.input.len() {
        return bad_input(format!("its body takes {} inputs, not {}", graph.input.len(), inputs.len()));
    }
    let mut frame = Frame { names: FxHashMap::default(), call: Rc::clone(&c.frame.call) };
    for name in free_names(graph) {
        if let Some(arg) = c.frame.names.get(name) {
            frame.names.insert(name, *arg);
        }
    }
    for (input, arg) in graph.input.iter().zip(inputs) {
        frame.names.insert(&input.name, *arg);
    }
    let scope = &mut *c.scope;
    let outputs = c.importer.nested(|importer| importer.graph(scope, &mut frame, graph))?;
    match outputs.iter().any(|arg| matches!(scope.item(*arg), Item::Poisoned)) {
        true => unsupported("its body has nodes that are not supported"),
        false => Ok(outputs),
    }
}
