//! Quotients, remainders, smaller and larger.

use super::{Atom, Dim};
use smallvec::SmallVec;
use std::sync::Arc;

impl Dim {
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

    pub(super) fn floor_div_const(&self, divisor: i64) -> Dim {
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
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1)
}
