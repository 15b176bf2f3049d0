//! Blocks and statements.

use super::op::AttributeSyntax;
use super::{Names, Parser};
use crate::text::cursor::{Checkpoint, Cursor, Failed, Parse};
use crate::text::label::Label;
use crate::text::lexer::Token;
use crate::text::{GraphSpans, NodeSpans, ParseErrorKind, Span};
use crate::{Attribute, Constant, Graph, TensorType, ValueId};
use std::sync::Arc;

/// Regions within each other.
const MAX_REGION_DEPTH: usize = 64;

/// Names of the regions of all ops: what no op is named.
const REGION_NAMES: &[&str] = &["then", "else", "condition", "body"];

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
    /// Whether its end has been reached: what is wrong then is not the syntax.
    ended: bool,
}

/// Whether a statement begins here, as far as two tokens tell.
fn starts_statement(cursor: &Cursor<'_>) -> bool {
    match cursor.token() {
        Token::Word("return" | "yield") => true,
        // Not a parameter on a line of its own.
        Token::Value(_) => cursor.peek_second() != Token::Punctuation(":"),
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
            let start = self.cursor.checkpoint();
            if self.cursor.eat_word(terminator) {
                if results(self, scope).is_err() || self.cursor.expect("}").is_err() {
                    self.skip_block(start)?;
                }
                return Ok(());
            }
            match self.cursor.token() {
                Token::End | Token::Punctuation("}") => {
                    if self.cursor.errors().len() == errors {
                        self.cursor.unexpected_start(&format!("`{terminator}`"));
                    }
                    let ended = self.cursor.eat("}");
                    return if ended { Ok(()) } else { Err(Failed) };
                }
                Token::Word("return" | "yield") => {
                    self.cursor.unexpected_start(&format!("`{terminator}`"));
                    return self.skip_block(start);
                }
                _ => {}
            }
            if self.statement(scope).is_err() {
                if self.cursor.token() == Token::End {
                    return Err(Failed);
                }
                self.cursor.rewind(start);
                self.skip_statement();
            }
        }
    }

    /// Skips a statement with its regions, up to the next one in the same block or to the block's end.
    ///
    /// Brackets may be missing in it. So only the braces of regions count, which follow a `)` or end a line: where none is open, what looks like the
    /// start of a statement at the start of a line is one, and a `}` at the start of a line ends the block.
    fn skip_statement(&mut self) {
        // One entry per open brace: whether it is a region's.
        let mut open: Vec<bool> = Vec::new();
        loop {
            let after = self.cursor.token();
            self.cursor.advance();
            let in_region = open.contains(&true);
            match self.cursor.token() {
                Token::End => return,
                Token::Punctuation("{") => {
                    let brace = self.cursor.checkpoint();
                    self.cursor.advance();
                    open.push(after == Token::Punctuation(")") || self.cursor.starts_line());
                    self.cursor.rewind(brace);
                }
                Token::Punctuation("}") => {
                    let ends_block = self.cursor.starts_line() && !in_region;
                    if open.is_empty() || ends_block {
                        return;
                    }
                    open.pop();
                }
                _ if !in_region && self.cursor.starts_line() && starts_statement(&self.cursor) => return,
                _ => {}
            }
        }
    }

    /// Skips what is left of a block, with its end.
    fn skip_block(&mut self, start: Checkpoint<'t>) -> Parse<()> {
        self.cursor.rewind(start);
        while !matches!(self.cursor.token(), Token::End | Token::Punctuation("}")) {
            self.skip_statement();
        }
        self.cursor.advance();
        Ok(())
    }

    /// `%y = op %x {…} : f32[2] loc("…") body (…) { … }`.
    fn statement(&mut self, scope: &mut Scope) -> Parse<()> {
        let mut labels = Vec::new();
        match self.cursor.token() {
            Token::Value(_) => {
                labels = self.sequence(Self::value_label)?;
                self.cursor.expect("=")?;
            }
            Token::Word(_) => {}
            _ => return Err(self.cursor.unexpected_start("a statement")),
        }
        let mut statement = None;
        let results = self.statement_results(scope, &labels, &mut statement);
        let types = statement.as_ref().and_then(|statement| statement.types.as_deref()).unwrap_or_default();
        for (place, (label, span)) in labels.into_iter().enumerate() {
            let value = match (&results, types.get(place)) {
                (Ok(results), _) => results.get(place).copied().flatten(),
                // The graph is lost anyway: a parameter stands for the result.
                (Err(_), Some((ty, _))) => Some(scope.graph.add_param(ty.clone(), None)),
                (Err(_), None) => None,
            };
            self.define(scope, label, span, value);
        }
        match statement {
            Some(statement) if statement.ended => Ok(()),
            _ => results.map(|_| ()),
        }
    }

    /// The results of a statement; `None` for those whose types are not known.
    fn statement_results(
        &mut self,
        scope: &mut Scope,
        labels: &[(Label, Span)],
        parsed: &mut Option<Statement<'t>>,
    ) -> Parse<Vec<Option<ValueId>>> {
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
        if let Token::Word(word) = self.cursor.token()
            && REGION_NAMES.contains(&word)
        {
            let message = format!("`{}` has no region `{word}` here", op.name());
            return Err(self.cursor.error(self.cursor.span(), ParseErrorKind::Other(message)));
        }
        self.end_of_statement(statement)?;
        statement.ended = true;
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
        let results = scope.graph.node(node).results.clone();
        if !self.check_count("result", statement.span, results.len(), labels.len()) {
            return Err(Failed);
        }
        // Where the types differ it is not known which is meant, so that uses are not checked.
        let right = statement
            .types
            .as_ref()
            .is_none_or(|types| self.check_types(scope, &results, types, statement.span));
        Ok(results.iter().map(|value| Some(*value).filter(|_| right)).collect())
    }

    /// Compares stated types with inferred ones.
    fn check_types(
        &mut self,
        scope: &Scope,
        results: &[ValueId],
        types: &[(TensorType, Span)],
        op: Span,
    ) -> bool {
        let mut right = self.check_count("type", op, results.len(), types.len());
        for (value, (stated, span)) in results.iter().zip(types) {
            let actual = scope.graph.ty(*value);
            if actual != stated {
                let kind = ParseErrorKind::Type {
                    stated: Box::new(stated.clone()),
                    actual: Box::new(actual.clone()),
                };
                self.cursor.error(*span, kind);
                right = false;
            }
        }
        right
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
                    self.cursor
                        .skip_to(|cursor| cursor.at(":") || cursor.starts_line() && starts_statement(cursor));
                }
            }
        }
        let mut operands = Vec::new();
        if literal.is_none() {
            operands = self.values(scope)?;
        }
        if self.cursor.eat("{") {
            attributes = self.attributes()?;
        }
        let mut types = None;
        if self.cursor.eat(":") {
            types = Some(self.sequence(Self::spanned_ty)?);
        }
        if let Some((checkpoint, span)) = literal {
            let Some([ty]) = types.as_deref() else {
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
        Ok(Statement { name, span, operands, attributes, types, origin, ended: false })
    }

    /// Checks that a statement or the end of the block follows.
    fn end_of_statement(&mut self, statement: &Statement<'_>) -> Parse<()> {
        let complete = statement.types.is_some();
        match self.cursor.token() {
            Token::Value(_) | Token::Word("return" | "yield") | Token::Punctuation("}") | Token::End => {
                Ok(())
            }
            Token::Word(_) if complete || self.cursor.starts_line() => Ok(()),
            _ if complete => Err(self.cursor.unexpected_start("a statement")),
            _ => Err(self.cursor.unexpected("`:` and a type")),
        }
    }

    /// A literal in the place of a constant's name; the cursor stands at it.
    fn inline_constant(&mut self, ty: &(TensorType, Span), span: Span) -> Parse<Attribute> {
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
            let name = format!("%{label}");
            self.cursor.error(span, ParseErrorKind::Duplicate { what: "value", name });
        }
    }
}
