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

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::{
    fmt,
    ops::{Add, Mul, Neg, Sub},
    sync::Arc,
};

/// The largest number of elements that a tensor may have.
pub const MAX_ELEMENTS: i64 = 1 << 40;

/// An integer unknown with bounds: an input extent, an op's result extent, or a loop variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Symbol(Arc<SymbolData>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

    /// ⌊self ÷ divisor⌋. A divisor whose lower bound is below 1 is treated as at least 1.
    pub fn floor_div(&self, divisor: &Dim) -> Dim {
        if divisor.is(1) {
            return self.clone();
        }
        if self == divisor {
            return Dim::ONE;
        }
        match divisor.as_const() {
            Some(d) if d > 0 => self.floor_div_const(d),
            _ => match self.exact_quotient(divisor) {
                Some(quotient) => quotient,
                None if self.lower() >= 0 && (divisor - self).lower() > 0 => Dim::ZERO,
                None => Dim::from_atom(Atom::FloorDiv(Arc::new((self.clone(), divisor.clone())))),
            },
        }
    }

    fn floor_div_const(&self, divisor: i64) -> Dim {
        let (quotient, rest) = self.split_multiple(divisor);
        let (low, high) = rest.bounds();
        if low.div_euclid(divisor) == high.div_euclid(divisor) {
            return quotient + Dim::from(low.div_euclid(divisor));
        }
        // ⌊(g·r + k) ÷ (g·d)⌋ = ⌊r ÷ d⌋ for 0 ≤ k < g
        match rest.split_low(divisor) {
            Some((g, high, _)) => quotient + high.floor_div_const(divisor / g),
            None => quotient + rest.floor_div_const_reduced(divisor),
        }
    }

    /// `g`, `r` and `k` with self = g·r + k, 0 ≤ k < g, where g > 1 divides `divisor`; the largest such g.
    fn split_low(&self, divisor: i64) -> Option<(i64, Dim, Dim)> {
        let mut candidates: SmallVec<[i64; 4]> = self.terms.iter().map(|(_, c)| gcd(divisor, *c)).collect();
        candidates.sort_unstable_by_key(|g| std::cmp::Reverse(*g));
        candidates.into_iter().filter(|g| *g > 1).find_map(|g| {
            let (high, low) = self.split_multiple(g);
            let (least, most) = low.bounds();
            (least >= 0 && most < g).then_some((g, high, low))
        })
    }

    fn floor_div_const_reduced(&self, divisor: i64) -> Dim {
        if divisor == 1 {
            return self.clone();
        }
        if let [(product, 1)] = self.terms.as_slice()
            && self.constant == 0
            && let [Atom::FloorDiv(inner)] = product.as_slice()
            && let Some(first) = inner.1.as_const()
        {
            return inner.0.floor_div_const(first.saturating_mul(divisor));
        }
        Dim::from_atom(Atom::FloorDiv(Arc::new((self.clone(), divisor.into()))))
    }

    /// self − divisor·⌊self ÷ divisor⌋. A divisor whose lower bound is below 1 is treated as at least 1.
    pub fn modulo(&self, divisor: &Dim) -> Dim {
        if divisor.is(1) || self == divisor {
            return Dim::ZERO;
        }
        if let Some(d) = divisor.as_const()
            && d > 0
        {
            let (_, rest) = self.split_multiple(d);
            let (low, high) = rest.bounds();
            let block = low.div_euclid(d);
            if block == high.div_euclid(d) {
                return rest - Dim::from(block.saturating_mul(d));
            }
            return match rest.split_low(d) {
                Some((g, high, low)) => high.modulo(&Dim::from(d / g)) * g + low,
                None => Dim::from_atom(Atom::Mod(Arc::new((rest, divisor.clone())))),
            };
        }
        if self.exact_quotient(divisor).is_some() {
            return Dim::ZERO;
        }
        if self.lower() >= 0 && (divisor - self).lower() > 0 {
            return self.clone();
        }
        Dim::from_atom(Atom::Mod(Arc::new((self.clone(), divisor.clone()))))
    }

    /// ⌈self ÷ divisor⌉.
    pub fn ceil_div(&self, divisor: &Dim) -> Dim {
        (self + divisor - 1).floor_div(divisor)
    }

    /// The smaller of the two.
    pub fn minimum(&self, other: &Dim) -> Dim {
        let (low, high) = (self - other).bounds();
        if high <= 0 {
            return self.clone();
        }
        if low >= 0 {
            return other.clone();
        }
        let (a, b) = if self < other { (self, other) } else { (other, self) };
        Dim::from_atom(Atom::Min(Arc::new((a.clone(), b.clone()))))
    }

    /// The larger of the two.
    pub fn maximum(&self, other: &Dim) -> Dim {
        let (low, high) = (self - other).bounds();
        if low >= 0 {
            return self.clone();
        }
        if high <= 0 {
            return other.clone();
        }
        let (a, b) = if self < other { (self, other) } else { (other, self) };
        Dim::from_atom(Atom::Max(Arc::new((a.clone(), b.clone()))))
    }

    /// `q` and `r` with `self = q·divisor + r`: `q` takes all summands that `divisor` divides.
    fn split_multiple(&self, divisor: i64) -> (Dim, Dim) {
        let constant = self.constant.div_euclid(divisor);
        let mut quotient = Dim::from(constant);
        let mut rest = Dim::from(self.constant.rem_euclid(divisor));
        for (product, coefficient) in &self.terms {
            let q = coefficient.div_euclid(divisor);
            let r = coefficient.rem_euclid(divisor);
            if r == 0 {
                quotient.terms.push((product.clone(), q));
            } else {
                rest.terms.push((product.clone(), *coefficient));
            }
        }
        (quotient, rest)
    }

    /// `q` with `self = q·divisor`, if every summand of `self` has the factors of a single-term `divisor`.
    fn exact_quotient(&self, divisor: &Dim) -> Option<Dim> {
        let [(factors, scale)] = divisor.terms.as_slice() else { return None };
        if divisor.constant != 0 || self.constant != 0 || self.terms.is_empty() {
            return None;
        }
        let mut quotient = Dim::ZERO;
        for (product, coefficient) in &self.terms {
            if coefficient.checked_rem(*scale)? != 0 {
                return None;
            }
            let mut left = product.clone();
            for factor in factors {
                let position = left.iter().position(|atom| atom == factor)?;
                left.remove(position);
            }
            quotient.add_term(left, coefficient.checked_div(*scale)?);
        }
        Some(quotient)
    }

    fn add_term(&mut self, product: Product, coefficient: i64) {
        if product.is_empty() {
            self.constant = self.constant.saturating_add(coefficient);
            return;
        }
        if coefficient == 0 {
            return;
        }
        match self.terms.binary_search_by(|(other, _)| other.cmp(&product)) {
            Err(place) => self.terms.insert(place, (product, coefficient)),
            Ok(place) => {
                let sum = self.terms[place].1.saturating_add(coefficient);
                if sum == 0 {
                    self.terms.remove(place);
                } else {
                    self.terms[place].1 = sum;
                }
            }
        }
    }

    /// b·⌊x ÷ b⌋ + x mod b = x, with any common coefficient.
    fn rejoin(mut self) -> Dim {
        while let Some((whole, scale)) = self.find_rejoin() {
            self = whole * Dim::from(scale) + self;
        }
        self
    }

    fn find_rejoin(&mut self) -> Option<(Dim, i64)> {
        for remainder in 0..self.terms.len() {
            let [Atom::Mod(parts)] = self.terms[remainder].0.as_slice() else { continue };
            let Some(divisor) = parts.1.as_const() else { continue };
            let scale = self.terms[remainder].1;
            let parts = parts.clone();
            // The quotient may have been reduced (⌊(4i + j) ÷ 8⌋ where j < 4 became ⌊i ÷ 2⌋): compare it in normal form.
            let quotient = parts.0.floor_div_const(divisor);
            let [(product, 1)] = quotient.terms.as_slice() else { continue };
            if quotient.constant != 0 {
                continue;
            }
            let wanted = scale.saturating_mul(divisor);
            let found = self.terms.iter().position(|(p, c)| p == product && *c == wanted);
            let Some(place) = found else { continue };
            self.terms.remove(place.max(remainder));
            self.terms.remove(place.min(remainder));
            return Some((parts.0.clone(), scale));
        }
        None
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

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1)
}

