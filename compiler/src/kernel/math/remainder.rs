//! Exact remainders of floats: long division of the mantissas, one bit per trip, as many trips as the largest difference of exponents in the lanes.

use super::float::FloatMath;
use crate::kernel::{Binary, Compare, Horizontal, Type, Val};
use graven_ir::{DType, Dim};

/// A magnitude as mantissa · 2^(exponent − …), mantissa with its leading bit.
struct Unpacked {
    mantissa: Val,
    exponent: Val,
}

impl FloatMath<'_> {
    fn signed_type(&self) -> Type {
        Type::vector(if self.is_double() { DType::I64 } else { DType::I32 }, self.ty.lanes)
    }

    fn signed(&mut self, value: i64) -> Val {
        let ty = self.signed_type();
        self.b.int(value, ty)
    }

    /// Signed integers; denormals get exponents below 1.
    fn unpack(&mut self, magnitude: Val) -> Unpacked {
        let mantissa = i64::from(self.format.mantissa);
        let scale = mantissa + 1;
        let is_denormal = self.compare_c(Compare::Lt, magnitude, 2f64.powi(1 - self.format.bias as i32));
        let scaled = self.mul_c(magnitude, 2f64.powi(scale as i32));
        let normal = self.select(is_denormal, scaled, magnitude);
        let dtype = self.signed_type().dtype().unwrap_or(DType::I32);
        let bits = self.b.bitcast(normal, dtype);
        let (width, ones) = (self.signed(mantissa), self.signed((1 << mantissa) - 1));
        let (hidden, zero, scale) = (self.signed(1 << mantissa), self.signed(0), self.signed(scale));
        let exponent = self.b.binary(Binary::ShiftRight, bits, width);
        let less = self.select(is_denormal, scale, zero);
        let exponent = self.b.sub(exponent, less);
        let stored = self.b.binary(Binary::And, bits, ones);
        Unpacked { mantissa: self.b.binary(Binary::Or, stored, hidden), exponent }
    }

    /// x − y·trunc(x ÷ y), exactly; the sign of x; NaN for y = 0 or infinite x. 6 operations per bit of the quotient, and about 55.
    pub fn rem(&mut self, x: Val, y: Val) -> Val {
        let (magnitude, divisor) = (self.abs(x), self.abs(y));
        let is_finite = self.compare_c(Compare::Lt, magnitude, f64::INFINITY);
        let is_divisor = self.compare_c(Compare::Gt, divisor, 0.0);
        let is_valid = self.b.binary(Binary::And, is_finite, is_divisor);
        let reaches = self.b.compare(Compare::Ge, magnitude, divisor);
        let divides = self.b.binary(Binary::And, is_valid, reaches);
        let (a, d) = (self.unpack(magnitude), self.unpack(divisor));
        let difference = self.b.sub(a.exponent, d.exponent);
        let zero = self.signed(0);
        let steps = self.select(divides, difference, zero);
        let left = self.long_division(a.mantissa, d.mantissa, steps);
        let result = self.pack(left, d.exponent);
        let result = self.select(divides, result, magnitude);
        let result = self.or_sign(result, x);
        let nan = self.c(f64::NAN);
        self.select(is_valid, result, nan)
    }

    /// `mantissa`·2^steps modulo `divisor`.
    fn long_division(&mut self, mantissa: Val, divisor: Val, steps: Val) -> Val {
        let most = self.b.horizontal(Horizontal::Max, steps);
        let most = self.b.convert(most, DType::I64);
        let highest = 2 * self.format.bias + i64::from(self.format.mantissa);
        let trips = Dim::from(self.b.data_symbol(most, 0, highest));
        let nest = self.b.open_loop((&Dim::ZERO, &trips, 1), &[mantissa, steps]);
        let (rest, left) = match nest.params[..] {
            [rest, left] => (rest, left),
            _ => (mantissa, steps),
        };
        let (zero, one) = (self.signed(0), self.signed(1));
        let reduced = self.reduce_once(rest, divisor);
        let doubled = self.b.add(reduced, reduced);
        let is_active = self.b.compare(Compare::Gt, left, zero);
        let next = self.select(is_active, doubled, rest);
        let fewer = self.b.sub(left, one);
        let after = self.b.close_loop(nest, vec![next, fewer]);
        let rest = after.first().copied().unwrap_or(mantissa);
        self.reduce_once(rest, divisor)
    }

    /// x − y where that isn't negative, else x.
    fn reduce_once(&mut self, x: Val, y: Val) -> Val {
        let difference = self.b.sub(x, y);
        let zero = self.signed(0);
        let is_below = self.b.compare(Compare::Lt, difference, zero);
        self.select(is_below, x, difference)
    }

    /// An integer of one bit more than the mantissa field, at a divisor's exponent. The result is a float, so nothing is rounded.
    fn pack(&mut self, integer: Val, exponent: Val) -> Val {
        let dtype = self.bits_type().dtype().unwrap_or(DType::U32);
        let (integer, exponent) = (self.b.bitcast(integer, dtype), self.b.bitcast(exponent, dtype));
        let less = self.c(2f64.powi(self.format.mantissa as i32));
        let upper = self.bits_op(Binary::ShiftRight, integer, 1);
        let last = self.bits_op(Binary::And, integer, 1);
        let (upper, last) = (self.small_to_float(upper, less), self.small_to_float(last, less));
        let value = self.add(upper, upper);
        let value = self.add(value, last);
        // The power of two as two factors, both of them normal.
        let total = self.bits_op(Binary::Add, exponent, self.format.bias - i64::from(self.format.mantissa));
        let half = self.bits_op(Binary::ShiftRight, total, 1);
        let other = self.b.sub(total, half);
        let (first, second) = (self.exponent_bits(half), self.exponent_bits(other));
        let value = self.mul(value, first);
        self.mul(value, second)
    }

    /// x − y·floor(x ÷ y): the remainder moved to the sign of y, a zero too.
    pub fn floor_mod(&mut self, x: Val, y: Val) -> Val {
        let remainder = self.rem(x, y);
        let is_zero = self.compare_c(Compare::Eq, remainder, 0.0);
        let (sign, y_sign) = (self.sign_bits(remainder), self.sign_bits(y));
        let differs = self.b.compare(Compare::Ne, sign, y_sign);
        let moved = self.add(remainder, y);
        let result = self.select(differs, moved, remainder);
        let zero = self.float_of(y_sign);
        self.select(is_zero, zero, result)
    }
}
