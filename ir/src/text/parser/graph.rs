//! Blocks and statements.

use super::op::AttributeSyntax;
use super::{Names, Parser};
use crate::text::cursor::{Cursor, Failed, Parse};
use crate::text::label::Label;
use crate::text::lexer::Token;
use crate::text::{GraphSpans, NodeSpans, ParseErrorKind, Span};
use crate::{Attribute, Constant, Graph, TensorType, ValueId};
use std::sync::Arc;

/// Regions within each other.
const MAX_REGION_DEPTH: usize = 64;

/// A graph under construction with the names of its values.
#[derive(Default)]
pub(super) struct Scope {
    pub graph: Graph,
    pub names: Names,
    pub spans: GraphSpans,
}

/// A statement without its regions.
struct Statement<'t> {
    name: &'t str,
    span: Span,
    /// `None` for those whose statement failed.
    operands: Vec<(Option<ValueId>, Span)>,
    attributes: Vec<AttributeSyntax<'t>>,
    types: Option<Vec<(TensorType, Span)>>,
    origin: Option<Arc<str>>,
}

fn starts_statement(cursor: &Cursor<'_>) -> bool {
    cursor.starts_line()
        && match cursor.token() {
            Token::Value(_) => true,
            Token::Word(word) => !matches!(word, "then" | "else" | "condition" | "body"),
            _ => false,
        }
}

