//! Logarithms: x = 2ᵏ·m with √½ ≤ m < √2, and with f = m − 1, s = f ÷ (2 + f): ln m = 2·atanh(s) = f − s·(f − R(s²)), the form of
//! W. Cody and W. Waite that FreeBSD's msun also uses.

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Val};

/// x = 2ᵏ·m.
pub(super) struct Split {
    /// k + bias, an integer.
    pub exponent: Val,
    /// m.
    pub mantissa: Val,
}

impl FloatMath<'_> {
    /// Takes a positive normal number apart: 4 operations.
    pub fn split(&mut self, x: Val) -> Split {
        let (one, sqrt_half, bits) = (self.format.one(), self.format.sqrt_half, self.format.mantissa);
        let x = self.bits_of(x);
        let moved = self.bits_op(Binary::Add, x, one - sqrt_half);
        let exponent = self.bits_op(Binary::ShiftRight, moved, bits.into());
        let low = self.bits_op(Binary::And, moved, (1 << bits) - 1);
        let mantissa = self.bits_op(Binary::Add, low, sqrt_half);
        Split { exponent, mantissa: self.float_of(mantissa) }
    }

    /// An integer below 2ᵐᵃⁿᵗⁱˢˢᵃ as a float, minus `less`: 2 operations.
    pub fn small_to_float(&mut self, n: Val, less: Val) -> Val {
        // With the exponent of 2ᵐ the mantissa counts ones.
        let power = (self.format.bias + i64::from(self.format.mantissa)) << self.format.mantissa;
        let bits = self.bits_op(Binary::Or, n, power);
        let float = self.float_of(bits);
        self.sub(float, less)
    }

    /// k·ln 2 + ln(1 + f) for √½ ≤ 1 + f < √2: 15 operations (f64: 19).
    fn log_sum(&mut self, k: Val, f: Val) -> Val {
        let ln2 = self.format.tables.ln2;
        let denominator = self.add_c(f, 2.0);
        let s = self.div(f, denominator);
        let z = self.mul(s, s);
        let p = self.polynomial(z, self.format.tables.log);
        let r = self.mul(p, z);
        let half = self.mul_c(f, 0.5);
        let half_square = self.mul(half, f);
        let inner = self.add(half_square, r);
        let low = self.mul_c(k, ln2[1]);
        let inner = self.mul_add(s, inner, low);
        let rest = self.sub(inner, half_square);
        let small = self.add(f, rest);
        self.mul_c_add(k, ln2[0], small)
    }

    /// `result`, but −∞ where x = 0, NaN where x < 0 or NaN, ∞ where x = ∞: 6 operations.
    fn log_special(&mut self, x: Val, result: Val) -> Val {
        let is_positive = self.compare_c(Compare::Gt, x, 0.0);
        let is_zero = self.compare_c(Compare::Eq, x, 0.0);
        let is_infinite = self.compare_c(Compare::Eq, x, f64::INFINITY);
        let (pole, nan) = (self.c(f64::NEG_INFINITY), self.c(f64::NAN));
        let special = self.select(is_zero, pole, nan);
        let result = self.select(is_positive, result, special);
        self.select(is_infinite, x, result)
    }

    /// k, as a float, and m − 1 of a positive number, denormals included: 11 operations.
    pub fn split_denormal(&mut self, x: Val) -> (Val, Val) {
        let scale = i64::from(self.format.mantissa) + 1;
        let smallest = 2f64.powi(1 - self.format.bias as i32);
        let is_denormal = self.compare_c(Compare::Lt, x, smallest);
        let scaled = self.mul_c(x, 2f64.powi(scale as i32));
        let normal = self.select(is_denormal, scaled, x);
        let Split { exponent, mantissa } = self.split(normal);
        let offset = (self.format.bias as f64) + 2f64.powi(self.format.mantissa as i32);
        let (plain, shifted) = (self.c(offset), self.c(offset + scale as f64));
        let offset = self.select(is_denormal, shifted, plain);
        let k = self.small_to_float(exponent, offset);
        (k, self.add_c(mantissa, -1.0))
    }

    /// ln x: 32 operations (f64: 36).
    pub fn log(&mut self, x: Val) -> Val {
        let (k, f) = self.split_denormal(x);
        let result = self.log_sum(k, f);
        self.log_special(x, result)
    }

    /// ln(1 + x): 36 operations (f64: 40). With 1 + x ≈ 2ᵏ·m, f = 2⁻ᵏ·x + (2⁻ᵏ − 1) is exact but for one rounding, and x itself for k = 0.
    pub fn log1p(&mut self, x: Val) -> Val {
        let sum = self.add_c(x, 1.0);
        let Split { exponent, mantissa } = self.split(sum);
        let offset = (self.format.bias as f64) + 2f64.powi(self.format.mantissa as i32);
        let offset = self.c(offset);
        let k = self.small_to_float(exponent, offset);
        let twice_bias = self.bits(2 * self.format.bias);
        let inverse = self.b.sub(twice_bias, exponent);
        let inverse = self.exponent_bits(inverse);
        let inverse_rest = self.add_c(inverse, -1.0);
        let small = self.mul_add(x, inverse, inverse_rest);
        // The inverse power would be denormal for the largest x, where the 1 doesn't matter.
        let large = self.add_c(mantissa, -1.0);
        let is_small = self.compare_c(Compare::Lt, x, 2f64.powi(self.format.mantissa as i32 + 8));
        let f = self.select(is_small, small, large);
        let result = self.log_sum(k, f);
        let result = self.log_special(sum, result);
        // Only −0 changes: the result has the sign of x.
        self.or_sign(result, x)
    }
}