impl From<i64> for Dim {
    fn from(constant: i64) -> Dim {
        Dim { constant, terms: Vec::new() }
    }
}

impl From<i32> for Dim {
    fn from(constant: i32) -> Dim {
        Dim::from(i64::from(constant))
    }
}

impl From<usize> for Dim {
    fn from(constant: usize) -> Dim {
        Dim::from(i64::try_from(constant).unwrap_or(i64::MAX))
    }
}

impl From<Symbol> for Dim {
    fn from(symbol: Symbol) -> Dim {
        match symbol.lower() == symbol.upper() {
            true => Dim::from(symbol.lower()),
            false => Dim::from_atom(Atom::Symbol(symbol)),
        }
    }
}

impl From<&Symbol> for Dim {
    fn from(symbol: &Symbol) -> Dim {
        Dim::from(symbol.clone())
    }
}

fn sum(a: &Dim, b: &Dim, scale: i64) -> Dim {
    let mut result = a.clone();
    result.constant = result.constant.saturating_add(b.constant.saturating_mul(scale));
    for (product, coefficient) in &b.terms {
        result.add_term(product.clone(), coefficient.saturating_mul(scale));
    }
    match result.terms.len() > 1 {
        true => result.rejoin(),
        false => result,
    }
}

fn product(a: &Dim, b: &Dim) -> Dim {
    let mut result = Dim::from(a.constant.saturating_mul(b.constant));
    for (p, coefficient) in &a.terms {
        result.add_term(p.clone(), coefficient.saturating_mul(b.constant));
    }
    for (p, coefficient) in &b.terms {
        result.add_term(p.clone(), coefficient.saturating_mul(a.constant));
    }
    for (p, c) in &a.terms {
        for (q, d) in &b.terms {
            let mut merged: Product = p.iter().chain(q).cloned().collect();
            merged.sort();
            result.add_term(merged, c.saturating_mul(*d));
        }
    }
    result
}

