//! Types and the names of values and constants.

use super::{Parser, parse_dim};
use crate::text::cursor::{Cursor, Failed, Parse};
use crate::text::label::Label;
use crate::text::lexer::Token;
use crate::text::{ParseErrorKind, Span};
use crate::{ConstantId, Dim, TensorType};

/// Parses a type, `f32[N, 3]`; `lookup` gives the dims that names stand for.
pub fn parse_type(cursor: &mut Cursor<'_>, lookup: &dyn Fn(&str) -> Option<Dim>) -> Parse<TensorType> {
    let dtype = match cursor.token() {
        Token::Word(word) => word.parse().ok(),
        _ => None,
    };
    let Some(dtype) = dtype else { return Err(cursor.unexpected("a type such as `f32[2, 3]`")) };
    cursor.advance();
    cursor.expect("[")?;
    let mut ty = TensorType::scalar(dtype);
    while cursor.item_follows("]", ty.rank())? {
        ty.shape.push(parse_dim(cursor, lookup)?);
    }
    Ok(ty)
}

impl Parser<'_, '_> {
    pub(super) fn ty(&mut self) -> Parse<TensorType> {
        let symbols = &self.symbols;
        parse_type(&mut self.cursor, &|name| symbols.get(name).map(Dim::from))
    }

    /// A type with its place.
    pub(super) fn spanned_ty(&mut self) -> Parse<(TensorType, Span)> {
        let start = self.cursor.span();
        let ty = self.ty()?;
        Ok((ty, start.to(self.cursor.previous())))
    }

    pub(super) fn dim(&mut self) -> Parse<Dim> {
        let symbols = &self.symbols;
        parse_dim(&mut self.cursor, &|name| symbols.get(name).map(Dim::from))
    }

    /// A value's name or number.
    pub(super) fn value_label(&mut self) -> Parse<(Label, Span)> {
        match self.cursor.token() {
            Token::Value(raw) => self.label(raw),
            _ => Err(self.cursor.unexpected("a value such as `%x`")),
        }
    }

    /// A constant's name or number.
    pub(super) fn constant_label(&mut self) -> Parse<(Label, Span)> {
        match self.cursor.token() {
            Token::Global(raw) => {
                let (label, span) = self.label(raw)?;
                match label {
                    Label::Name(_, copy) if copy > 0 => {
                        Err(self.cursor.error(span, ParseErrorKind::Other("only values take a `#`".into())))
                    }
                    label => Ok((label, span)),
                }
            }
            _ => Err(self.cursor.unexpected("a name such as `@weight`")),
        }
    }

    /// The name of a module or function.
    pub(super) fn global_name(&mut self) -> Parse<(String, Span)> {
        let (label, span) = self.constant_label()?;
        match label {
            Label::Name(name, _) => Ok((name, span)),
            Label::Number(number) => {
                let message =
                    format!("bare numbers stand for constants; a name of digits is written `@\"{number}\"`");
                Err(self.cursor.error(span, ParseErrorKind::Other(message)))
            }
        }
    }

    fn label(&mut self, raw: &str) -> Parse<(Label, Span)> {
        let span = self.cursor.span();
        self.cursor.advance();
        match Label::new(raw) {
            Some(label) => Ok((label, span)),
            None => {
                let expected = "label: a number can't be so large or have a `#`".into();
                Err(self.cursor.error(span, ParseErrorKind::Number { text: raw.into(), expected }))
            }
        }
    }

    /// A declared constant.
    pub(super) fn constant_reference(&mut self) -> Parse<ConstantId> {
        let token = self.cursor.token();
        let (label, span) = self.constant_label()?;
        match self.constants.get(&label) {
            Some(id) => id.ok_or(Failed),
            None => {
                let Token::Global(name) = token else { return Err(self.cursor.unexpected("a constant")) };
                let hint = "; it must be declared before it is used".into();
                let kind = ParseErrorKind::Undefined { what: "constant", name: format!("@{name}"), hint };
                Err(self.cursor.error(span, kind))
            }
        }
    }
}
