//! Exponentials: x = k·ln 2 + r with the nearest integer k, and eˣ = 2ᵏ·eʳ (W. J. Cody and W. Waite, "Software Manual for the
//! Elementary Functions", 1980, chapter 6). k comes out of the low bits of x·log₂e + 1.5·2ᵐ, without a conversion to integers.

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Unary, Val};
use std::f64::consts::LOG2_E;

/// x = k·ln 2 + r.
pub(super) struct Reduced {
    /// An integer whose low bits are `k + offset`.
    pub k: Val,
    /// |r| ≤ ln 2 ÷ 2 and a little.
    pub r: Val,
}

impl FloatMath<'_> {
    /// 4 operations. `offset` is added to k.
    pub fn reduce_exp(&mut self, x: Val, offset: i64) -> Reduced {
        let magic = self.format.round_magic() + offset as f64;
        let ln2 = self.format.tables.ln2;
        let log2e = self.c(LOG2_E);
        let sum = self.mul_add_c(x, log2e, magic);
        let k = self.add_c(sum, -magic);
        let r = self.mul_c_add(k, -ln2[0], x);
        let r = self.mul_c_add(k, -ln2[1], r);
        Reduced { k: self.bits_of(sum), r }
    }

    /// eʳ for a reduced r: 6 operations (f64: 11).
    pub fn exp_reduced(&mut self, r: Val) -> Val {
        let p = self.polynomial(r, self.format.tables.exp);
        let p = self.mul_add_c(p, r, 1.0);
        self.mul_add_c(p, r, 1.0)
    }

    /// eʳ − 1 for a reduced r: 6 operations (f64: 11).
    pub fn expm1_reduced(&mut self, r: Val) -> Val {
        let p = self.polynomial(r, self.format.tables.exp);
        let square = self.mul(r, r);
        self.mul_add(square, p, r)
    }

    /// 2ˢʰⁱᶠᵗ·eˣ where |shift| is small: 18 operations (f64: 23). The power of two is applied as two factors, so that denormal results
    /// and those near the largest number are rounded once.
    pub fn exp_shifted(&mut self, x: Val, shift: i64) -> Val {
        self.exp_extended(x, None, shift)
    }

    /// 2ˢʰⁱᶠᵗ·e^(x + low) for a small `low`.
    pub fn exp_extended(&mut self, x: Val, low: Option<Val>, shift: i64) -> Val {
        // e^low is below half of the smallest number, e^high above the largest, and a little more for the shift.
        let x = self.at_most(x, self.pick(91.0, 712.0));
        let x = self.at_least(x, self.pick(-106.0, -748.0));
        let offset = 2 * self.format.bias + shift;
        let Reduced { k, mut r } = self.reduce_exp(x, offset);
        if let Some(low) = low {
            r = self.add(r, low);
        }
        let p = self.exp_reduced(r);
        let half = self.bits_op(Binary::ShiftRight, k, 1);
        let other = self.b.sub(k, half);
        let (first, second) = (self.exponent_bits(half), self.exponent_bits(other));
        let scaled = self.mul(p, first);
        self.mul(scaled, second)
    }

    /// eˣ: 18 operations (f64: 23).
    pub fn exp(&mut self, x: Val) -> Val {
        self.exp_shifted(x, 0)
    }

    /// eˣ for x ≤ 0, where results below 2⁻¹²⁵ (f64: 2⁻¹⁰²¹) are 0: 15 operations (f64: 20). So no denormal number arises, on which many CPUs spend a hundred
    /// cycles. Positive x up to 20 give right results too.
    pub fn exp_nonpositive(&mut self, x: Val) -> Val {
        let lowest = (2.0 - self.format.bias as f64) * std::f64::consts::LN_2;
        let bounded = self.at_least(x, lowest);
        let Reduced { k, r } = self.reduce_exp(bounded, self.format.bias);
        let p = self.exp_reduced(r);
        let scale = self.exponent_bits(k);
        let scaled = self.mul(p, scale);
        let is_below = self.compare_c(Compare::Lt, x, lowest);
        let zero = self.c(0.0);
        self.select(is_below, zero, scaled)
    }

    /// eˣ − 1: 19 operations (f64: 24). With s = 2ᵏ⁻¹ it is 2·(s·(eʳ − 1) + (s − ½)), which also holds for k = 128 (1024).
    pub fn expm1(&mut self, x: Val) -> Val {
        let bounded = self.at_most(x, self.pick(89.0, 710.0));
        let bounded = self.at_least(bounded, self.pick(-18.0, -38.0));
        let Reduced { k, r } = self.reduce_exp(bounded, self.format.bias - 1);
        let p = self.expm1_reduced(r);
        let scale = self.exponent_bits(k);
        let rest = self.add_c(scale, -0.5);
        let half = self.mul_add(p, scale, rest);
        let result = self.add(half, half);
        self.or_sign(result, x)
    }

    /// 1 ÷ (1 + e⁻ˣ): 18 operations (f64: 23). Numerator and denominator are scaled by 2^−c, so that e⁻ˣ = 2ᵏ + 2ᵏ(eʳ − 1) doesn't overflow, and a denormal result is
    /// rounded once, by the division.
    pub fn sigmoid(&mut self, x: Val) -> Val {
        let c = self.pick(40.0, 100.0);
        let negative = self.b.unary(Unary::Neg, x);
        // Beyond, the result is 1, or less than half of the smallest number.
        let bounded = self.at_least(negative, self.pick(-18.0, -38.0));
        let bounded = self.at_most(bounded, self.pick(105.0, 747.0));
        let Reduced { k, r } = self.reduce_exp(bounded, self.format.bias - c as i64);
        let p = self.expm1_reduced(r);
        let (one, scale) = (self.c((-c).exp2()), self.exponent_bits(k));
        // 2ᵏ is added last: added to 1 first, it would be rounded too.
        let rest = self.mul_add(p, scale, one);
        let denominator = self.add(scale, rest);
        self.div(one, denominator)
    }
}
