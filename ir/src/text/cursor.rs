//! The state of a recursive-descent parser: the current token and the errors so far.

use super::label::Label;
use super::lexer::{Lexeme, Lexer, Token};
use super::name::unescape;
use super::{ParseError, ParseErrorKind, Span};

/// Errors after which the parser records no more.
const MAX_ERRORS: usize = 100;

/// The error is recorded; whoever gets this gives up or goes on at a later token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What a parsing function gives.
pub type Parse<T> = Result<T, Failed>;

/// Reads tokens one by one, with one token of look-ahead.
#[derive(Debug)]
pub struct Cursor<'t> {
    lexer: Lexer<'t>,
    current: Lexeme<'t>,
    previous: Span,
    errors: Vec<ParseError>,
}

/// A place to return to.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'t> {
    lexer: Lexer<'t>,
    current: Lexeme<'t>,
    previous: Span,
}

impl<'t> Cursor<'t> {
    /// A cursor at the first token of `text`.
    pub fn new(text: &'t str) -> Cursor<'t> {
        let mut lexer = Lexer::new(text);
        let current = lexer.next_lexeme();
        Cursor { lexer, current, previous: Span::default(), errors: Vec::new() }
    }

    /// The current token.
    pub fn token(&self) -> Token<'t> {
        self.current.token
    }

    /// Where the current token stands.
    pub fn span(&self) -> Span {
        self.current.span
    }

    /// Whether the current token is the first on its line.
    pub fn starts_line(&self) -> bool {
        self.current.starts_line
    }

    /// Where the token before the current one stands.
    pub fn previous(&self) -> Span {
        self.previous
    }

    /// The token after the current one.
    pub fn peek_second(&self) -> Token<'t> {
        let mut lexer = self.lexer;
        lexer.next_lexeme().token
    }

    /// Goes on to the next token.
    pub fn advance(&mut self) {
        self.previous = self.current.span;
        self.current = self.lexer.next_lexeme();
    }

    /// The current place.
    pub fn checkpoint(&self) -> Checkpoint<'t> {
        Checkpoint { lexer: self.lexer, current: self.current, previous: self.previous }
    }

    /// Goes back (or forth) to a place; errors stay.
    pub fn rewind(&mut self, checkpoint: Checkpoint<'t>) {
        self.lexer = checkpoint.lexer;
        self.current = checkpoint.current;
        self.previous = checkpoint.previous;
    }

    /// Records an error.
    pub fn error(&mut self, span: Span, kind: impl Into<ParseErrorKind>) -> Failed {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(ParseError { span, kind: kind.into() });
        }
        Failed
    }

    /// Records that the current token does not continue what came before. Where it stands on another line, that line is not to blame:
    /// the error lies at the end of the line before.
    pub fn unexpected(&mut self, expected: &str) -> Failed {
        let ended = self.current.starts_line && self.current.token != Token::End;
        if !ended || self.previous.is_empty() {
            return self.unexpected_start(expected);
        }
        let found = "the end of the line".into();
        let end = Span { start: self.previous.end, end: self.previous.end };
        self.error(end, ParseErrorKind::Expected { expected: expected.into(), found })
    }

    /// Records that the current token can't begin what may stand here.
    pub fn unexpected_start(&mut self, expected: &str) -> Failed {
        let kind = match self.current.token {
            Token::Invalid(reason) => ParseErrorKind::Token(reason),
            found => ParseErrorKind::Expected { expected: expected.into(), found: found.to_string() },
        };
        self.error(self.current.span, kind)
    }

    /// The errors so far.
    pub fn errors(&self) -> &[ParseError] {
        &self.errors
    }

    /// Forgets all but the first `count` errors, and gives the others.
    pub fn take_errors_from(&mut self, count: usize) -> Vec<ParseError> {
        self.errors.split_off(count.min(self.errors.len()))
    }

    /// Whether the current token is this punctuation mark.
    pub fn at(&self, mark: &'static str) -> bool {
        self.current.token == Token::Punctuation(mark)
    }

    /// Whether the current token is this word.
    pub fn at_word(&self, word: &str) -> bool {
        self.current.token == Token::Word(word)
    }

    /// Takes this punctuation mark if it is there.
    pub fn eat(&mut self, mark: &'static str) -> bool {
        let found = self.at(mark);
        if found {
            self.advance();
        }
        found
    }

    /// Takes this word if it is there.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes this punctuation mark.
    pub fn expect(&mut self, mark: &'static str) -> Parse<Span> {
        match self.eat(mark) {
            true => Ok(self.previous),
            false => Err(self.unexpected(&format!("`{mark}`"))),
        }
    }

    /// Takes this word.
    pub fn expect_word(&mut self, word: &str) -> Parse<Span> {
        match self.eat_word(word) {
            true => Ok(self.previous),
            false => Err(self.unexpected(&format!("`{word}`"))),
        }
    }

    /// Takes an identifier.
    pub fn word(&mut self, expected: &str) -> Parse<&'t str> {
        match self.current.token {
            Token::Word(word) => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes a quoted text.
    pub fn text(&mut self, expected: &str) -> Parse<String> {
        match self.current.token {
            Token::Text(raw) => {
                self.advance();
                self.unescaped(raw)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes a name: an identifier or a quoted text.
    pub fn name(&mut self, expected: &str) -> Parse<String> {
        match self.current.token {
            Token::Word(word) => {
                self.advance();
                Ok(word.to_owned())
            }
            _ => self.text(expected),
        }
    }

    /// Takes a `%` with a name.
    pub fn value_name(&mut self, expected: &str) -> Parse<String> {
        match self.current.token {
            Token::Value(raw) => self.label_name(raw, expected),
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes an `@` with a name.
    pub fn global_name(&mut self, expected: &str) -> Parse<String> {
        match self.current.token {
            Token::Global(raw) => self.label_name(raw, expected),
            _ => Err(self.unexpected(expected)),
        }
    }

    fn label_name(&mut self, raw: &str, expected: &str) -> Parse<String> {
        match Label::new(raw) {
            Some(Label::Name(name, 0)) => {
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn unescaped(&mut self, raw: &str) -> Parse<String> {
        unescape(raw).map_err(|_| self.error(self.previous, ParseErrorKind::Token("unknown escape")))
    }

    /// Whether another item follows in a list with commas that `close` ends; takes the comma, or `close` where none follows. A comma may
    /// stand after the last item.
    ///
    /// ```text
    /// while cursor.item_follows(")", items.len())? {
    ///     items.push(item(cursor)?);
    /// }
    /// ```
    pub fn item_follows(&mut self, close: &'static str, items_before: usize) -> Parse<bool> {
        if self.eat(close) {
            return Ok(false);
        }
        if items_before == 0 {
            return Ok(true);
        }
        if !self.eat(",") {
            return Err(self.unexpected(&format!("`,` or `{close}`")));
        }
        Ok(!self.eat(close))
    }

    /// Skips to the next token at the current nesting of brackets for which `stop` holds, or to a closing bracket that was not opened
    /// on the way, or to the end.
    pub fn skip_to(&mut self, stop: impl Fn(&Cursor<'t>) -> bool) {
        let mut depth = 0usize;
        loop {
            match self.current.token {
                Token::End => return,
                _ if depth == 0 && stop(self) => return,
                Token::Punctuation("(" | "[" | "{") => depth += 1,
                Token::Punctuation(")" | "]" | "}") => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => return,
                },
                _ => {}
            }
            self.advance();
        }
    }
}