macro_rules! operator {
    ($trait:ident $method:ident |$a:ident, $b:ident| $body:expr) => {
        impl $trait<&Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                let ($a, $b) = (self, other);
                $body
            }
        }
        impl $trait<Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                (&self).$method(&other)
            }
        }
        impl $trait<&Dim> for Dim {
            type Output = Dim;
            fn $method(self, other: &Dim) -> Dim {
                (&self).$method(other)
            }
        }
        impl $trait<Dim> for &Dim {
            type Output = Dim;
            fn $method(self, other: Dim) -> Dim {
                self.$method(&other)
            }
        }
        impl $trait<i64> for Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim {
                (&self).$method(&Dim::from(other))
            }
        }
        impl $trait<i64> for &Dim {
            type Output = Dim;
            fn $method(self, other: i64) -> Dim {
                self.$method(&Dim::from(other))
            }
        }
    };
}

operator!(Add add |a, b| sum(a, b, 1));
operator!(Sub sub |a, b| sum(a, b, -1));
operator!(Mul mul |a, b| product(a, b));

impl Neg for Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        product(&self, &Dim::from(-1i64))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, upper: i64) -> Dim {
        Dim::from(Symbol::new(name, 0, upper))
    }

    #[test]
    fn split_indices_rejoin() {
        let (outer, inner) = (symbol("o", 7), symbol("i", 15));
        let merged = &outer * 16 + &inner;
        assert_eq!(merged.floor_div(&Dim::from(16i64)), outer);
        assert_eq!(merged.modulo(&Dim::from(16i64)), inner);
        let x = symbol("x", 127);
        assert_eq!(x.floor_div(&Dim::from(16i64)) * 16 + x.modulo(&Dim::from(16i64)), x);
        assert_eq!(merged.floor_div(&Dim::from(4i64)) * 4 + merged.modulo(&Dim::from(4i64)), merged);
    }

    #[test]
    fn low_parts_drop_out() {
        let (vector, lane) = (symbol("v", 9), symbol("l", 3));
        let channel = &vector * 4 + &lane;
        assert_eq!(channel.floor_div(&Dim::from(8i64)).to_string(), "floordiv(v, 2)");
        assert_eq!(channel.modulo(&Dim::from(8i64)).to_string(), "l + 4*mod(v, 2)");
        assert_eq!(channel.floor_div(&Dim::from(8i64)) * 8 + channel.modulo(&Dim::from(8i64)), channel);
    }

    #[test]
    fn bounds_resolve_min_and_max() {
        let x = symbol("x", 9);
        assert_eq!(x.minimum(&Dim::from(9i64)), x);
        assert_eq!(x.maximum(&Dim::from(-1i64)), x);
        assert_eq!(x.minimum(&Dim::from(5i64)).bounds(), (0, 5));
    }

    #[test]
    fn symbolic_divisors() {
        let (n, m) = (Dim::from(Symbol::new("n", 1, 32)), Dim::from(Symbol::new("m", 1, 8)));
        assert_eq!((&n * &m).floor_div(&m), n);
        assert!((&n * &m * 3).modulo(&m).is(0));
        assert_eq!((&n + 1).ceil_div(&Dim::from(2i64)).to_string(), "floordiv(n, 2) + 1");
    }

    #[test]
    fn random_expressions_keep_their_value() {
        // A fixed linear congruential sequence (Numerical Recipes) picks the operations.
        let mut seed = 12345u32;
        let mut next = move |n: u32| {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            (seed >> 16) % n
        };
        for _ in 0..3000 {
            let (a, b) = (next(13) as i64, next(7) as i64);
            let lookup = |s: &Symbol| Some(if s.name() == "a" { a } else { b });
            let (mut dim, mut value) = (symbol("a", 12), a);
            for _ in 0..6 {
                let (other, v) = match next(3) {
                    0 => (symbol("b", 6), b),
                    1 => (symbol("a", 12), a),
                    _ => {
                        let c = next(9) as i64 + 1;
                        (Dim::from(c), c)
                    }
                };
                (dim, value) = match next(7) {
                    0 => (dim + other, value + v),
                    1 => (dim - other, value - v),
                    2 if value.abs() < 1 << 20 => (dim * other, value * v),
                    3 => (dim.minimum(&other), value.min(v)),
                    4 => (dim.maximum(&other), value.max(v)),
                    5 => {
                        let d = next(8) as i64 + 1;
                        (dim.floor_div(&d.into()), value.div_euclid(d))
                    }
                    _ => {
                        let d = next(8) as i64 + 1;
                        (dim.modulo(&d.into()), value.rem_euclid(d))
                    }
                };
                assert_eq!(dim.evaluate(&lookup), Some(value), "{dim} with a = {a}, b = {b}");
                let (low, high) = dim.bounds();
                assert!(low <= value && value <= high, "{dim}: {value} outside {low}..={high}");
            }
        }
    }
}
