//! Attributes, and the op that a name and attributes make.
//!
//! A bare word may be the name of a mode or of a dim, and the parser does not know the types of an op's fields. It reads words as
//! modes first; where the op's row refuses that, it reads the attribute again as extents.

use super::Parser;
use crate::text::cursor::{Checkpoint, Parse};
use crate::text::lexer::Token;
use crate::text::{ParseErrorKind, Span};
use crate::{Attribute, Op, OpError};

/// Lists within each other.
const MAX_LIST_DEPTH: usize = 8;

/// How bare words and texts are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Words,
    Extents,
}

/// An attribute as it stands in the text.
pub(super) struct AttributeSyntax<'t> {
    name: String,
    name_span: Span,
    value: Attribute,
    value_span: Span,
    /// Where to read the value again; `None` where there is only one reading.
    start: Option<Checkpoint<'t>>,
}

impl AttributeSyntax<'_> {
    /// An attribute that does not stand in braces.
    pub fn resolved(name: &str, span: Span, value: Attribute) -> Self {
        AttributeSyntax { name: name.into(), name_span: span, value, value_span: span, start: None }
    }
}

impl<'t> Parser<'t, '_> {
    /// `name = value, …}`.
    pub(super) fn attributes(&mut self) -> Parse<Vec<AttributeSyntax<'t>>> {
        let mut attributes: Vec<AttributeSyntax<'t>> = Vec::new();
        while self.cursor.item_follows("}", attributes.len())? {
            let name_span = self.cursor.span();
            let name = self.cursor.word("the name of an attribute")?.to_owned();
            self.cursor.expect("=")?;
            let start = Some(self.cursor.checkpoint());
            let value_start = self.cursor.span();
            let value = self.attribute(Reading::Words, 0)?;
            let value_span = value_start.to(self.cursor.previous());
            if attributes.iter().any(|other| other.name == name) {
                self.cursor
                    .error(name_span, ParseErrorKind::Duplicate { what: "attribute", name: name.clone() });
            }
            attributes.push(AttributeSyntax { name, name_span, value, value_span, start });
        }
        Ok(attributes)
    }

    fn attribute(&mut self, reading: Reading, depth: usize) -> Parse<Attribute> {
        let token = self.cursor.token();
        if token == Token::Punctuation("[") {
            if depth == MAX_LIST_DEPTH {
                let kind = ParseErrorKind::Limit("the lists are nested too deeply");
                return Err(self.cursor.error(self.cursor.span(), kind));
            }
            self.cursor.advance();
            return Ok(Attribute::List(self.list("]", |parser| parser.attribute(reading, depth + 1))?));
        }
        if let Token::Global(_) = token {
            return Ok(Attribute::Word(self.constant_reference()?.to_string()));
        }
        match self.simple_attribute(reading) {
            Some(attribute) => attribute,
            None => Ok(Attribute::Dim(self.dim()?)),
        }
    }

    /// A value of one token, or of a minus and a token; `None` where it is an extent.
    fn simple_attribute(&mut self, reading: Reading) -> Option<Parse<Attribute>> {
        let start = self.cursor.checkpoint();
        let negative = self.cursor.eat("-");
        let token = self.cursor.token();
        let alone = matches!(self.cursor.peek_second(), Token::Punctuation("," | "]" | "}"));
        let sign = if negative { -1.0 } else { 1.0 };
        let words = reading == Reading::Words && alone;
        let attribute = match token {
            Token::Real(text) => text.parse::<f64>().ok().map(|value| Attribute::Real(sign * value)),
            Token::Word("inf") if words => Some(Attribute::Real(sign * f64::INFINITY)),
            Token::Word("nan") if words => Some(Attribute::Real(f64::NAN)),
            _ if negative => None,
            Token::Word("true") if words => Some(Attribute::Bool(true)),
            Token::Word("false") if words => Some(Attribute::Bool(false)),
            Token::Word(word) if words => Some(Attribute::Word(word.to_owned())),
            Token::Text(_) if words => return Some(self.cursor.text("a text").map(Attribute::Text)),
            _ => None,
        };
        match attribute {
            Some(_) => self.cursor.advance(),
            None => self.cursor.rewind(start),
        }
        attribute.map(Ok)
    }

    /// The op of a name and attributes.
    pub(super) fn op(&mut self, name: &str, span: Span, syntax: &[AttributeSyntax<'t>]) -> Parse<Op> {
        let mut values: Vec<(String, Attribute)> =
            syntax.iter().map(|attribute| (attribute.name.clone(), attribute.value.clone())).collect();
        let mut again = vec![true; syntax.len()];
        loop {
            let error = match Op::from_attributes(name, &values) {
                Ok(op) => return Ok(op),
                Err(error) => error,
            };
            let wrong = match &error {
                OpError::WrongAttribute { attribute, .. } => syntax.iter().position(|a| a.name == *attribute),
                _ => None,
            };
            match wrong {
                Some(place) if std::mem::take(&mut again[place]) => {
                    match self.attribute_as_extents(&syntax[place], &error)? {
                        Some(value) => values[place].1 = value,
                        None => return Err(self.op_error(span, syntax, error)),
                    }
                }
                _ => return Err(self.op_error(span, syntax, error)),
            }
        }
    }

    /// The value with its words read as names of dims; `None` where it makes no sense so.
    fn attribute_as_extents(
        &mut self,
        syntax: &AttributeSyntax<'t>,
        error: &OpError,
    ) -> Parse<Option<Attribute>> {
        let Some(start) = syntax.start else { return Ok(None) };
        let errors = self.cursor.errors().len();
        let here = self.cursor.checkpoint();
        self.cursor.rewind(start);
        let value = self.attribute(Reading::Extents, 0);
        self.cursor.rewind(here);
        let new_errors = self.cursor.take_errors_from(errors);
        let wants_extents = match error {
            OpError::WrongAttribute { expected, .. } => {
                ["extent", "symbol", "integer"].iter().any(|word| expected.contains(word))
            }
            _ => false,
        };
        match value {
            Ok(value) => Ok(Some(value)),
            Err(failed) if wants_extents => {
                new_errors.into_iter().for_each(|error| {
                    self.cursor.error(error.span, error.kind);
                });
                Err(failed)
            }
            Err(_) => Ok(None),
        }
    }

    fn op_error(
        &mut self,
        op: Span,
        syntax: &[AttributeSyntax<'t>],
        error: OpError,
    ) -> crate::text::cursor::Failed {
        let find = |name: &str| syntax.iter().find(|attribute| attribute.name == name);
        let span = match &error {
            OpError::UnknownOp(_) | OpError::MissingAttribute { .. } => None,
            OpError::WrongAttribute { attribute, .. } => find(attribute).map(|syntax| syntax.value_span),
            OpError::UnknownAttribute { attribute, .. } => find(attribute).map(|syntax| syntax.name_span),
        };
        let hint = match &error {
            OpError::UnknownOp(name) => match closest(name, Op::names()) {
                Some(similar) => format!("; did you mean `{similar}`?"),
                None => String::new(),
            },
            _ => String::new(),
        };
        self.cursor.error(span.unwrap_or(op), ParseErrorKind::Op { error, hint })
    }
}

/// The candidate that takes the fewest edits, if those are few.
fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(40).collect();
    let limit = 1 + word.len() / 5;
    candidates
        .map(|candidate| (edit_distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: the least number of inserted, deleted and replaced characters.
fn edit_distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, c) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, d) in a.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names() {
        assert_eq!(closest("sofmax", Op::names()), Some("softmax"));
        assert_eq!(closest("dotgeneral", Op::names()), Some("dot_general"));
        assert_eq!(closest("matrix_multiply", Op::names()), None);
        let chars: Vec<char> = "kitten".chars().collect();
        assert_eq!(edit_distance(&chars, "sitting"), 3);
    }
}