impl<'t> Parser<'t, '_> {
    /// Statements up to the terminator, whose values `results` reads, and the closing brace.
    pub(super) fn block(
        &mut self,
        scope: &mut Scope,
        terminator: &str,
        results: impl FnOnce(&mut Self, &mut Scope) -> Parse<()>,
    ) -> Parse<()> {
        let errors = self.cursor.errors().len();
        loop {
            if self.cursor.eat_word(terminator) {
                if results(self, scope).is_err() {
                    self.cursor.skip_to(|cursor| cursor.at("}"));
                }
                return self.cursor.expect("}").map(|_| ());
            }
            let start = self.cursor.span();
            match self.cursor.token() {
                Token::End => return Err(self.cursor.unexpected(&format!("`{terminator}`"))),
                Token::Punctuation("}") => {
                    if self.cursor.errors().len() == errors {
                        self.cursor.unexpected(&format!("`{terminator}`"));
                    }
                    self.cursor.advance();
                    return Ok(());
                }
                Token::Word(word @ ("return" | "yield")) => {
                    self.cursor.unexpected(&format!("`{terminator}`"));
                    self.cursor.skip_to(|cursor| {
                        cursor.at("}") || !cursor.at_word(word) && starts_statement(cursor)
                    });
                    continue;
                }
                _ => {}
            }
            if self.statement(scope).is_err() {
                if self.cursor.span() == start {
                    self.cursor.advance();
                }
                self.cursor.skip_to(starts_statement);
            }
        }
    }

    /// `%y = op %x {…} : f32[2] loc("…") body (…) { … }`.
    fn statement(&mut self, scope: &mut Scope) -> Parse<()> {
        let mut labels = Vec::new();
        if matches!(self.cursor.token(), Token::Value(_)) {
            labels = self.sequence(Self::value_label)?;
            self.cursor.expect("=")?;
        }
        let mut statement = None;
        let results = self.statement_results(scope, &labels, &mut statement);
        let types = statement.as_ref().and_then(|statement| statement.types.as_deref()).unwrap_or_default();
        for (place, (label, span)) in labels.into_iter().enumerate() {
            let value = match (&results, types.get(place)) {
                (Ok(results), _) => results.get(place).copied(),
                // The graph is lost anyway: a parameter stands for the result.
                (Err(_), Some((ty, _))) => Some(scope.graph.add_param(ty.clone(), None)),
                (Err(_), None) => None,
            };
            self.define(scope, label, span, value);
        }
        results.map(|_| ())
    }

    fn statement_results(
        &mut self,
        scope: &mut Scope,
        labels: &[(Label, Span)],
        parsed: &mut Option<Statement<'t>>,
    ) -> Parse<Vec<ValueId>> {
        let statement = parsed.insert(self.statement_head(scope)?);
        let op = self.op(statement.name, statement.span, &statement.attributes)?;
        let mut spans = NodeSpans { op: statement.span, ..NodeSpans::default() };
        let mut regions = Vec::new();
        let errors = self.cursor.errors().len();
        for name in op.region_names() {
            let (graph, region_spans) = self.region(scope, name)?;
            regions.push(graph);
            spans.regions.push(region_spans);
        }
        spans.operands = statement.operands.iter().map(|(_, span)| *span).collect();
        let operands: Option<Vec<ValueId>> = statement.operands.iter().map(|(value, _)| *value).collect();
        // Operands and regions that failed have their messages already.
        let operands = operands.filter(|_| self.cursor.errors().len() == errors).ok_or(Failed)?;
        let origin = statement.origin.clone();
        let node = match scope.graph.add_node(&self.module.constants, op, &operands, regions, origin) {
            Ok(node) => node,
            Err(error) => return Err(self.cursor.error(statement.span, error)),
        };
        scope.spans.nodes[node] = spans;
        let results = scope.graph.node(node).results.to_vec();
        if !self.check_count("results", statement.span, results.len(), labels.len()) {
            return Err(Failed);
        }
        if let Some(types) = &statement.types {
            self.check_types(scope, &results, types, statement.span)?;
        }
        Ok(results)
    }

    /// Compares stated types with inferred ones.
    fn check_types(
        &mut self,
        scope: &Scope,
        results: &[ValueId],
        types: &[(TensorType, Span)],
        op: Span,
    ) -> Parse<()> {
        let mut right = self.check_count("types", op, results.len(), types.len());
        for (value, (stated, span)) in results.iter().zip(types) {
            let actual = scope.graph.ty(*value);
            if actual != stated {
                let kind = ParseErrorKind::Type { stated: stated.clone(), actual: actual.clone() };
                self.cursor.error(*span, kind);
                right = false;
            }
        }
        if right { Ok(()) } else { Err(Failed) }
    }

    fn statement_head(&mut self, scope: &Scope) -> Parse<Statement<'t>> {
        let span = self.cursor.span();
        let name = self.cursor.word("the name of an op")?;
        let mut attributes = Vec::new();
        let mut literal = None;
        if name == "constant" && !self.cursor.at("{") {
            match self.cursor.token() {
                Token::Global(_) => {
                    let id = self.constant_reference()?;
                    let value = Attribute::Word(id.to_string());
                    attributes.push(AttributeSyntax::resolved("id", span, value));
                }
                _ => {
                    literal = Some((self.cursor.checkpoint(), self.cursor.span()));
                    self.cursor.skip_to(|cursor| cursor.at(":") || starts_statement(cursor));
                }
            }
        }
        let mut operands = Vec::new();
        if matches!(self.cursor.token(), Token::Value(_)) {
            operands = self.sequence(|parser| parser.operand(scope))?;
        }
        if self.cursor.eat("{") {
            attributes = self.attributes()?;
        }
        let mut types = None;
        if self.cursor.eat(":") {
            types = Some(self.sequence(|parser| {
                let start = parser.cursor.span();
                let ty = parser.ty()?;
                Ok((ty, start.to(parser.cursor.previous())))
            })?);
        }
        if let Some((checkpoint, span)) = literal {
            let Some([(ty, _)]) = types.as_deref() else {
                let message = "a literal needs one type, as in `constant 0.5 : f32[]`".into();
                return Err(self.cursor.error(span, ParseErrorKind::Other(message)));
            };
            let after = self.cursor.checkpoint();
            self.cursor.rewind(checkpoint);
            let value = self.inline_constant(ty, span)?;
            self.cursor.rewind(after);
            attributes.push(AttributeSyntax::resolved("id", span, value));
        }
        let mut origin = None;
        if self.cursor.eat_word("loc") {
            self.cursor.expect("(")?;
            origin = Some(self.cursor.text("a quoted text")?.into());
            self.cursor.expect(")")?;
        }
        Ok(Statement { name, span, operands, attributes, types, origin })
    }

    /// A literal in the place of a constant's name; the cursor stands at it.
    fn inline_constant(&mut self, ty: &TensorType, span: Span) -> Parse<Attribute> {
        let tensor = self.tensor(ty, "")?;
        if !self.cursor.at(":") {
            return Err(self.cursor.unexpected("`:`"));
        }
        let id = self.module.constants.push(Constant { name: "".into(), tensor });
        self.source_map.constants[id] = span;
        Ok(Attribute::Word(id.to_string()))
    }

    /// `body (%x: f32[2]) { … yield %y }`.
    fn region(&mut self, outer: &mut Scope, name: &str) -> Parse<(Graph, GraphSpans)> {
        if self.enclosing.len() == MAX_REGION_DEPTH {
            let kind = ParseErrorKind::Limit("the regions are nested too deeply");
            return Err(self.cursor.error(self.cursor.span(), kind));
        }
        self.enclosing.push(std::mem::take(&mut outer.names));
        let region = self.region_inside(name);
        outer.names = self.enclosing.pop().unwrap_or_default();
        region.map(|scope| (scope.graph, scope.spans))
    }

    fn region_inside(&mut self, name: &str) -> Parse<Scope> {
        let mut scope = Scope::default();
        scope.spans.name = self.cursor.expect_word(name)?;
        self.cursor.expect("(")?;
        self.list(")", |parser| {
            let (label, span) = parser.value_label()?;
            parser.cursor.expect(":")?;
            let ty = parser.ty()?;
            parser.define_param(&mut scope, label, span, ty);
            Ok(())
        })?;
        self.cursor.expect("{")?;
        self.block(&mut scope, "yield", |parser, scope| {
            let start = parser.cursor.previous();
            let values = parser.values(scope)?;
            scope.spans.results = start.to(parser.cursor.previous());
            scope.graph.set_results(values.iter().filter_map(|(value, _)| *value).collect());
            Ok(())
        })?;
        Ok(scope)
    }

    /// Zero or more values separated by commas.
    pub(super) fn values(&mut self, scope: &Scope) -> Parse<Vec<(Option<ValueId>, Span)>> {
        match self.cursor.token() {
            Token::Value(_) => self.sequence(|parser| parser.operand(scope)),
            _ => Ok(Vec::new()),
        }
    }

    /// A use of a value. One that was never defined is recorded and then counts as one whose statement failed.
    fn operand(&mut self, scope: &Scope) -> Parse<(Option<ValueId>, Span)> {
        let token = self.cursor.token();
        let (label, span) = self.value_label()?;
        if let Some(value) = scope.names.get(&label) {
            return Ok((*value, span));
        }
        let Token::Value(name) = token else { return Err(self.cursor.unexpected("a value")) };
        let hint = match self.enclosing.iter().any(|names| names.contains_key(&label)) {
            true => " in this region; regions see their parameters only, so pass it as an operand",
            false => "",
        };
        let kind = ParseErrorKind::Undefined { what: "value", name: format!("%{name}"), hint: hint.into() };
        self.cursor.error(span, kind);
        Ok((None, span))
    }

    pub(super) fn define_param(&mut self, scope: &mut Scope, label: Label, span: Span, ty: TensorType) {
        let value = scope.graph.add_param(ty, None);
        self.define(scope, label, span, Some(value));
    }

    fn define(&mut self, scope: &mut Scope, label: Label, span: Span, value: Option<ValueId>) {
        if let Some(value) = value {
            scope.spans.values[value] = span;
            if let Some(name) = label.name() {
                scope.graph.set_name(value, name);
            }
        }
        if let Some(previous) = scope.names.insert(label.clone(), value) {
            scope.names.insert(label.clone(), previous);
            let name = match label {
                Label::Number(number) => format!("%{number}"),
                Label::Name(name, 0) => format!("%{}", crate::text::LabelName(&name)),
                Label::Name(name, copy) => format!("%{}#{copy}", crate::text::LabelName(&name)),
            };
            self.cursor.error(span, ParseErrorKind::Duplicate { what: "value", name });
        }
    }
}
