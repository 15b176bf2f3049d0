//! Functions, nodes, regions.

use super::constant::{ConstantName, ConstantNames};
use super::literal::write_literal;
use crate::text::{LabelName, Quoted, Word};
use crate::{Attribute, ConstantId, Constants, Function, Graph, Node, NodeId, Op, ValueId};
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;
use std::fmt::{self, Write};

/// Signatures longer than this are broken into lines.
const LINE: usize = 100;

pub(super) struct Printer<'a> {
    pub out: &'a mut dyn Write,
    pub constants: &'a Constants,
    pub names: &'a ConstantNames,
    pub indent: usize,
}

/// The names of a graph's values: `%x`, `%x#1` for the second of that name, and `%3` for one without a name.
struct ValueNames(SecondaryMap<ValueId, String>);

impl ValueNames {
    fn new(graph: &Graph, order: &[NodeId]) -> ValueNames {
        let mut copies: FxHashMap<&str, u32> = FxHashMap::default();
        let mut names = SecondaryMap::new();
        let results = order.iter().flat_map(|node| &graph.node(*node).results);
        for (number, value) in graph.params().iter().chain(results).enumerate() {
            names[*value] = match &graph.value(*value).name {
                None => format!("%{number}"),
                Some(name) => {
                    let copy = copies.entry(name).or_default();
                    let suffix = if *copy > 0 { format!("#{copy}") } else { String::new() };
                    *copy += 1;
                    format!("%{}{suffix}", LabelName(name))
                }
            };
        }
        ValueNames(names)
    }

    fn list(&self, values: &[ValueId]) -> String {
        let names: Vec<&str> = values.iter().map(|value| self.0[*value].as_str()).collect();
        names.join(", ")
    }
}

