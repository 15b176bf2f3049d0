//! Rounding to integers, and to the precision of half floats.

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, KernelBuilder, Unary, Val};
use graven_ir::DType;

/// Floor, ceil, trunc or round of floats: one operation where the target has it, else 6 to 9.
pub(super) fn round(b: &mut KernelBuilder, op: Unary, x: Val) -> Val {
    match b.features().rounding {
        true => b.unary(op, x),
        false => FloatMath::of(b, x).round_by_sum(op, x),
    }
}

impl FloatMath<'_> {
    /// |x| + 2ᵐ has no bits below 1, so the sum rounds to the nearest integer; larger numbers are integers.
    fn round_by_sum(&mut self, op: Unary, x: Val) -> Val {
        let power = 2f64.powi(self.format.mantissa as i32);
        let magnitude = self.abs(x);
        let sum = self.add_c(magnitude, power);
        let nearest = self.add_c(sum, -power);
        let is_small = self.compare_c(Compare::Lt, magnitude, power);
        let nearest = self.select(is_small, nearest, magnitude);
        if op == Unary::Round {
            return self.or_sign(nearest, x);
        }
        let (one, zero) = (self.c(1.0), self.c(0.0));
        let result = match op {
            Unary::Trunc => {
                let is_above = self.b.compare(Compare::Gt, nearest, magnitude);
                let step = self.select(is_above, one, zero);
                self.sub(nearest, step)
            }
            Unary::Floor => {
                let nearest = self.or_sign(nearest, x);
                let is_above = self.b.compare(Compare::Gt, nearest, x);
                let step = self.select(is_above, one, zero);
                self.sub(nearest, step)
            }
            _ => {
                let nearest = self.or_sign(nearest, x);
                let is_below = self.b.compare(Compare::Lt, nearest, x);
                let step = self.select(is_below, one, zero);
                self.add(nearest, step)
            }
        };
        self.or_sign(result, x)
    }

    /// The f32 rounded to the precision and range of a half float, ties to even: 8 operations for bf16, 16 for f16.
    pub fn round_to_half(&mut self, to: DType, x: Val) -> Val {
        let dropped = if to == DType::BF16 { 16 } else { 13 };
        let magnitude = self.abs(x);
        let bits = self.bits_of(magnitude);
        let last = self.bits_op(Binary::ShiftRight, bits, dropped);
        let last = self.bits_op(Binary::And, last, 1);
        let bits = self.bits_op(Binary::Add, bits, (1 << (dropped - 1)) - 1);
        let bits = self.b.binary(Binary::Add, bits, last);
        let bits = self.bits_op(Binary::And, bits, -1 << dropped);
        let mut rounded = self.float_of(bits);
        if to == DType::F16 {
            // Below 2^−14 the last place is 2^−24, that of f32 numbers from 1/2 to 1.
            let sum = self.add_c(magnitude, 0.5);
            let fixed = self.add_c(sum, -0.5);
            let is_denormal = self.compare_c(Compare::Lt, magnitude, 2f64.powi(-14));
            rounded = self.select(is_denormal, fixed, rounded);
            let is_over = self.compare_c(Compare::Ge, rounded, 65536.0);
            let infinity = self.c(f64::INFINITY);
            rounded = self.select(is_over, infinity, rounded);
        }
        let rounded = self.or_sign(rounded, x);
        let is_nan = self.b.compare(Compare::Ne, x, x);
        self.select(is_nan, x, rounded)
    }

    /// An f64 as an f32 that a second rounding to fewer bits rounds right: truncated, its last bit set where something was lost (round to odd).
    pub fn single_odd(&mut self, x: Val) -> Val {
        let nearest = self.b.convert(x, DType::F32);
        let back = self.b.convert(nearest, DType::F64);
        let (magnitude, back_magnitude) = (self.abs(x), self.abs(back));
        let is_exact = self.b.compare(Compare::Eq, back, x);
        let is_nan = self.b.compare(Compare::Ne, x, x);
        let keeps = self.b.binary(Binary::Or, is_exact, is_nan);
        let is_above = self.b.compare(Compare::Gt, back_magnitude, magnitude);
        let mut single = FloatMath::of(self.b, nearest);
        let (keeps, is_above) =
            (single.b.convert_mask(keeps, single.ty), single.b.convert_mask(is_above, single.ty));
        let bits = single.bits_of(nearest);
        let below = single.bits_op(Binary::Sub, bits, 1);
        let truncated = single.select(is_above, below, bits);
        let odd = single.bits_op(Binary::Or, truncated, 1);
        let bits = single.select(keeps, bits, odd);
        single.float_of(bits)
    }
}
