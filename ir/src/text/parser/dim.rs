//! Extents: `2*N + floordiv(M + 1, 2) - 1`.
//!
//! ```text
//! dim    = ["-"] term { ("+" | "-") term }
//! term   = factor { "*" factor }
//! factor = integer | symbol | "(" dim ")" | ("floordiv" | "mod" | "min" | "max") "(" dim "," dim ")"
//! ```

use crate::text::cursor::{Cursor, Parse};
use crate::text::lexer::Token;
use crate::text::name::unescape;
use crate::text::{ParseErrorKind, Span};
use crate::{Atom, Dim};

/// Parentheses within each other.
const MAX_DEPTH: usize = 32;
/// Summands and factors of a dim, nested ones included: a product of sums grows quickly.
const MAX_WEIGHT: usize = 1024;

/// Parses an extent; `lookup` gives the dims that names stand for.
pub fn parse_dim(cursor: &mut Cursor<'_>, lookup: &dyn Fn(&str) -> Option<Dim>) -> Parse<Dim> {
    DimParser { cursor, lookup, depth: 0 }.sum()
}

struct DimParser<'c, 't, 'l> {
    cursor: &'c mut Cursor<'t>,
    lookup: &'l dyn Fn(&str) -> Option<Dim>,
    depth: usize,
}

impl DimParser<'_, '_, '_> {
    fn sum(&mut self) -> Parse<Dim> {
        let start = self.cursor.span();
        let negative = self.cursor.eat("-");
        let mut sum = self.term(negative)?;
        loop {
            let negative = match self.cursor.token() {
                Token::Punctuation("+") => false,
                Token::Punctuation("-") => true,
                _ => return Ok(sum),
            };
            self.cursor.advance();
            let term = self.term(negative)?;
            sum = self.limited(start, sum + term)?;
        }
    }

    /// A product, negated where a minus stands before it: only so can −2⁶³ be written.
    fn term(&mut self, negative: bool) -> Parse<Dim> {
        let start = self.cursor.span();
        let mut product = self.factor(negative)?;
        while self.cursor.eat("*") {
            let factor = self.factor(false)?;
            if weight(&product).saturating_mul(weight(&factor)) > 16 * MAX_WEIGHT {
                return Err(self.too_complex(start));
            }
            product = self.limited(start, product * factor)?;
        }
        Ok(product)
    }

    fn factor(&mut self, negative: bool) -> Parse<Dim> {
        let span = self.cursor.span();
        let factor = match self.cursor.token() {
            Token::Integer(text) => {
                self.cursor.advance();
                return self.integer(span, text, negative);
            }
            Token::Word(word @ ("floordiv" | "mod" | "min" | "max"))
                if self.cursor.peek_second() == Token::Punctuation("(") =>
            {
                self.function(word)?
            }
            Token::Word(name) => {
                self.cursor.advance();
                self.symbol(span, name)?
            }
            Token::Text(raw) => {
                self.cursor.advance();
                self.symbol(span, &unescape(raw).unwrap_or_default())?
            }
            Token::Punctuation("(") => {
                self.cursor.advance();
                let inner = self.nested(span)?;
                self.cursor.expect(")")?;
                inner
            }
            _ => return Err(self.cursor.unexpected("an extent")),
        };
        Ok(if negative { -factor } else { factor })
    }

    fn integer(&mut self, span: Span, text: &str, negative: bool) -> Parse<Dim> {
        match parse_integer(text, negative).and_then(|value| i64::try_from(value).ok()) {
            Some(value) => Ok(Dim::from(value)),
            None => {
                let text = format!("{}{text}", if negative { "-" } else { "" });
                Err(self
                    .cursor
                    .error(span, ParseErrorKind::Number { text, expected: "64-bit integer".into() }))
            }
        }
    }

    fn symbol(&mut self, span: Span, name: &str) -> Parse<Dim> {
        (self.lookup)(name).ok_or_else(|| {
            let hint = format!("; declare it with `dim {} in 1..=…`", crate::text::Word(name));
            self.cursor.error(span, ParseErrorKind::Undefined { what: "dim", name: name.into(), hint })
        })
    }

    fn function(&mut self, name: &str) -> Parse<Dim> {
        let start = self.cursor.span();
        self.cursor.advance();
        self.cursor.expect("(")?;
        let a = self.nested(start)?;
        self.cursor.expect(",")?;
        let second = self.cursor.span();
        let b = self.nested(start)?;
        let second = second.to(self.cursor.previous());
        self.cursor.expect(")")?;
        if matches!(name, "floordiv" | "mod") && b.upper() < 1 {
            let kind = ParseErrorKind::Other(format!("the divisor {b} is never positive"));
            return Err(self.cursor.error(second, kind));
        }
        let result = match name {
            "floordiv" => a.floor_div(&b),
            "mod" => a.modulo(&b),
            "min" => a.minimum(&b),
            _ => a.maximum(&b),
        };
        self.limited(start, result)
    }

    fn nested(&mut self, span: Span) -> Parse<Dim> {
        if self.depth == MAX_DEPTH {
            return Err(self.cursor.error(span, ParseErrorKind::Limit("the extent is nested too deeply")));
        }
        self.depth += 1;
        let inner = self.sum();
        self.depth -= 1;
        inner
    }

    fn limited(&mut self, start: Span, dim: Dim) -> Parse<Dim> {
        match weight(&dim) <= MAX_WEIGHT {
            true => Ok(dim),
            false => Err(self.too_complex(start)),
        }
    }

    fn too_complex(&mut self, start: Span) -> crate::text::cursor::Failed {
        let span = start.to(self.cursor.previous());
        self.cursor.error(span, ParseErrorKind::Limit("the extent has too many summands"))
    }
}

