//! The items of a module: header, dims, constants, functions.

use super::Parser;
use crate::text::cursor::{Cursor, Parse};
use crate::text::label::Label;
use crate::text::lexer::Token;
use crate::text::{GraphSpans, LabelName, ParseErrorKind, Span};
use crate::{Constant, Function, MAX_ELEMENTS, Symbol, TensorType};
use std::sync::Arc;

use super::graph::Scope;

/// An output in a function's signature.
struct Output {
    name: Arc<str>,
    ty: TensorType,
}

fn starts_item(cursor: &Cursor<'_>) -> bool {
    cursor.starts_line() && matches!(cursor.token(), Token::Word("module" | "dim" | "constant" | "func"))
}

impl Parser<'_, '_> {
    /// The whole text.
    pub(super) fn module(&mut self) {
        let mut first = true;
        while self.cursor.token() != Token::End {
            let start = self.cursor.span();
            if self.item(first).is_err() {
                if self.cursor.span() == start {
                    self.cursor.advance();
                }
                while self.cursor.token() != Token::End && !starts_item(&self.cursor) {
                    self.cursor.advance();
                }
            }
            first = false;
        }
    }

    fn item(&mut self, first: bool) -> Parse<()> {
        match self.cursor.token() {
            Token::Word("module") if first => self.header(),
            Token::Word("module") => {
                let message = "`module` stands once, before everything else".into();
                Err(self.cursor.error(self.cursor.span(), ParseErrorKind::Other(message)))
            }
            Token::Word("dim") => self.symbol(),
            Token::Word("constant") => self.constant(),
            Token::Word("func") => self.function(),
            _ if first => Err(self.cursor.unexpected_start("`module`, `dim`, `constant` or `func`")),
            _ => Err(self.cursor.unexpected_start("`dim`, `constant` or `func`")),
        }
    }

    /// `module @name {key = "value"}`.
    fn header(&mut self) -> Parse<()> {
        self.cursor.advance();
        self.module.name = self.global_name()?.0;
        if !self.cursor.eat("{") {
            return Ok(());
        }
        let entries = self.list("}", |parser| {
            let span = parser.cursor.span();
            let key = parser.cursor.name("a key")?;
            parser.cursor.expect("=")?;
            Ok((span, key, parser.cursor.text("a quoted text")?))
        })?;
        for (span, key, value) in entries {
            if self.module.metadata.insert(key.clone(), value).is_some() {
                self.cursor.error(span, ParseErrorKind::Duplicate { what: "key", name: key });
            }
        }
        Ok(())
    }

    /// `dim N in 1..=32`.
    fn symbol(&mut self) -> Parse<()> {
        self.cursor.advance();
        let span = self.cursor.span();
        let name = self.cursor.name("a name")?;
        self.cursor.expect_word("in")?;
        let bounds = self.cursor.span();
        let lower = self.bound()?;
        self.cursor.expect("..=")?;
        let upper = self.bound()?;
        let bounds = bounds.to(self.cursor.previous());
        if lower > upper {
            let kind = ParseErrorKind::Other("the lower bound is above the upper one".into());
            self.cursor.error(bounds, kind);
        } else if lower < 0 || upper > MAX_ELEMENTS {
            let kind =
                ParseErrorKind::Other(format!("the bounds of an extent are within 0..={MAX_ELEMENTS}"));
            self.cursor.error(bounds, kind);
        }
        let symbol = Symbol::new(name.clone(), lower, upper.max(lower));
        if self.symbols.insert(name.clone(), symbol.clone()).is_some() {
            return Err(self.cursor.error(span, ParseErrorKind::Duplicate { what: "dim", name }));
        }
        self.module.symbols.push(symbol);
        self.source_map.symbols.push(span);
        Ok(())
    }

    fn bound(&mut self) -> Parse<i64> {
        let span = self.cursor.span();
        let dim = super::parse_dim(&mut self.cursor, &|_| None)?;
        dim.as_const()
            .ok_or_else(|| self.cursor.error(span, ParseErrorKind::Other("a bound must be a number".into())))
    }

    /// `constant @name : f32[2] = [1.0, 2.0]`.
    fn constant(&mut self) -> Parse<()> {
        self.cursor.advance();
        let (label, span) = self.constant_label()?;
        self.cursor.expect(":")?;
        let ty = self.spanned_ty()?;
        self.cursor.expect("=")?;
        let key = match &label {
            Label::Number(number) => format!("#{number}"),
            Label::Name(name, _) => name.clone(),
        };
        let tensor = self.tensor(&ty, &key);
        let name: Arc<str> = label.name().unwrap_or_default().into();
        if self.constants.contains_key(&label) {
            let kind = ParseErrorKind::Duplicate { what: "constant", name: format!("@{label}") };
            return Err(self.cursor.error(span, kind));
        }
        let id = tensor.map(|tensor| self.module.constants.push(Constant { name, tensor }));
        if let Ok(id) = id {
            self.source_map.constants[id] = span;
        }
        self.constants.insert(label, id.ok());
        id.map(|_| ())
    }

