//! How dims print.

use super::{Atom, Dim};
use std::fmt;

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(symbol) => write!(f, "{symbol}"),
            Atom::FloorDiv(pair) => write!(f, "floordiv({}, {})", pair.0, pair.1),
            Atom::Mod(pair) => write!(f, "mod({}, {})", pair.0, pair.1),
            Atom::Min(pair) => write!(f, "min({}, {})", pair.0, pair.1),
            Atom::Max(pair) => write!(f, "max({}, {})", pair.0, pair.1),
        }
    }
}

/// `2*N*M + floordiv(N, 2) - 1`: products first, the constant last.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return write!(f, "{}", self.constant);
        }
        for (place, (product, coefficient)) in self.terms.iter().enumerate() {
            match (place, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            if coefficient.unsigned_abs() != 1 {
                write!(f, "{}*", coefficient.unsigned_abs())?;
            }
            for (place, atom) in product.iter().enumerate() {
                if place > 0 {
                    f.write_str("*")?;
                }
                write!(f, "{atom}")?;
            }
        }
        match self.constant {
            0 => Ok(()),
            c if c < 0 => write!(f, " - {}", c.unsigned_abs()),
            c => write!(f, " + {c}"),
        }
    }
}
