//! Hyperbolic functions and their inverses.

use super::exponential::Reduced;
use super::float::FloatMath;
use crate::kernel::{Compare, Val};
use std::f64::consts::LN_2;

impl FloatMath<'_> {
    /// tanh x: 28 operations (f64: 41). A polynomial up to |x| = 0.55, then 1 − 2 ÷ (e^(2|x|) + 1). With e^(2|x|) = 2ᵏ + 2ᵏ(eʳ − 1) the denominator is rounded once.
    pub fn tanh(&mut self, x: Val) -> Val {
        let square = self.mul(x, x);
        let cube = self.mul(square, x);
        let p = self.polynomial(square, self.format.tables.tanh);
        let small = self.mul_add(p, cube, x);
        let magnitude = self.abs(x);
        let bounded = self.at_most(magnitude, self.pick(9.1, 19.1));
        let twice = self.add(bounded, bounded);
        let Reduced { k, r } = self.reduce_exp(twice, self.format.bias);
        let p = self.expm1_reduced(r);
        let scale = self.exponent_bits(k);
        let sum = self.add_c(scale, 1.0);
        let denominator = self.mul_add(p, scale, sum);
        let two = self.c(2.0);
        let quotient = self.div(two, denominator);
        let large = self.c_sub(1.0, quotient);
        let is_small = self.compare_c(Compare::Lt, magnitude, 0.55);
        let result = self.select(is_small, small, large);
        self.or_sign(result, x)
    }

    /// sinh x: 34 operations (f64: 42). A polynomial up to |x| = 1, then h − ¼ ÷ h with h = eˣ ÷ 2.
    pub fn sinh(&mut self, x: Val) -> Val {
        let square = self.mul(x, x);
        let cube = self.mul(square, x);
        let p = self.polynomial(square, self.format.tables.sinh);
        let small = self.mul_add(p, cube, x);
        let magnitude = self.abs(x);
        let half = self.exp_shifted(magnitude, -1);
        let quarter = self.c(0.25);
        let other = self.div(quarter, half);
        let large = self.sub(half, other);
        let large = self.or_sign(large, x);
        let is_small = self.compare_c(Compare::Lt, magnitude, 1.0);
        self.select(is_small, small, large)
    }

    /// cosh x = h + ¼ ÷ h with h = e^|x| ÷ 2: 21 operations (f64: 26).
    pub fn cosh(&mut self, x: Val) -> Val {
        let magnitude = self.abs(x);
        let half = self.exp_shifted(magnitude, -1);
        let quarter = self.c(0.25);
        let other = self.div(quarter, half);
        self.add(half, other)
    }

    /// asinh x = ln(1 + |x| + x² ÷ (1 + √(x² + 1))) with the sign of x: 47 operations (f64: 51). For large x, ln 2|x|.
    pub fn asinh(&mut self, x: Val) -> Val {
        let limit = 2f64.powi(self.format.mantissa as i32 / 2 + 3);
        let magnitude = self.abs(x);
        let is_large = self.compare_c(Compare::Gt, magnitude, limit);
        let square = self.mul(magnitude, magnitude);
        let root = self.add_c(square, 1.0);
        let root = self.sqrt(root);
        let denominator = self.add_c(root, 1.0);
        let quotient = self.div(square, denominator);
        let argument = self.add(magnitude, quotient);
        let less = self.add_c(magnitude, -1.0);
        let argument = self.select(is_large, less, argument);
        let result = self.log1p_plus(argument, Some(is_large));
        self.or_sign(result, x)
    }

    /// acosh x = ln(1 + t + √(2t + t²)) with t = x − 1, NaN for x < 1: 46 operations (f64: 50). For large x, ln 2x.
    pub fn acosh(&mut self, x: Val) -> Val {
        let limit = 2f64.powi(self.format.mantissa as i32 / 2 + 3);
        let is_large = self.compare_c(Compare::Gt, x, limit);
        let t = self.add_c(x, -1.0);
        let square = self.mul(t, t);
        let two = self.c(2.0);
        let radicand = self.mul_add(t, two, square);
        let root = self.sqrt(radicand);
        let argument = self.add(t, root);
        let argument = self.select(is_large, t, argument);
        // For x < −1 the radicand is positive, but t is below −1.
        let result = self.log1p_plus(argument, Some(is_large));
        let is_outside = self.compare_c(Compare::Lt, x, 1.0);
        let nan = self.c(f64::NAN);
        self.select(is_outside, nan, result)
    }

    /// atanh x = ½·ln(1 + 2|x| ÷ (1 − |x|)) with the sign of x, NaN for |x| > 1: 43 operations (f64: 47).
    pub fn atanh(&mut self, x: Val) -> Val {
        let magnitude = self.abs(x);
        let twice = self.add(magnitude, magnitude);
        let rest = self.c_sub(1.0, magnitude);
        let argument = self.div(twice, rest);
        let result = self.log1p_plus(argument, None);
        let half = self.mul_c(result, 0.5);
        self.or_sign(half, x)
    }

    /// ln(1 + x), plus ln 2 where the mask is set.
    fn log1p_plus(&mut self, x: Val, doubled: Option<Val>) -> Val {
        let log = self.log1p(x);
        let Some(mask) = doubled else { return log };
        let more = self.add_c(log, LN_2);
        self.select(mask, more, log)
    }
}
