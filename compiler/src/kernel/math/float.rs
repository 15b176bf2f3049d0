//! A float format with the short names that formulas are written in.

use super::coefficients::{self, Coefficients};
use crate::kernel::{Binary, Compare, KernelBuilder, Type, Unary, Val};
use graven_ir::DType;

/// What the functions need to know about f32 or f64.
pub(super) struct Format {
    /// Bits of a number.
    pub width: u32,
    /// Stored bits of the mantissa.
    pub mantissa: u32,
    /// Exponent field of 1.
    pub bias: i64,
    /// Bits of √½.
    pub sqrt_half: i64,
    /// Polynomials and constants.
    pub tables: Coefficients,
}

static F32: Format = Format {
    width: 32,
    mantissa: 23,
    bias: 127,
    sqrt_half: std::f32::consts::FRAC_1_SQRT_2.to_bits() as i64,
    tables: coefficients::F32,
};
static F64: Format = Format {
    width: 64,
    mantissa: 52,
    bias: 1023,
    sqrt_half: std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64,
    tables: coefficients::F64,
};

impl Format {
    /// Bits of 1.
    pub const fn one(&self) -> i64 {
        self.bias << self.mantissa
    }

    /// The sign bit.
    pub const fn sign(&self) -> i64 {
        1 << (self.width - 1)
    }

    /// 1.5 · 2ᵐᵃⁿᵗⁱˢˢᵃ: added to a small number, it leaves the nearest integer in the low bits of the sum.
    pub fn round_magic(&self) -> f64 {
        1.5 * 2f64.powi(self.mantissa as i32)
    }
}

/// Emits formulas over values of one float type.
pub(super) struct FloatMath<'b> {
    pub b: &'b mut KernelBuilder,
    /// f32 or f64, in any number of lanes.
    pub ty: Type,
    pub format: &'static Format,
}