/// The value of a decimal or `0x` token; `None` beyond ±2¹²⁷.
pub(super) fn parse_integer(text: &str, negative: bool) -> Option<i128> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

fn weight(dim: &Dim) -> usize {
    let factors = dim.terms().iter().flat_map(|(product, _)| product);
    let nested = factors.map(|atom| match atom {
        Atom::Symbol(_) => 1,
        Atom::FloorDiv(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
            1 + weight(&pair.0) + weight(&pair.1)
        }
    });
    1 + nested.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbol;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<Dim> {
        let (lower, upper) = match name {
            "N" => (1, 32),
            "M" => (1, 8),
            "K" => (0, 100),
            "S" => (-5, 5),
            "batch size" | "min" => (1, 4),
            _ => return None,
        };
        Some(Symbol::new(name, lower, upper).into())
    }

    fn parse(text: &str) -> Result<Dim, String> {
        let mut cursor = Cursor::new(text);
        let dim = parse_dim(&mut cursor, &lookup);
        match dim {
            Ok(dim) if cursor.token() == Token::End => Ok(dim),
            Ok(_) => Err("more follows".into()),
            Err(_) => Err(cursor.errors()[0].located(text).to_string()),
        }
    }

    #[test]
    fn precedence_and_normal_form() {
        let canonical = [
            ("7", "7"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("2 + 3*4", "14"),
            ("(2 + 3)*4", "20"),
            ("N*(M + 1) - N", "M*N"),
            ("1 - N", "-N + 1"),
            ("-9223372036854775808*M", "-9223372036854775808*M"),
            ("floordiv(4*N + 4, 2)", "2*N + 2"),
            ("min(N, 40)", "N"),
            ("min(N, M) + min", "min + min(M, N)"),
            ("mod(K, 0x10)", "mod(K, 16)"),
            ("\"batch size\" * 2", "2*\"batch size\""),
        ];
        for (text, expected) in canonical {
            let dim = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(dim.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn errors_name_the_place() {
        let errors = [
            ("N +", "1:4: expected an extent, found the end of the text"),
            ("2*X", "1:3: there is no dim `X`; declare it with `dim X in 1..=…`"),
            ("9223372036854775808", "1:1: `9223372036854775808` is no 64-bit integer"),
            ("mod(N, M - 8)", "1:8: the divisor M - 8 is never positive"),
            ("floordiv(N)", "1:11: expected `,`, found `)`"),
        ];
        for (text, expected) in errors {
            assert_eq!(parse(text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn deep_and_wide_extents_are_refused() {
        let deep = format!("{}N{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(parse(&deep), Err("1:33: the extent is nested too deeply".into()));
        let wide = ["(N + M + K + S + 1)"; 40].join("*");
        assert!(parse(&wide).is_err_and(|error| error.ends_with("the extent has too many summands")));
        let long = "N + mod(K, 7) - ".repeat(100_000) + "1";
        assert!(parse(&long).is_ok_and(|dim| dim.to_string().len() < 40));
    }

    /// A random dim, through the same operations that shape inference applies.
    fn random_dim() -> impl Strategy<Value = Dim> {
        let leaf = prop_oneof![
            // Small, so that products stay exact: saturated dims have no normal form.
            (-5i64..20).prop_map(Dim::from),
            proptest::sample::select(vec!["N", "M", "K", "S", "batch size", "min"])
                .prop_map(|name| lookup(name).unwrap_or_default()),
        ];
        leaf.prop_recursive(4, 24, 2, |inner| {
            (inner.clone(), inner, 0..7).prop_map(|(a, b, operation)| match operation {
                0 => a + b,
                1 => a - b,
                2 => a * b,
                3 if b.upper() >= 1 => a.floor_div(&b),
                4 if b.upper() >= 1 => a.modulo(&b),
                5 => a.minimum(&b),
                _ => a.maximum(&b),
            })
        })
    }

    proptest! {
        #[test]
        fn extents_round_trip(dim in random_dim()) {
            prop_assume!(weight(&dim) <= MAX_WEIGHT);
            let text = dim.to_string();
            let parsed = parse(&text);
            prop_assert_eq!(parsed.as_ref().map(Dim::to_string), Ok(text));
            prop_assert_eq!(parsed, Ok(dim));
        }
    }
}
