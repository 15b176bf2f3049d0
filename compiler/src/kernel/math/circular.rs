//! Sine, cosine and tangent: x = n·π/2 + r with the nearest integer n; r by subtracting n·π/2 in parts (Cody and Waite), and for large x by
//! the bits of 2/π (`reduction.rs`).

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Val};
use std::f64::consts::FRAC_2_PI;

/// x = n·π/2 + r.
pub(super) struct Quadrant {
    /// An integer whose lowest two bits are those of n.
    pub n: Val,
    /// |r| ≤ π/4 and a little.
    pub r: Val,
}

impl FloatMath<'_> {
    /// The largest |x| that the fast reduction takes: n has 13 bits (f64: 23).
    fn fast_limit(&self) -> f64 {
        self.pick(8192.0, 8388608.0)
    }

    /// 5 operations with fma, 12 (f64: 10) without, and 3 to find that no lane is large.
    fn reduce_circle(&mut self, x: Val) -> Quadrant {
        let magic = self.format.round_magic();
        let tables = &self.format.tables;
        // With fma the products need not be exact.
        let parts = if self.b.features().fma { tables.half_pi } else { tables.half_pi_short };
        let factor = self.c(FRAC_2_PI);
        let sum = self.mul_add_c(x, factor, magic);
        let n = self.add_c(sum, -magic);
        let r = parts.iter().fold(x, |r, part| self.mul_c_add(n, -part, r));
        let n = self.to_bits(sum);
        let magnitude = self.abs(x);
        let is_large = self.compare_c(Compare::Gt, magnitude, self.fast_limit());
        let any = self.b.any(is_large);
        self.b.open_block();
        let large = self.reduce_large(x);
        let yields = vec![self.select(is_large, large.n, n), self.select(is_large, large.r, r)];
        let then = self.b.close_block(yields);
        self.b.open_block();
        let otherwise = self.b.close_block(vec![n, r]);
        match self.b.branch(any, then, otherwise)[..] {
            [n, r] => Quadrant { n, r },
            _ => Quadrant { n, r },
        }
    }

    /// sin r and cos r for a reduced r: 11 operations (f64: 17).
    fn sin_cos_reduced(&mut self, r: Val) -> (Val, Val) {
        let z = self.mul(r, r);
        let p = self.polynomial(z, self.format.tables.sin);
        let cube = self.mul(z, r);
        let sin = self.mul_add(p, cube, r);
        let p = self.polynomial(z, self.format.tables.cos);
        let square = self.mul(z, z);
        let half = self.c(-0.5);
        let head = self.mul_add_c(z, half, 1.0);
        let cos = self.mul_add(p, square, head);
        (sin, cos)
    }

    /// Whether n is odd.
    fn is_odd(&mut self, n: Val) -> Val {
        let low = self.bits_op(Binary::And, n, 1);
        let zero = self.bits(0);
        self.b.compare(Compare::Ne, low, zero)
    }

    /// The given bit of n, moved to the sign bit.
    fn sign_of_bit(&mut self, n: Val, bit: u32) -> Val {
        let distance = i64::from(self.format.width - 1 - bit);
        let moved = self.bits_op(Binary::ShiftLeft, n, distance);
        let sign = self.format.sign();
        self.bits_op(Binary::And, moved, sign)
    }

    /// sin(x + quarters·π/2).
    fn sin_shifted(&mut self, x: Val, quarters: i64) -> Val {
        let Quadrant { n, r } = self.reduce_circle(x);
        let n = match quarters {
            0 => n,
            _ => self.bits_op(Binary::Add, n, quarters),
        };
        let (sin, cos) = self.sin_cos_reduced(r);
        let is_odd = self.is_odd(n);
        let value = self.select(is_odd, cos, sin);
        let sign = self.sign_of_bit(n, 1);
        self.xor_bits(value, sign)
    }

    /// sin x: 26 operations with fma, 33 without, and a branch.
    pub fn sin(&mut self, x: Val) -> Val {
        self.sin_shifted(x, 0)
    }

    /// cos x: 27 operations with fma, 34 without, and a branch.
    pub fn cos(&mut self, x: Val) -> Val {
        self.sin_shifted(x, 1)
    }

    /// tan x = ±(sin r ÷ cos r)^±1: 28 operations with fma, 35 without, and a branch.
    pub fn tan(&mut self, x: Val) -> Val {
        let Quadrant { n, r } = self.reduce_circle(x);
        let (sin, cos) = self.sin_cos_reduced(r);
        let is_odd = self.is_odd(n);
        let numerator = self.select(is_odd, cos, sin);
        let denominator = self.select(is_odd, sin, cos);
        let quotient = self.div(numerator, denominator);
        let sign = self.sign_of_bit(n, 0);
        self.xor_bits(quotient, sign)
    }
}
