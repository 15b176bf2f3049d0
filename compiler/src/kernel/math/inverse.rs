//! Inverse trigonometric functions.

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Val};

/// Up to this |x| asin and acos use the polynomial in x, beyond it the one in √((1 − |x|) ÷ 2), whose value then stays below ½.
const ASIN_LIMIT: f64 = 0.5405;

impl FloatMath<'_> {
    /// asin s = s + s·z·P(z), z = s²: 8 operations (f64: 15).
    fn asin_reduced(&mut self, s: Val, z: Val) -> Val {
        let p = self.polynomial(z, self.format.tables.asin);
        let cube = self.mul(s, z);
        self.mul_add(p, cube, s)
    }

    /// n·π/2 − x.
    fn half_pi_minus(&mut self, n: f64, x: Val) -> Val {
        let half_pi = self.format.tables.half_pi;
        let x = self.add_c(x, -n * half_pi[1]);
        self.c_sub(n * half_pi[0], x)
    }

    /// For |x| beyond the limit: (true, √((1 − |x|) ÷ 2) and its square), else (false, `x` and x²).
    fn asin_argument(&mut self, x: Val, magnitude: Val) -> (Val, Val, Val) {
        let is_large = self.compare_c(Compare::Gt, magnitude, ASIN_LIMIT);
        let minus_half = self.c(-0.5);
        let half_rest = self.mul_add_c(magnitude, minus_half, 0.5);
        let square = self.mul(x, x);
        let z = self.select(is_large, half_rest, square);
        let root = self.sqrt(half_rest);
        (is_large, self.select(is_large, root, x), z)
    }

    /// asin x, NaN for |x| > 1: 21 operations (f64: 28).
    pub fn asin(&mut self, x: Val) -> Val {
        let magnitude = self.abs(x);
        let (is_large, s, z) = self.asin_argument(magnitude, magnitude);
        let p = self.asin_reduced(s, z);
        let twice = self.add(p, p);
        let large = self.half_pi_minus(1.0, twice);
        let result = self.select(is_large, large, p);
        self.or_sign(result, x)
    }

    /// acos x, NaN for |x| > 1: 24 operations (f64: 31).
    pub fn acos(&mut self, x: Val) -> Val {
        let magnitude = self.abs(x);
        let (is_large, s, z) = self.asin_argument(x, magnitude);
        let p = self.asin_reduced(s, z);
        let small = self.half_pi_minus(1.0, p);
        let twice = self.add(p, p);
        let left = self.half_pi_minus(2.0, twice);
        let is_negative = self.compare_c(Compare::Lt, x, 0.0);
        let large = self.select(is_negative, left, twice);
        self.select(is_large, large, small)
    }

    /// atan t for 0 ≤ t ≤ 1: 11 operations (f64: 22). In f64, atan t = π/4 + atan((t − 1) ÷ (t + 1)) from tan(π/8) on.
    fn atan_unit(&mut self, t: Val) -> Val {
        let table = self.format.tables.atan;
        if !self.is_double() {
            let z = self.mul(t, t);
            let p = self.polynomial(z, table);
            let cube = self.mul(z, t);
            return self.mul_add(p, cube, t);
        }
        let is_large = self.compare_c(Compare::Gt, t, std::f64::consts::SQRT_2 - 1.0);
        let (above, below) = (self.add_c(t, -1.0), self.add_c(t, 1.0));
        let quotient = self.div(above, below);
        let s = self.select(is_large, quotient, t);
        let z = self.mul(s, s);
        let p = self.polynomial(z, table);
        let cube = self.mul(z, s);
        let angle = self.mul_add(p, cube, s);
        let half_pi = self.format.tables.half_pi;
        let turned = self.add_c(angle, half_pi[1] / 2.0);
        let turned = self.add_c(turned, half_pi[0] / 2.0);
        self.select(is_large, turned, angle)
    }

    /// atan x: 20 operations (f64: 31), with one division (f64: two).
    pub fn atan(&mut self, x: Val) -> Val {
        let magnitude = self.abs(x);
        let (low, high) = (self.at_most(magnitude, 1.0), self.at_least(magnitude, 1.0));
        let t = self.div(low, high);
        let angle = self.atan_unit(t);
        let turned = self.half_pi_minus(1.0, angle);
        let is_large = self.compare_c(Compare::Gt, magnitude, 1.0);
        let result = self.select(is_large, turned, angle);
        self.or_sign(result, x)
    }

    /// The angle of the point (x, y), with the IEEE 754 cases of zeros and infinities: 34 operations (f64: 45).
    pub fn atan2(&mut self, y: Val, x: Val) -> Val {
        let (rise, run) = (self.abs(y), self.abs(x));
        let low = self.b.binary(Binary::Min, rise, run);
        let high = self.b.binary(Binary::Max, rise, run);
        let quotient = self.div(low, high);
        // ∞ ÷ ∞ and 0 ÷ 0
        let is_diagonal = self.b.compare(Compare::Eq, low, high);
        let is_origin = self.compare_c(Compare::Eq, high, 0.0);
        let (one, zero) = (self.c(1.0), self.c(0.0));
        let t = self.select(is_diagonal, one, quotient);
        let t = self.select(is_origin, zero, t);
        let angle = self.atan_unit(t);
        let turned = self.half_pi_minus(1.0, angle);
        let is_steep = self.b.compare(Compare::Gt, rise, run);
        let angle = self.select(is_steep, turned, angle);
        let left = self.half_pi_minus(2.0, angle);
        let sign = self.sign_bits(x);
        let no_bits = self.bits(0);
        let is_left = self.b.compare(Compare::Ne, sign, no_bits);
        let angle = self.select(is_left, left, angle);
        let result = self.or_sign(angle, y);
        self.nan_of(x, y, result)
    }

    /// `result`, but NaN where x or y is.
    pub fn nan_of(&mut self, x: Val, y: Val, result: Val) -> Val {
        let sum = self.add(x, y);
        let (x_nan, y_nan) = (self.b.compare(Compare::Ne, x, x), self.b.compare(Compare::Ne, y, y));
        let either = self.b.binary(Binary::Or, x_nan, y_nan);
        self.select(either, sum, result)
    }
}
