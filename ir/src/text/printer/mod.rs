//! The printer.
//!
//! * `graph`: functions, nodes, regions
//! * `constant`: which constants are declared and which stand where they are used
//! * `literal`: elements

mod constant;
mod graph;
mod literal;

use super::{LabelName, Quoted, Word};
use crate::{ConstantId, Constants, Graph, Module, Tensor};
use constant::ConstantNames;
use std::fmt::{self, Write};

/// How constants with many elements are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeConstants<'a> {
    /// All elements in the text.
    Inline,
    /// As a reference to this file, which the caller writes, with [`Printed::external`] and
    /// [`write_weights`](crate::weights::write_weights).
    File(&'a str),
    /// As `...`, for reading only: the parser refuses it.
    Omit,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions<'a> {
    /// How to print constants that have more than `large_elements` elements and are not all equal.
    pub large: LargeConstants<'a>,
    /// The most elements that always stand in the text.
    pub large_elements: usize,
}

impl Default for PrintOptions<'_> {
    fn default() -> Self {
        PrintOptions { large: LargeConstants::Inline, large_elements: 32 }
    }
}

/// A text and the constants that it leaves to a file.
#[derive(Clone, Debug)]
pub struct Printed {
    /// The text.
    pub text: String,
    /// The constants that the file must hold, with their keys in it.
    pub external: Vec<(String, ConstantId)>,
}

/// The text of a module. Equal modules and options give equal texts.
pub fn print_with(module: &Module, options: &PrintOptions<'_>) -> Printed {
    let mut text = String::new();
    let names = ConstantNames::of_module(module, options);
    let external = names.external(module, options);
    // Writing to a `String` does not fail.
    let _ = write_module(&mut text, module, &names, options, &external);
    Printed { text, external }
}

/// The text of a graph's statements for messages and dumps, with large constants left out.
pub fn display_graph<'a>(graph: &'a Graph, constants: &'a Constants) -> impl fmt::Display + 'a {
    fmt::from_fn(move |f| {
        let names = ConstantNames::of_graph(constants);
        graph::Printer { out: f, constants, names: &names, indent: 0 }.block(
            graph,
            "return",
            graph.results().len(),
        )
    })
}

/// The literal of a tensor on one line.
pub fn display_literal(tensor: &Tensor) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| literal::write_line(f, tensor))
}

/// The text form, with all constants in it.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = PrintOptions::default();
        write_module(f, self, &ConstantNames::of_module(self, &options), &options, &[])
    }
}

fn write_module(
    out: &mut dyn Write,
    module: &Module,
    names: &ConstantNames,
    options: &PrintOptions<'_>,
    external: &[(String, ConstantId)],
) -> fmt::Result {
    if !module.name.is_empty() || !module.metadata.is_empty() {
        write!(out, "module @{}", LabelName(&module.name))?;
        for (place, (key, value)) in module.metadata.iter().enumerate() {
            write!(out, "{}{} = {}", if place == 0 { " {" } else { ", " }, Word(key), Quoted(value))?;
        }
        out.write_str(if module.metadata.is_empty() { "\n" } else { "}\n" })?;
    }
    for symbol in &module.symbols {
        writeln!(out, "dim {symbol} in {}..={}", symbol.lower(), symbol.upper())?;
    }
    constant::write_declarations(out, &module.constants, names, options, external)?;
    let mut first = module.name.is_empty()
        && module.metadata.is_empty()
        && module.symbols.is_empty()
        && !names.any_declared();
    for function in &module.functions {
        if !std::mem::take(&mut first) {
            out.write_char('\n')?;
        }
        graph::Printer { out, constants: &module.constants, names, indent: 0 }.function(function)?;
    }
    Ok(())
}
