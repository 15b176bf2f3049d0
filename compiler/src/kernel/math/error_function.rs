//! The error function.

use super::float::FloatMath;
use crate::kernel::{Compare, Val};

impl FloatMath<'_> {
    /// erf x: 30 operations (f64: 54). x + x·P(x²) up to 15/16 (f64: 1), then 1 − 2^Q(|x|), where Q is a polynomial for log₂(1 − erf |x|).
    pub fn erf(&mut self, x: Val) -> Val {
        let (boundary, last) = (self.pick(0.9375, 1.0), self.pick(3.95, 6.0));
        let square = self.mul(x, x);
        let p = self.polynomial(square, self.format.tables.erf);
        let small = self.mul_add(p, x, x);
        let magnitude = self.abs(x);
        let bounded = self.at_most(magnitude, last);
        let power = self.polynomial(bounded, self.format.tables.erfc);
        let magic = self.format.round_magic() + self.format.bias as f64;
        let sum = self.add_c(power, magic);
        let k = self.add_c(sum, -magic);
        let r = self.sub(power, k);
        let p = self.polynomial(r, self.format.tables.exp2);
        let p = self.mul_add_c(p, r, 1.0);
        let bits = self.bits_of(sum);
        let scale = self.exponent_bits(bits);
        let complement = self.mul(p, scale);
        let large = self.c_sub(1.0, complement);
        let large = self.or_sign(large, x);
        let is_small = self.compare_c(Compare::Lt, magnitude, boundary);
        self.select(is_small, small, large)
    }
}
