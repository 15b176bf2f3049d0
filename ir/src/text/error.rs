//! What can be wrong with a text.

use super::{LineColumn, Span};
use crate::infer::InferError;
use crate::{OpError, TensorType};
use std::fmt;

/// What is wrong at a place of a text. All of it is bad input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Characters that are no token.
    #[error("{0}")]
    Token(&'static str),
    /// Another token than the grammar wants.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A name that nothing has.
    #[error("there is no {what} `{name}`{hint}")]
    Undefined {
        /// Value, constant, dim.
        what: &'static str,
        /// The name with its sigil.
        name: String,
        /// What may help, with leading punctuation; may be empty.
        hint: String,
    },
    /// A name that is taken.
    #[error("the {what} `{name}` is defined twice")]
    Duplicate {
        /// Value, constant, dim, function, attribute.
        what: &'static str,
        /// The name with its sigil.
        name: String,
    },
    /// A name and attributes that make no op.
    #[error("{error}{hint}")]
    Op {
        /// Why not.
        error: OpError,
        /// What may help, with leading punctuation; may be empty.
        hint: String,
    },
    /// An op that does not fit its operands.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The stated type is not that of the value.
    #[error("the type is {actual}, not {stated}")]
    Type {
        /// In the text.
        stated: Box<TensorType>,
        /// By inference.
        actual: Box<TensorType>,
    },
    /// More or fewer items than there must be.
    #[error("expected {expected} {what}{}, found {found}", if *expected == 1 { "" } else { "s" })]
    Count {
        /// Result, output, item, …
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A number outside the range of its type, or a wrong form of it.
    #[error("`{text}` is no {expected}")]
    Number {
        /// As written.
        text: String,
        /// What it should be.
        expected: String,
    },
    /// Nesting or size beyond the parser's limits.
    #[error("{0}")]
    Limit(&'static str),
    /// Data of a constant that could not be had from its file.
    #[error("the constant can't be read: {0}")]
    File(String),
    /// Anything else, one sentence.
    #[error("{0}")]
    Other(String),
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ParseErrorKind,
}

impl ParseError {
    /// `12:5: expected …`, given the text that was parsed.
    pub fn located<'a>(&'a self, text: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| write!(f, "{}: {self}", LineColumn::of(text, self.span.start as usize)))
    }
}

/// Everything that is wrong with a text, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl std::error::Error for ParseErrors {}

/// One message per line, without places; see [`ParseError::located`].
impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
