//! Sums and products.

use super::{Atom, Dim, Product, Symbol};
use std::ops::{Add, Mul, Neg, Sub};

impl Dim {
    pub(super) fn add_term(&mut self, product: Product, coefficient: i64) {
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