    /// `func @name(%x: f32[2]) -> (y: f32[2]) state (%s: f32[]) { … }`.
    fn function(&mut self) -> Parse<()> {
        self.cursor.advance();
        let (name, span) = self.global_name()?;
        if !self.function_names.insert(name.clone()) {
            let name = format!("@{}", LabelName(&name));
            self.cursor.error(span, ParseErrorKind::Duplicate { what: "function", name });
        }
        let mut scope = Scope::default();
        scope.spans.name = span;
        self.cursor.expect("(")?;
        let inputs = self.list(")", |parser| parser.named_param(&mut scope))?;
        self.cursor.expect("->")?;
        self.cursor.expect("(")?;
        let outputs = self.list(")", Self::output)?;
        let mut states = Vec::new();
        if self.cursor.eat_word("state") {
            self.cursor.expect("(")?;
            states = self.list(")", |parser| parser.named_param(&mut scope))?;
        }
        let state_types: Vec<TensorType> =
            scope.graph.params()[inputs.len()..].iter().map(|param| scope.graph.ty(*param).clone()).collect();
        self.cursor.expect("{")?;
        self.block(&mut scope, "return", |parser, scope| {
            parser.function_results(scope, &outputs, &state_types)
        })?;
        let outputs = outputs.into_iter().map(|output| output.name).collect();
        let spans: GraphSpans = scope.spans;
        self.module.functions.push(Function { name, graph: scope.graph, inputs, outputs, states });
        self.source_map.functions.push(spans);
        Ok(())
    }

    /// `%x: f32[2]` or `%0 as name: f32[2]`.
    fn named_param(&mut self, scope: &mut Scope) -> Parse<Arc<str>> {
        let (label, span) = self.value_label()?;
        let name: Arc<str> = match (self.cursor.eat_word("as"), &label) {
            (true, _) => self.cursor.name("a name")?.into(),
            (false, Label::Name(name, 0)) => name.as_str().into(),
            (false, _) => {
                let message = "a parameter of a function needs a name, as in `%0 as x: f32[]`".into();
                return Err(self.cursor.error(span, ParseErrorKind::Other(message)));
            }
        };
        self.cursor.expect(":")?;
        let ty = self.ty()?;
        self.define_param(scope, label, span, ty);
        Ok(name)
    }

    fn output(&mut self) -> Parse<Output> {
        let name = self.cursor.name("a name")?.into();
        self.cursor.expect(":")?;
        Ok(Output { name, ty: self.ty()? })
    }

    /// What follows `return`: `%a, %b state %c`.
    fn function_results(
        &mut self,
        scope: &mut Scope,
        outputs: &[Output],
        states: &[TensorType],
    ) -> Parse<()> {
        let start = self.cursor.previous();
        let mut values = self.values(scope)?;
        self.check_count("output", start, outputs.len(), values.len());
        for (output, (value, span)) in outputs.iter().zip(&values) {
            self.check_result(scope, &output.ty, *value, *span);
        }
        if self.cursor.eat_word("state") {
            let start = self.cursor.previous();
            let new = self.values(scope)?;
            self.check_count("state", start, states.len(), new.len());
            for (ty, (value, span)) in states.iter().zip(&new) {
                self.check_result(scope, ty, *value, *span);
            }
            values.extend(new);
        } else if !states.is_empty() {
            self.check_count("state", start, states.len(), 0);
        }
        scope.spans.results = start.to(self.cursor.previous());
        scope.graph.set_results(values.iter().filter_map(|(value, _)| *value).collect());
        Ok(())
    }

    /// Checks a returned value against the signature.
    fn check_result(
        &mut self,
        scope: &Scope,
        stated: &TensorType,
        value: Option<crate::ValueId>,
        span: Span,
    ) {
        let Some(actual) = value.map(|value| scope.graph.ty(value)) else { return };
        if actual != stated {
            let kind =
                ParseErrorKind::Type { stated: Box::new(stated.clone()), actual: Box::new(actual.clone()) };
            self.cursor.error(span, kind);
        }
    }

    pub(super) fn check_count(
        &mut self,
        what: &'static str,
        span: Span,
        expected: usize,
        found: usize,
    ) -> bool {
        if expected != found {
            self.cursor.error(span, ParseErrorKind::Count { what, expected, found });
        }
        expected == found
    }
}
