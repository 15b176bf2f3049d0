//! Sine, cosine and tangent: x = n·π/2 + r with the nearest integer n; r by subtracting n·π/2 in parts (Cody and Waite), and for large x by
//! the bits of 2/π (`reduction.rs`).

use super::float::FloatMath;
use super::power::Pair;
use crate::kernel::{Binary, Compare, Val};
use std::f64::consts::FRAC_2_PI;

/// x = n·π/2 + r.
pub(super) struct Quadrant {
    /// An integer whose lowest two bits are those of n.
    pub n: Val,
    /// |r| ≤ π/4 and a little.
    pub r: Val,
    /// What r lost by rounding.
    pub low: Val,
}

impl FloatMath<'_> {
    /// The largest |x| that the fast reduction takes: n has 13 bits (f64: 23).
    fn fast_limit(&self) -> f64 {
        self.pick(8192.0, 8388608.0)
    }

    /// 5 operations with fma, 12 (f64: 10) without, and 3 to find that no lane is large; 2 more (7 without fma) for `low`, what r lost by rounding.
    fn reduce_circle(&mut self, x: Val, wants_low: bool) -> Quadrant {
        let magic = self.format.round_magic();
        let factor = self.c(FRAC_2_PI);
        let sum = self.mul_add_c(x, factor, magic);
        let n = self.add_c(sum, -magic);
        let (r, low) = self.subtract_quarters(x, n, wants_low);
        let n = self.bits_of(sum);
        let magnitude = self.abs(x);
        let is_large = self.compare_c(Compare::Gt, magnitude, self.fast_limit());
        let any = self.b.any(is_large);
        self.b.open_block();
        let large = self.reduce_large(x);
        let yields = vec![
            self.select(is_large, large.n, n),
            self.select(is_large, large.r, r),
            self.select(is_large, large.low, low),
        ];
        let then = self.b.close_block(yields);
        self.b.open_block();
        let otherwise = self.b.close_block(vec![n, r, low]);
        match self.b.branch(any, then, otherwise)[..] {
            [n, r, low] => Quadrant { n, r, low },
            _ => Quadrant { n, r, low },
        }
    }

    /// x − n·π/2, and what its rounding lost, if wanted.
    fn subtract_quarters(&mut self, x: Val, n: Val, wants_low: bool) -> (Val, Val) {
        let tables = &self.format.tables;
        // The differences with the first parts are exact; with fma the products need not be.
        let (parts, exact) = match self.b.features().fma {
            true => (tables.half_pi, 1),
            false => (tables.half_pi_short, tables.half_pi_short.len() - 3),
        };
        let (exact, inexact) = parts.split_at(exact);
        let near = exact.iter().fold(x, |r, part| self.mul_c_add(n, -part, r));
        if !wants_low {
            let r = inexact.iter().fold(near, |r, part| self.mul_c_add(n, -part, r));
            return (r, self.c(0.0));
        }
        let (first, rest) = inexact.split_first().unwrap_or((&0.0, &[]));
        let r = self.mul_c_add(n, -first, near);
        let lost = self.sub(near, r);
        let lost = self.mul_c_add(n, -first, lost);
        let low = rest.iter().fold(lost, |low, part| self.mul_c_add(n, -part, low));
        if self.b.features().fma {
            return (r, low);
        }
        // Without fma the last parts are too large to stay apart. The sum has the sign of r, −0 too.
        let Pair { high, low } = self.quick_sum(r, low);
        (self.or_sign(high, r), low)
    }

    /// sin r and cos r for a reduced r: 13 operations (f64: 19).
    fn sin_cos_reduced(&mut self, r: Val) -> (Val, Val) {
        let z = self.mul(r, r);
        let p = self.polynomial(z, self.format.tables.sin);
        let cube = self.mul(z, r);
        let sin = self.mul_add(p, cube, r);
        // Only −0 changes.
        let sin = self.or_sign(sin, r);
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
        let Quadrant { n, r, .. } = self.reduce_circle(x, false);
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

    /// sin x: 28 operations with fma, 42 without, and a branch.
    pub fn sin(&mut self, x: Val) -> Val {
        self.sin_shifted(x, 0)
    }

    /// cos x: 29 operations with fma, 43 without, and a branch.
    pub fn cos(&mut self, x: Val) -> Val {
        self.sin_shifted(x, 1)
    }

    /// tan x = tan r, or −1 ÷ tan r for odd n: 30 operations with fma, 49 without (f64: 38 and 64), and a branch.
    pub fn tan(&mut self, x: Val) -> Val {
        let Quadrant { n, r, low } = self.reduce_circle(x, true);
        let z = self.mul(r, r);
        let p = self.polynomial(z, self.format.tables.tan);
        let cube = self.mul(z, r);
        let tail = self.mul_add(p, cube, low);
        // The low part counts for tan'(r) = 1 + tan²(r) ≈ 1 + z.
        let tail = self.mul_add(low, z, tail);
        let tan = self.add(r, tail);
        let tan = self.or_sign(tan, r);
        let is_odd = self.is_odd(n);
        let (one, minus_one) = (self.c(1.0), self.c(-1.0));
        let numerator = self.select(is_odd, minus_one, tan);
        let denominator = self.select(is_odd, tan, one);
        self.div(numerator, denominator)
    }
}
