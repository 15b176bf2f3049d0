//! Symbolic extents: integer polynomials over bounded symbols, kept in a normal form.
//!
//! A [`Dim`] is `constant + Σ coefficient · product of atoms`. An atom is a symbol or one of floor-div, mod, min and max
//! of two dims that the rules below could not resolve. Terms are sorted and have distinct, non-empty products and non-zero
//! coefficients, so two dims that normalise to the same polynomial are equal by `==`. The same type expresses the index
//! arithmetic of schedules: a loop variable is a symbol whose bounds are those of the loop, and `floor_div` and `modulo`
//! resolve where the bounds prove it, which is how merged and split indices cancel.
//!
//! Arithmetic saturates at the ends of `i64` instead of wrapping. Shapes are limited to [`MAX_ELEMENTS`], which shape inference
//! checks, so a saturated value can only show up on its way to an error.
//!
//! * `arithmetic`: sums and products
//! * `divide`: quotients, remainders, smaller and larger
//! * `format`, `serialize`: text, and serde's formats

mod arithmetic;
mod divide;
mod format;
mod serialize;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::{fmt, sync::Arc};

/// The largest number of elements that a tensor may have.
pub const MAX_ELEMENTS: i64 = 1 << 40;

/// An integer unknown with bounds: an input extent, an op's result extent, or a loop variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Symbol(Arc<SymbolData>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SymbolData {
    name: String,
    lower: i64,
    upper: i64,
}

impl Symbol {
    /// A symbol with values in `lower..=upper`.
    pub fn new(name: impl Into<String>, lower: i64, upper: i64) -> Symbol {
        Symbol(Arc::new(SymbolData { name: name.into(), lower, upper }))
    }

    /// Its name, unique within a module or kernel.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The smallest value that it takes.
    pub fn lower(&self) -> i64 {
        self.0.lower
    }

    /// The largest value that it takes.
    pub fn upper(&self) -> i64 {
        self.0.upper
    }
}

/// The name, quoted if it is no identifier.
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::Word(self.name()).fmt(f)
    }
}

/// A factor of a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Atom {
    /// An unknown.
    Symbol(Symbol),
    /// ⌊a ÷ b⌋, b > 0.
    FloorDiv(Arc<(Dim, Dim)>),
    /// a − b·⌊a ÷ b⌋, b > 0.
    Mod(Arc<(Dim, Dim)>),
    /// The smaller of the two.
    Min(Arc<(Dim, Dim)>),
    /// The larger of the two.
    Max(Arc<(Dim, Dim)>),
}

/// The sorted factors of a term.
pub type Product = SmallVec<[Atom; 1]>;

/// An integer polynomial over symbols in normal form; see the [module documentation](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    constant: i64,
    terms: Vec<(Product, i64)>,
}

impl Dim {
    /// The constant 0.
    pub const ZERO: Dim = Dim { constant: 0, terms: Vec::new() };
    /// The constant 1.
    pub const ONE: Dim = Dim { constant: 1, terms: Vec::new() };