impl Printer<'_> {
    pub fn function(&mut self, function: &Function) -> fmt::Result {
        let graph = &function.graph;
        let values = ValueNames::new(graph, &graph.order());
        let param = |(value, name): (&ValueId, &std::sync::Arc<str>)| {
            let own = graph.value(*value).name.as_deref() == Some(&**name) && !values.0[*value].contains('#');
            let alias = if own { String::new() } else { format!(" as {}", Word(name)) };
            format!("{}{alias}: {}", values.0[*value], graph.ty(*value))
        };
        let (inputs, states) = graph.params().split_at(function.inputs.len().min(graph.params().len()));
        let inputs: Vec<String> = inputs.iter().zip(&function.inputs).map(param).collect();
        let states: Vec<String> = states.iter().zip(&function.states).map(param).collect();
        let outputs = graph.results().iter().zip(&function.outputs);
        let outputs: Vec<String> =
            outputs.map(|(value, name)| format!("{}: {}", Word(name), graph.ty(*value))).collect();
        let outputs_length = joined_length(&outputs);
        let states_length = if states.is_empty() { 0 } else { " state ()".len() + joined_length(&states) };
        let name = format!("func @{}", LabelName(&function.name));
        let length =
            name.len() + "() -> () {".len() + joined_length(&inputs) + outputs_length + states_length;
        let long = length > LINE;
        self.out.write_str(&name)?;
        self.parens(&inputs, long)?;
        self.out.write_str(" -> ")?;
        let long_results = long && ") -> () {".len() + outputs_length + states_length > LINE;
        self.parens(&outputs, long_results)?;
        if !states.is_empty() {
            self.out.write_str(" state ")?;
            self.parens(&states, long_results)?;
        }
        self.out.write_str(" {\n")?;
        self.block(graph, "return", function.outputs.len())?;
        self.out.write_str("}\n")
    }

    /// `(a, b)`, or one item per line.
    fn parens(&mut self, items: &[String], broken: bool) -> fmt::Result {
        if !broken || items.is_empty() {
            return write!(self.out, "({})", items.join(", "));
        }
        let indent = self.indent;
        self.out.write_str("(\n")?;
        items.iter().try_for_each(|item| writeln!(self.out, "{:indent$}    {item},", ""))?;
        write!(self.out, "{:indent$})", "")
    }

    /// The statements of a graph and its terminator, whose results from `states` on stand after `state`.
    pub fn block(&mut self, graph: &Graph, terminator: &str, states: usize) -> fmt::Result {
        let order = graph.order();
        let values = ValueNames::new(graph, &order);
        self.indent += 2;
        for node in order {
            self.node(graph, graph.node(node), &values)?;
        }
        let indent = self.indent;
        self.indent -= 2;
        let (outputs, states) = graph.results().split_at(states.min(graph.results().len()));
        write!(self.out, "{:indent$}{terminator}", "")?;
        if !outputs.is_empty() {
            write!(self.out, " {}", values.list(outputs))?;
        }
        if !states.is_empty() {
            write!(self.out, " state {}", values.list(states))?;
        }
        self.out.write_char('\n')
    }

    fn node(&mut self, graph: &Graph, node: &Node, values: &ValueNames) -> fmt::Result {
        let indent = self.indent;
        write!(self.out, "{:indent$}", "")?;
        if !node.results.is_empty() {
            write!(self.out, "{} = ", values.list(&node.results))?;
        }
        self.out.write_str(node.op.name())?;
        if let Op::Constant { id } = node.op {
            self.constant(id)?;
        }
        if !node.operands.is_empty() {
            write!(self.out, " {}", values.list(&node.operands))?;
        }
        if !matches!(node.op, Op::Constant { .. }) {
            self.attributes(&node.op)?;
        }
        for (place, result) in node.results.iter().enumerate() {
            write!(self.out, "{}{}", if place == 0 { " : " } else { ", " }, graph.ty(*result))?;
        }
        if let Some(origin) = &node.origin {
            write!(self.out, " loc({})", Quoted(origin))?;
        }
        for (region, name) in node.regions.iter().zip(node.op.region_names()) {
            write!(self.out, " {name} ")?;
            self.region(region)?;
        }
        self.out.write_char('\n')
    }

    fn region(&mut self, region: &Graph) -> fmt::Result {
        let values = ValueNames::new(region, &[]);
        let param = |value: &ValueId| format!("{}: {}", values.0[*value], region.ty(*value));
        let params: Vec<String> = region.params().iter().map(param).collect();
        self.parens(&params, joined_length(&params) > LINE)?;
        self.out.write_str(" {\n")?;
        self.block(region, "yield", region.results().len())?;
        let indent = self.indent;
        write!(self.out, "{:indent$}}}", "")
    }

    /// A constant in the place of its use.
    fn constant(&mut self, id: ConstantId) -> fmt::Result {
        match (self.constants.get(id), self.names.get(id)) {
            (Some(constant), ConstantName::Literal) => write_literal(self.out, &constant.tensor),
            (Some(constant), ConstantName::Named) => write!(self.out, " @{}", LabelName(&constant.name)),
            (_, ConstantName::Number(number)) => write!(self.out, " @{number}"),
            _ => write!(self.out, " {id}"),
        }
    }

    fn attributes(&mut self, op: &Op) -> fmt::Result {
        let attributes = op.attributes();
        for (place, (name, value)) in attributes.iter().enumerate() {
            write!(self.out, "{}{name} = ", if place == 0 { " {" } else { ", " })?;
            write_attribute(self.out, value)?;
        }
        if attributes.is_empty() { Ok(()) } else { self.out.write_char('}') }
    }
}

fn joined_length(items: &[String]) -> usize {
    items.iter().map(|item| item.len() + ", ".len()).sum()
}

/// A value as it stands between braces.
fn write_attribute(out: &mut dyn Write, attribute: &Attribute) -> fmt::Result {
    match attribute {
        Attribute::Dim(dim) => write!(out, "{dim}"),
        Attribute::Real(value) if value.is_nan() => out.write_str("nan"),
        Attribute::Real(value) => write!(out, "{value:?}"),
        Attribute::Bool(value) => write!(out, "{value}"),
        Attribute::Word(word) => out.write_str(word),
        Attribute::Text(text) => write!(out, "{}", Quoted(text)),
        Attribute::List(items) => {
            out.write_char('[')?;
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.write_str(", ")?;
                }
                write_attribute(out, item)?;
            }
            out.write_char(']')
        }
    }
}
