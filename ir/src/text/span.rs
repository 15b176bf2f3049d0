//! Places in a text.

use crate::verify::{Entity, VerifyError};
use crate::{ConstantId, NodeId, ValueId};
use cranelift_entity::SecondaryMap;
use std::fmt;

/// A range of bytes of the parsed text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// End, exclusive.
    pub end: u32,
}

impl Span {
    /// A range from its ends.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// The smallest range that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether the range holds no byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The character within the line.
    pub column: usize,
}

impl LineColumn {
    /// The line and column of a byte offset into `text`; offsets beyond the end count as the end.
    pub fn of(text: &str, offset: usize) -> LineColumn {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        LineColumn { line, column: before[line_start..].chars().count() + 1 }
    }
}

/// `12:5`.
impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where the entities of a parsed module stand in its text.
///
/// The map belongs to the module as parsed: after a change of the module the ids no longer agree.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    pub(super) functions: Vec<GraphSpans>,
    pub(super) constants: SecondaryMap<ConstantId, Span>,
    pub(super) symbols: Vec<Span>,
}

impl SourceMap {
    /// The places of a function, by its index in the module.
    pub fn function(&self, index: usize) -> Option<&GraphSpans> {
        self.functions.get(index)
    }

    /// The declaration of a constant, or its literal where it has no declaration.
    pub fn constant(&self, constant: ConstantId) -> Span {
        self.constants[constant]
    }

    /// The declaration of a symbol, by its index in the module.
    pub fn symbol(&self, index: usize) -> Option<Span> {
        self.symbols.get(index).copied()
    }

    /// The place of a broken rule; empty for one of the whole module.
    pub fn violation(&self, error: &VerifyError) -> Span {
        match error.entity {
            Entity::Constant(constant) => return self.constant(constant),
            Entity::Symbol(index) => return self.symbol(index).unwrap_or_default(),
            Entity::Whole | Entity::Value(_) | Entity::Node(_) => {}
        }
        let mut graph = error.function.and_then(|index| self.function(index));
        for (node, region) in &error.regions {
            graph = graph.and_then(|graph| graph.region(*node, *region));
        }
        let Some(graph) = graph else { return Span::default() };
        match error.entity {
            Entity::Value(value) => graph.value(value),
            Entity::Node(node) => graph.node(node).op,
            _ => graph.name,
        }
    }
}

/// Where the entities of a graph stand.
#[derive(Clone, Debug, Default)]
pub struct GraphSpans {
    /// The function's name or the region's label.
    pub name: Span,
    /// The `return` or `yield`, with its values.
    pub results: Span,
    pub(super) values: SecondaryMap<ValueId, Span>,
    pub(super) nodes: SecondaryMap<NodeId, NodeSpans>,
}

impl GraphSpans {
    /// The name of a value at its definition.
    pub fn value(&self, value: ValueId) -> Span {
        self.values[value]
    }

    /// The places of a node.
    pub fn node(&self, node: NodeId) -> &NodeSpans {
        &self.nodes[node]
    }

    /// The places of a region of a node.
    pub fn region(&self, node: NodeId, index: usize) -> Option<&GraphSpans> {
        self.nodes[node].regions.get(index)
    }
}

/// Where the parts of a node stand.
#[derive(Clone, Debug, Default)]
pub struct NodeSpans {
    /// The op's name.
    pub op: Span,
    /// The operands, in order.
    pub operands: Vec<Span>,
    /// The regions, in order.
    pub regions: Vec<GraphSpans>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "ab\nñ x\n";
        let place = |offset| LineColumn::of(text, offset).to_string();
        assert_eq!(place(0), "1:1");
        assert_eq!(place(3), "2:1");
        assert_eq!(place(4), "2:1", "inside a character");
        assert_eq!(place(5), "2:2");
        assert_eq!(place(text.len()), "3:1");
        assert_eq!(place(usize::MAX), "3:1");
    }
}