impl<'b> FloatMath<'b> {
    /// For values of the type of `x`, which is f32 or f64.
    pub fn of(b: &'b mut KernelBuilder, x: Val) -> FloatMath<'b> {
        let ty = b.ty(x);
        let format = match ty.dtype() {
            Some(DType::F64) => &F64,
            _ => &F32,
        };
        FloatMath { b, ty, format }
    }

    /// Whether the format is f64.
    pub fn is_double(&self) -> bool {
        self.format.width == 64
    }

    /// By format.
    pub fn pick(&self, single: f64, double: f64) -> f64 {
        if self.is_double() { double } else { single }
    }

    /// Unsigned integers of the same width.
    pub fn bits_type(&self) -> Type {
        Type::vector(if self.is_double() { DType::U64 } else { DType::U32 }, self.ty.lanes)
    }

    /// A float constant.
    pub fn c(&mut self, value: f64) -> Val {
        let ty = self.ty;
        self.b.float(value, ty)
    }

    /// A constant of [`FloatMath::bits_type`].
    pub fn bits(&mut self, value: i64) -> Val {
        let ty = self.bits_type();
        self.b.int(value, ty)
    }

    pub fn add(&mut self, x: Val, y: Val) -> Val {
        self.b.add(x, y)
    }

    pub fn sub(&mut self, x: Val, y: Val) -> Val {
        self.b.sub(x, y)
    }

    pub fn mul(&mut self, x: Val, y: Val) -> Val {
        self.b.mul(x, y)
    }

    pub fn div(&mut self, x: Val, y: Val) -> Val {
        self.b.binary(Binary::Div, x, y)
    }

    /// x + c.
    pub fn add_c(&mut self, x: Val, c: f64) -> Val {
        let c = self.c(c);
        self.add(x, c)
    }

    /// c − x.
    pub fn c_sub(&mut self, c: f64, x: Val) -> Val {
        let c = self.c(c);
        self.sub(c, x)
    }

    /// x · c.
    pub fn mul_c(&mut self, x: Val, c: f64) -> Val {
        let c = self.c(c);
        self.mul(x, c)
    }

    /// x·y + z.
    pub fn mul_add(&mut self, x: Val, y: Val, z: Val) -> Val {
        self.b.mul_add(x, y, z)
    }

    /// x·c + z.
    pub fn mul_c_add(&mut self, x: Val, c: f64, z: Val) -> Val {
        let c = self.c(c);
        self.mul_add(x, c, z)
    }

    /// x·y + c.
    pub fn mul_add_c(&mut self, x: Val, y: Val, c: f64) -> Val {
        let c = self.c(c);
        self.mul_add(x, y, c)
    }

    pub fn sqrt(&mut self, x: Val) -> Val {
        self.b.unary(Unary::Sqrt, x)
    }

    pub fn abs(&mut self, x: Val) -> Val {
        self.b.unary(Unary::Abs, x)
    }

    /// The larger of x and c; NaN stays.
    pub fn at_least(&mut self, x: Val, c: f64) -> Val {
        let c = self.c(c);
        self.b.binary(Binary::Max, c, x)
    }

    /// The smaller of x and c; NaN stays.
    pub fn at_most(&mut self, x: Val, c: f64) -> Val {
        let c = self.c(c);
        self.b.binary(Binary::Min, c, x)
    }

    /// x `op` c.
    pub fn compare_c(&mut self, op: Compare, x: Val, c: f64) -> Val {
        let c = self.c(c);
        self.b.compare(op, x, c)
    }

    pub fn select(&mut self, mask: Val, x: Val, y: Val) -> Val {
        self.b.select(mask, x, y)
    }

    /// Σ c\[i\]·xⁱ by Horner's rule: c.len() − 1 multiply-adds.
    pub fn polynomial(&mut self, x: Val, c: &[f64]) -> Val {
        let (last, rest) = c.split_last().unwrap_or((&0.0, &[]));
        let mut sum = self.c(*last);
        for c in rest.iter().rev() {
            sum = self.mul_add_c(sum, x, *c);
        }
        sum
    }

    pub fn bits_of(&mut self, x: Val) -> Val {
        let dtype = self.bits_type().dtype().unwrap_or(DType::U32);
        self.b.bitcast(x, dtype)
    }

    pub fn float_of(&mut self, bits: Val) -> Val {
        let dtype = self.ty.dtype().unwrap_or(DType::F32);
        self.b.bitcast(bits, dtype)
    }

    /// `x op c` on [`FloatMath::bits_type`].
    pub fn bits_op(&mut self, op: Binary, x: Val, c: i64) -> Val {
        let c = self.bits(c);
        self.b.binary(op, x, c)
    }

    /// The low bits of an integer moved to the exponent field: as a number 2ⁿ⁻ᵇⁱᵃˢ.
    pub fn exponent_bits(&mut self, n: Val) -> Val {
        let mantissa = self.format.mantissa.into();
        let bits = self.bits_op(Binary::ShiftLeft, n, mantissa);
        self.float_of(bits)
    }

    /// The sign bit of x, and zeros.
    pub fn sign_bits(&mut self, x: Val) -> Val {
        let bits = self.bits_of(x);
        let sign = self.format.sign();
        self.bits_op(Binary::And, bits, sign)
    }

    /// x with its sign set where that of `sign` is: |x|'s sign becomes that of `sign`.
    pub fn or_sign(&mut self, x: Val, sign: Val) -> Val {
        let sign = self.sign_bits(sign);
        let bits = self.bits_of(x);
        let bits = self.b.binary(Binary::Or, bits, sign);
        self.float_of(bits)
    }

    /// x with its sign flipped where the bits are set.
    pub fn xor_bits(&mut self, x: Val, bits: Val) -> Val {
        let x = self.bits_of(x);
        let bits = self.b.binary(Binary::Xor, x, bits);
        self.float_of(bits)
    }
}
