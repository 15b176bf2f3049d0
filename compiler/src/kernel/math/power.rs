//! xʸ = e^(y·ln x), with the logarithm and the product as unevaluated sums of two numbers, since an error of the exponent is one of the
//! result times the exponent's size (T. J. Dekker, "A floating-point technique for extending the available precision", 1971).

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Number, Unary, Val};

/// An unevaluated sum of a number and a much smaller one.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub high: Val,
    pub low: Val,
}

impl FloatMath<'_> {
    /// x + y where |x| ≥ |y| or x = 0: 3 operations.
    pub fn quick_sum(&mut self, x: Val, y: Val) -> Pair {
        let high = self.add(x, y);
        let rest = self.sub(x, high);
        Pair { high, low: self.add(rest, y) }
    }

    /// x·y exactly: 3 operations with fma, 16 without.
    pub fn product(&mut self, x: Val, y: Val) -> Pair {
        let high = self.mul(x, y);
        if self.b.features().fma {
            let negative = self.b.unary(Unary::Neg, high);
            return Pair { high, low: self.b.fma(x, y, negative) };
        }
        let (a, b) = (self.halves(x), self.halves(y));
        let low = self.mul(a.high, b.high);
        let low = self.sub(low, high);
        let cross = self.mul(a.high, b.low);
        let low = self.add(low, cross);
        let cross = self.mul(a.low, b.high);
        let low = self.add(low, cross);
        let last = self.mul(a.low, b.low);
        Pair { high, low: self.add(low, last) }
    }

    /// x as a sum of numbers of half the precision.
    fn halves(&mut self, x: Val) -> Pair {
        let factor = self.pick(4097.0, 134217729.0);
        let scaled = self.mul_c(x, factor);
        let rest = self.sub(scaled, x);
        let high = self.sub(scaled, rest);
        Pair { high, low: self.sub(x, high) }
    }

    /// x·y but for the product of the low parts.
    fn pair_product(&mut self, x: Pair, y: Pair) -> Pair {
        let Pair { high, low } = self.product(x.high, y.high);
        let low = self.mul_add(x.high, y.low, low);
        Pair { high, low: self.mul_add(x.low, y.high, low) }
    }

    /// f ÷ (2 + f).
    fn log_quotient(&mut self, f: Val) -> Pair {
        let denominator = self.add_c(f, 2.0);
        let two = self.c(2.0);
        let lost = self.sub(denominator, two);
        let lost = self.sub(f, lost);
        let high = self.div(f, denominator);
        let back = self.product(high, denominator);
        let rest = self.sub(f, back.high);
        let rest = self.sub(rest, back.low);
        let cross = self.mul(high, lost);
        let rest = self.sub(rest, cross);
        Pair { high, low: self.div(rest, denominator) }
    }

    /// ln x of a positive number to about 34 (f64: 66) bits.
    fn log_pair(&mut self, x: Val) -> Pair {
        let tables = &self.format.tables;
        let (k, f) = self.split_denormal(x);
        let s = self.log_quotient(f);
        let z = self.pair_product(s, s);
        // 2·atanh(s) = 2s + s·z·(2/3 + z·P(z))
        let p = self.polynomial(z.high, tables.log_tail);
        let p = self.mul(p, z.high);
        let two_thirds = self.c(tables.two_thirds[0]);
        let w = self.quick_sum(two_thirds, p);
        let w = Pair { high: w.high, low: self.add_c(w.low, tables.two_thirds[1]) };
        let tail = self.pair_product(z, w);
        let tail = self.pair_product(s, tail);
        let twice = Pair { high: self.add(s.high, s.high), low: self.add(s.low, s.low) };
        let sum = self.quick_sum(twice.high, tail.high);
        let low = self.add(twice.low, tail.low);
        let low = self.add(sum.low, low);
        let whole = self.mul_c(k, tables.ln2[0]);
        let total = self.quick_sum(whole, sum.high);
        let low = self.mul_c_add(k, tables.ln2[1], low);
        let low = self.add(total.low, low);
        self.quick_sum(total.high, low)
    }

    /// xʸ with the IEEE 754 cases of `pow`: about 95 operations with fma, 170 without (f64: 115 and 190). Constant exponents that multiplications, divisions or
    /// a root give take 1 to 5.
    pub fn pow(&mut self, x: Val, y: Val) -> Val {
        if let Some(result) = self.known_power(x, y) {
            return result;
        }
        let magnitude = self.abs(x);
        let log = self.log_pair(magnitude);
        // Larger exponents over- or underflow like this one.
        let limit = self.pick(2f64.powi(40), 2f64.powi(70));
        let bounded = self.at_most(y, limit);
        let bounded = self.at_least(bounded, -limit);
        let exponent = self.product(bounded, log.high);
        let rest = self.mul_add(bounded, log.low, exponent.low);
        let rest = self.at_most(rest, 1.0);
        let rest = self.at_least(rest, -1.0);
        let result = self.exp_extended(exponent.high, Some(rest), 0);
        let result = self.pow_edge(x, y, magnitude, result);
        self.pow_special(x, y, magnitude, result)
    }

    /// Powers of zeros and infinities: ∞ or 0.
    fn pow_edge(&mut self, x: Val, y: Val, magnitude: Val, result: Val) -> Val {
        let is_zero = self.compare_c(Compare::Eq, x, 0.0);
        let is_infinite = self.compare_c(Compare::Eq, magnitude, f64::INFINITY);
        let is_edge = self.b.binary(Binary::Or, is_zero, is_infinite);
        let inverts = self.compare_c(Compare::Lt, y, 0.0);
        let grows = self.b.binary(Binary::Xor, is_infinite, inverts);
        let (infinity, zero) = (self.c(f64::INFINITY), self.c(0.0));
        let edge = self.select(grows, infinity, zero);
        self.select(is_edge, edge, result)
    }

    /// Signs, NaN and the results that are 1 whatever the other operand is.
    fn pow_special(&mut self, x: Val, y: Val, magnitude: Val, result: Val) -> Val {
        let whole = super::rounding::round(self.b, Unary::Trunc, y);
        let is_fraction = self.b.compare(Compare::Ne, whole, y);
        let half = self.mul_c(y, 0.5);
        let whole_half = super::rounding::round(self.b, Unary::Trunc, half);
        let has_half = self.b.compare(Compare::Ne, whole_half, half);
        let sign = self.sign_bits(x);
        let no_bits = self.bits(0);
        let sign = self.select(has_half, sign, no_bits);
        let sign = self.select(is_fraction, no_bits, sign);
        let result = self.xor_bits(result, sign);
        let is_negative = self.compare_c(Compare::Lt, x, 0.0);
        let is_finite = self.compare_c(Compare::Lt, magnitude, f64::INFINITY);
        let no_root = self.b.binary(Binary::And, is_negative, is_fraction);
        let no_root = self.b.binary(Binary::And, no_root, is_finite);
        let nan = self.c(f64::NAN);
        let result = self.select(no_root, nan, result);
        let result = self.nan_of(x, y, result);
        let is_one = self.compare_c(Compare::Eq, x, 1.0);
        let is_zero = self.compare_c(Compare::Eq, y, 0.0);
        let is_one = self.b.binary(Binary::Or, is_one, is_zero);
        let one = self.c(1.0);
        self.select(is_one, one, result)
    }

    /// The cheap powers with a constant exponent.
    fn known_power(&mut self, x: Val, y: Val) -> Option<Val> {
        let Some(Number::Float(bits)) = self.b.known(y) else { return None };
        let exponent = f64::from_bits(bits);
        Some(match exponent {
            0.0 => self.c(1.0),
            1.0 => x,
            2.0 => self.mul(x, x),
            3.0 => {
                let square = self.mul(x, x);
                self.mul(square, x)
            }
            -1.0 => {
                let one = self.c(1.0);
                self.div(one, x)
            }
            0.5 => self.positive_root(x),
            -0.5 => {
                let (one, root) = (self.c(1.0), self.positive_root(x));
                self.div(one, root)
            }
            _ => return None,
        })
    }

    /// x^½: unlike √x it is +0 for −0 and ∞ for −∞.
    fn positive_root(&mut self, x: Val) -> Val {
        let x = self.add_c(x, 0.0);
        let root = self.sqrt(x);
        let is_below = self.compare_c(Compare::Eq, x, f64::NEG_INFINITY);
        let infinity = self.c(f64::INFINITY);
        self.select(is_below, infinity, root)
    }
}