    /// The value, where it is known when compiling.
    pub fn as_const(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// Whether this is the constant `value`.
    pub fn is(&self, value: i64) -> bool {
        self.as_const() == Some(value)
    }

    /// The symbol, where the dim is exactly one.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match self.terms.as_slice() {
            [(product, 1)] if self.constant == 0 => match product.as_slice() {
                [Atom::Symbol(symbol)] => Some(symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// The constant summand.
    pub fn constant(&self) -> i64 {
        self.constant
    }

    /// The other summands: products with their coefficients, sorted.
    pub fn terms(&self) -> &[(Product, i64)] {
        &self.terms
    }

    /// A dim of one summand without simplification; the factors must not be empty.
    fn from_atom(atom: Atom) -> Dim {
        Dim { constant: 0, terms: vec![(smallvec![atom], 1)] }
    }

    /// Values that the dim can't be below or above, by interval arithmetic.
    pub fn bounds(&self) -> (i64, i64) {
        let mut low = self.constant;
        let mut high = self.constant;
        for (product, coefficient) in &self.terms {
            let (mut a, mut b) = (1i64, 1i64);
            for atom in product {
                (a, b) = interval_product((a, b), atom.bounds());
            }
            let (a, b) = interval_product((a, b), (*coefficient, *coefficient));
            low = low.saturating_add(a);
            high = high.saturating_add(b);
        }
        (low, high)
    }

    /// The largest value.
    pub fn upper(&self) -> i64 {
        self.bounds().1
    }

    /// The smallest value.
    pub fn lower(&self) -> i64 {
        self.bounds().0
    }

    /// The dim with symbols replaced; those for which `replace` gives `None` stay.
    pub fn substitute(&self, replace: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        let mut sum = Dim::from(self.constant);
        for (product, coefficient) in &self.terms {
            let mut term = Dim::from(*coefficient);
            for atom in product {
                term = term * atom.substitute(replace);
            }
            sum = sum + term;
        }
        sum
    }

    /// The value for given symbols; `None` where one is missing or a divisor is not positive.
    pub fn evaluate(&self, value: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let mut sum = self.constant;
        for (product, coefficient) in &self.terms {
            let mut term = *coefficient;
            for atom in product {
                term = term.checked_mul(atom.evaluate(value)?)?;
            }
            sum = sum.checked_add(term)?;
        }
        Some(sum)
    }

    /// Calls `visit` for every symbol in the dim, nested ones included, as often as it occurs.
    pub fn for_each_symbol(&self, visit: &mut dyn FnMut(&Symbol)) {
        for (product, _) in &self.terms {
            for atom in product {
                match atom {
                    Atom::Symbol(symbol) => visit(symbol),
                    Atom::FloorDiv(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
                        pair.0.for_each_symbol(visit);
                        pair.1.for_each_symbol(visit);
                    }
                }
            }
        }
    }

    /// Whether the dim has more than `limit` atoms, those within atoms included; it looks at no more than that many.
    pub fn has_more_atoms_than(&self, limit: usize) -> bool {
        self.count_atoms(limit).is_none()
    }

    /// What is left of `budget` after the dim's atoms, or `None`.
    fn count_atoms(&self, mut budget: usize) -> Option<usize> {
        for atom in self.terms.iter().flat_map(|(product, _)| product) {
            budget = budget.checked_sub(1)?;
            if let Atom::FloorDiv(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) = atom {
                budget = pair.1.count_atoms(pair.0.count_atoms(budget)?)?;
            }
        }
        Some(budget)
    }

    /// Whether `symbol` occurs.
    pub fn contains(&self, symbol: &Symbol) -> bool {
        let mut found = false;
        self.for_each_symbol(&mut |other| found |= other == symbol);
        found
    }
}

impl Atom {
    fn bounds(&self) -> (i64, i64) {
        match self {
            Atom::Symbol(symbol) => (symbol.lower(), symbol.upper()),
            Atom::FloorDiv(pair) => {
                let ((a, b), (low, high)) = (pair.0.bounds(), pair.1.bounds());
                let (low, high) = (low.max(1), high.max(1));
                let ends = [a.div_euclid(low), a.div_euclid(high), b.div_euclid(low), b.div_euclid(high)];
                (ends.into_iter().min().unwrap_or(0), ends.into_iter().max().unwrap_or(0))
            }
            Atom::Mod(pair) => {
                let highest = pair.1.upper().max(1) - 1;
                let (a, b) = pair.0.bounds();
                (0, if a >= 0 { highest.min(b) } else { highest })
            }
            Atom::Min(pair) => {
                let ((a, b), (c, d)) = (pair.0.bounds(), pair.1.bounds());
                (a.min(c), b.min(d))
            }
            Atom::Max(pair) => {
                let ((a, b), (c, d)) = (pair.0.bounds(), pair.1.bounds());
                (a.max(c), b.max(d))
            }
        }
    }

    fn substitute(&self, replace: &dyn Fn(&Symbol) -> Option<Dim>) -> Dim {
        match self {
            Atom::Symbol(symbol) => replace(symbol).unwrap_or_else(|| Dim::from(symbol.clone())),
            Atom::FloorDiv(pair) => pair.0.substitute(replace).floor_div(&pair.1.substitute(replace)),
            Atom::Mod(pair) => pair.0.substitute(replace).modulo(&pair.1.substitute(replace)),
            Atom::Min(pair) => pair.0.substitute(replace).minimum(&pair.1.substitute(replace)),
            Atom::Max(pair) => pair.0.substitute(replace).maximum(&pair.1.substitute(replace)),
        }
    }

    fn evaluate(&self, value: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let both = |pair: &(Dim, Dim)| Some((pair.0.evaluate(value)?, pair.1.evaluate(value)?));
        match self {
            Atom::Symbol(symbol) => value(symbol),
            Atom::FloorDiv(pair) => both(pair).filter(|p| p.1 > 0).map(|(a, b)| a.div_euclid(b)),
            Atom::Mod(pair) => both(pair).filter(|p| p.1 > 0).map(|(a, b)| a.rem_euclid(b)),
            Atom::Min(pair) => both(pair).map(|(a, b)| a.min(b)),
            Atom::Max(pair) => both(pair).map(|(a, b)| a.max(b)),
        }
    }
}

fn interval_product((a, b): (i64, i64), (c, d): (i64, i64)) -> (i64, i64) {
    let ends = [a.saturating_mul(c), a.saturating_mul(d), b.saturating_mul(c), b.saturating_mul(d)];
    (ends.into_iter().min().unwrap_or(0), ends.into_iter().max().unwrap_or(0))
}
