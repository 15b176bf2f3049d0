//! Tokens of the text form.
//!
//! The lexer reads on demand and never fails: what is no token becomes [`Token::Invalid`] with the reason.

use super::Span;
use super::name::{is_label_part, is_word_part, is_word_start, unescape};
use std::fmt;

/// A token; slices point into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// An identifier.
    Word(&'t str),
    /// Digits, or `0x` and hexadecimal digits.
    Integer(&'t str),
    /// Digits with a point, an exponent or both.
    Real(&'t str),
    /// What stands between two quotes, with its escapes.
    Text(&'t str),
    /// What follows a `%`.
    Value(&'t str),
    /// What follows an `@`.
    Global(&'t str),
    /// One of [`PUNCTUATION`].
    Punctuation(&'static str),
    /// No token, and why.
    Invalid(&'static str),
    /// The end of the text.
    End,
}

/// Every punctuation mark, longer ones before their prefixes.
pub const PUNCTUATION: &[&str] =
    &["..=", "...", "..", "->", "(", ")", "[", "]", "{", "}", ",", ":", "=", "+", "-", "*"];

/// As error messages name what was found.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, text, close) = match self {
            Token::Word(text) | Token::Integer(text) | Token::Real(text) => ("`", *text, "`"),
            Token::Text(text) => ("`\"", *text, "\"`"),
            Token::Value(text) => ("`%", *text, "`"),
            Token::Global(text) => ("`@", *text, "`"),
            Token::Punctuation(text) => ("`", *text, "`"),
            Token::Invalid(reason) => ("", *reason, ""),
            Token::End => ("", "the end of the text", ""),
        };
        // A token may be as long as the text.
        let shown = text.char_indices().nth(60).map_or(text, |(end, _)| &text[..end]);
        let dots = if shown.len() < text.len() { "…" } else { "" };
        write!(f, "{open}{shown}{dots}{close}")
    }
}

/// A token with its place.
#[derive(Clone, Copy, Debug)]
pub struct Lexeme<'t> {
    /// What it is.
    pub token: Token<'t>,
    /// Where it stands.
    pub span: Span,
    /// Whether it is the first on its line.
    pub starts_line: bool,
}

/// Splits a text into tokens. `// comments` and white space separate tokens and mean nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Lexer<'t> {
    /// A lexer at the start of `text`.
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, offset: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    /// The next token; [`Token::End`] again and again at the end.
    pub fn next_lexeme(&mut self) -> Lexeme<'t> {
        let starts_line = self.skip_blank();
        let start = self.offset;
        let token = self.token();
        Lexeme { token, span: Span::new(start, self.offset), starts_line }
    }

    /// Skips white space and comments; whether a line began on the way.
    fn skip_blank(&mut self) -> bool {
        let mut newline = self.offset == 0;
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            newline |= rest[..rest.len() - trimmed.len()].contains('\n');
            self.offset += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return newline;
            }
            self.offset += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Takes `length` bytes.
    fn take(&mut self, length: usize) -> &'t str {
        let taken = &self.rest()[..length];
        self.offset += length;
        taken
    }

    fn take_while(&mut self, accepts: fn(u8) -> bool) -> &'t str {
        let rest = self.rest();
        self.take(rest.bytes().position(|byte| !accepts(byte)).unwrap_or(rest.len()))
    }

    fn token(&mut self) -> Token<'t> {
        let rest = self.rest();
        let Some(first) = rest.bytes().next() else { return Token::End };
        match first {
            b'0'..=b'9' => self.number(),
            b'"' => self.quoted().map_or_else(Token::Invalid, Token::Text),
            b'%' => self.label("`%` needs a name or number").map_or_else(Token::Invalid, Token::Value),
            b'@' => self.label("`@` needs a name or number").map_or_else(Token::Invalid, Token::Global),
            byte if is_word_start(byte) => Token::Word(self.take_while(is_word_part)),
            _ => match PUNCTUATION.iter().find(|mark| rest.starts_with(**mark)) {
                Some(mark) => {
                    self.offset += mark.len();
                    Token::Punctuation(mark)
                }
                None => {
                    self.offset += rest.chars().next().map_or(1, char::len_utf8);
                    Token::Invalid("no token starts with this character")
                }
            },
        }
    }

    fn number(&mut self) -> Token<'t> {
        let start = self.offset;
        if self.rest().starts_with("0x") {
            self.take(2);
            let digits = self.take_while(|byte| byte.is_ascii_hexdigit());
            return match digits.is_empty() || self.rest().bytes().next().is_some_and(is_word_part) {
                true => self.malformed_number(),
                false => Token::Integer(&self.text[start..self.offset]),
            };
        }
        let is_digit = |byte: u8| byte.is_ascii_digit();
        self.take_while(is_digit);
        let mut real = false;
        let mut after = self.rest().bytes();
        if after.next() == Some(b'.') && after.next().is_some_and(is_digit) {
            self.take(1);
            self.take_while(is_digit);
            real = true;
        }
        if self.rest().starts_with(['e', 'E']) {
            self.take(1);
            if self.rest().starts_with(['+', '-']) {
                self.take(1);
            }
            if self.take_while(is_digit).is_empty() {
                return self.malformed_number();
            }
            real = true;
        }
        if self.rest().bytes().next().is_some_and(is_word_part) {
            return self.malformed_number();
        }
        let text = &self.text[start..self.offset];
        if real { Token::Real(text) } else { Token::Integer(text) }
    }

    fn malformed_number(&mut self) -> Token<'t> {
        self.take_while(is_word_part);
        Token::Invalid("this is no number")
    }

    /// The text between two quotes, which stand on one line.
    fn quoted(&mut self) -> Result<&'t str, &'static str> {
        self.take(1);
        let mut escaped = false;
        for (length, byte) in self.rest().bytes().enumerate() {
            match byte {
                b'\n' => {
                    self.take(length);
                    return Err("the quoted text has no end on its line");
                }
                b'"' if !escaped => {
                    let raw = self.take(length);
                    self.take(1);
                    return match unescape(raw) {
                        Ok(_) => Ok(raw),
                        Err(_) => Err("the quoted text has an unknown escape"),
                    };
                }
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        self.take(self.rest().len());
        Err("the quoted text has no end")
    }

    /// A name or number after its sigil, with the `#2` that tells values of the same name apart.
    fn label(&mut self, missing: &'static str) -> Result<&'t str, &'static str> {
        self.take(1);
        let start = self.offset;
        if self.rest().starts_with('"') {
            self.quoted()?;
        } else if self.take_while(is_label_part).is_empty() {
            return Err(missing);
        }
        if self.rest().starts_with('#') {
            self.take(1);
            if self.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                return Err("`#` needs a number");
            }
        }
        Ok(&self.text[start..self.offset])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let next = || Some(lexer.next_lexeme().token).filter(|token| *token != Token::End);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn every_kind_of_token() {
        use Token::*;
        assert_eq!(
            tokens("dim N in 1..=32 // comment\n%x.1 %\"a b\"#2 @w 0x1F 1.5e-3 2E5 \"q\\\"\" -> ..."),
            vec![
                Word("dim"),
                Word("N"),
                Word("in"),
                Integer("1"),
                Punctuation("..="),
                Integer("32"),
                Value("x.1"),
                Value("\"a b\"#2"),
                Global("w"),
                Integer("0x1F"),
                Real("1.5e-3"),
                Real("2E5"),
                Text("q\\\""),
                Punctuation("->"),
                Punctuation("..."),
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_skipped_as_a_whole() {
        for text in
            ["1e", "0x", "0xg", "12abc", "\"open", "\"a\\qb\"", "%", "@", "%a#", "ß", "1.5f", "\u{feff}"]
        {
            let found = tokens(text);
            assert!(matches!(found.as_slice(), [Token::Invalid(_)]), "{text}: {found:?}");
        }
        assert!(matches!(tokens("\"open\nnext").as_slice(), [Token::Invalid(_), Token::Word("next")]));
    }

    #[test]
    fn lines_are_known() {
        let mut lexer = Lexer::new("a b // c\n // d\n  e");
        let starts = [(); 3].map(|()| lexer.next_lexeme().starts_line);
        assert_eq!(starts, [true, false, true]);
        assert_eq!(lexer.next_lexeme().token, Token::End);
    }
}
