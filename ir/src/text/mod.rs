//! The text form of the graph IR, `.gir`: a parser and a printer that round-trip exactly.
//!
//! `docs/text-form.md` gives the grammar. Equal modules print equally, and the text of a printed module parses to the same module, but for
//! dead nodes, unused anonymous constants and the numbers of ids: printing puts both in the order of [`Graph::order`](crate::Graph::order).
//!
//! * [`parse`], [`parse_with`]: text to module; [`ParseErrors`] holds all errors, each with its [`Span`]
//! * `Display` of [`Module`](crate::Module), [`print_with`]: module to text
//! * [`SourceMap`]: where the entities of a parsed module stand in the text
//! * [`lexer`], [`cursor`], [`parse_type`], [`parse_dim`], [`parse_literal`]: the parts from which other text forms can be made

pub mod cursor;
mod error;
mod label;
pub mod lexer;
mod name;
mod parser;
mod printer;
mod span;

pub use error::{ParseError, ParseErrorKind, ParseErrors};
pub use name::{LabelName, Quoted, Word, is_word};
pub use parser::{
    ParseOptions, Parsed, WeightsReader, parse, parse_dim, parse_literal, parse_type, parse_with,
};
pub use printer::{LargeConstants, PrintOptions, Printed, display_graph, display_literal, print_with};
pub use span::{GraphSpans, LineColumn, NodeSpans, SourceMap, Span};
