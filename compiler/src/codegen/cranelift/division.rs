//! Multiplication and division of indices by constants.
//!
//! Index arithmetic is `i64` with constant factors and divisors nearly always. Nothing after this backend's translation would replace a division instruction, so
//! it is done here. Division by other than powers of two multiplies by a rounded reciprocal (Granlund and Montgomery, "Division by invariant integers using
//! multiplication", 1994, figure 5.2).

use super::function::Translator;
use crate::kernel::Binary;
use cranelift_codegen::ir::{InstBuilder, Value};

impl Translator<'_, '_> {
    /// `x` times, by or modulo a constant ≥ 1, for `i64` scalars; `None` for other operations and constants.
    pub fn index_arithmetic(&mut self, op: Binary, x: Value, constant: i64) -> Option<Value> {
        if constant < 1 {
            return None;
        }
        let power = constant.count_ones() == 1;
        match op {
            Binary::Mul if power => Some(self.ins().ishl_imm_u(x, i64::from(constant.trailing_zeros()))),
            Binary::Div => Some(self.quotient(x, constant)),
            Binary::Rem => {
                let quotient = self.quotient(x, constant);
                let multiple = match power {
                    true => self.ins().ishl_imm_u(quotient, i64::from(constant.trailing_zeros())),
                    false => self.ins().imul_imm_s(quotient, constant),
                };
                Some(self.ins().isub(x, multiple))
            }
            _ => None,
        }
    }

    /// x ÷ divisor, truncated.
    fn quotient(&mut self, x: Value, divisor: i64) -> Value {
        if divisor == 1 {
            return x;
        }
        if let Some(known) = self.known_quotient(x, divisor) {
            return known;
        }
        let sign = self.ins().sshr_imm_u(x, 63);
        let quotient = if divisor.count_ones() == 1 {
            // Negative numbers are moved up by divisor − 1, so that the shift rounds to zero.
            let bits = divisor.trailing_zeros();
            let correction = self.ins().ushr_imm_u(sign, i64::from(64 - bits));
            let moved = self.ins().iadd(x, correction);
            self.ins().sshr_imm_u(moved, i64::from(bits))
        } else {
            let (multiplier, shift) = reciprocal(divisor);
            let multiplier = self.int(multiplier);
            let high = self.ins().smulhi(x, multiplier);
            let sum = self.ins().iadd(high, x);
            let shifted = self.ins().sshr_imm_u(sum, shift);
            self.ins().isub(shifted, sign)
        };
        self.note_quotient(x, divisor, quotient);
        quotient
    }
}

/// m − 2⁶⁴ and l − 1 with l = ⌈log₂ d⌉ and m = ⌊2⁶⁴⁺ˡ⁻¹ ÷ d⌋ + 1.
fn reciprocal(divisor: i64) -> (i64, i64) {
    let ceil_log2 = 64 - (divisor - 1).leading_zeros();
    let multiplier = (1u128 << (63 + ceil_log2)) / divisor.unsigned_abs() as u128 + 1;
    (multiplier as u64 as i64, i64::from(ceil_log2) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reciprocals_divide() {
        let dividends = [0, 1, 2, 6, 7, 8, 1 << 20, (1 << 40) + 12345, i64::MAX, i64::MAX - 1, i64::MIN];
        for divisor in [3, 5, 6, 7, 9, 10, 100, 224, 1000, 3 << 30, i64::MAX, i64::MAX - 6] {
            let (multiplier, shift) = reciprocal(divisor);
            for x in dividends.iter().flat_map(|x: &i64| [*x, x.wrapping_neg()]) {
                let high = ((x as i128 * multiplier as i128) >> 64) as i64;
                let quotient = (x.wrapping_add(high) >> shift) - (x >> 63);
                assert_eq!(quotient, x / divisor, "{x} / {divisor}");
            }
        }
    }
}
