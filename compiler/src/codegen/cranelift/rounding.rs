//! Rounding to integers without instructions for it (x86-64 before SSE4.1).
//!
//! Adding and subtracting 2^m, m the number of mantissa bits, rounds |x| < 2^m to the nearest integer, ties to even, since the sum has no
//! bits below 1. The other roundings correct that by 1 where it went the wrong way. Larger values, infinities and NaN are left as they are; the result
//! takes the sign of x, so that zeros keep it.

use super::function::Translator;
use crate::kernel::Unary;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

impl Translator<'_, '_> {
    /// `Floor`, `Ceil`, `Trunc` or `Round` of one part or scalar of f32 or f64.
    pub fn round_part(&mut self, op: Unary, x: Value) -> Value {
        if self.machine.rounds {
            return match op {
                Unary::Floor => self.ins().floor(x),
                Unary::Ceil => self.ins().ceil(x),
                Unary::Trunc => self.ins().trunc(x),
                _ => self.ins().nearest(x),
            };
        }
        match self.builder.func.dfg.value_type(x) {
            types::F32 => self.round_scalar(op, x, types::F32X4),
            types::F64 => self.round_scalar(op, x, types::F64X2),
            _ => self.expand_rounding(op, x),
        }
    }

    /// Scalars are rounded as vectors, which have bitwise operations.
    fn round_scalar(&mut self, op: Unary, x: Value, vector: cranelift_codegen::ir::Type) -> Value {
        let x = self.ins().scalar_to_vector(vector, x);
        let rounded = self.expand_rounding(op, x);
        self.ins().extractlane(rounded, 0)
    }

    fn expand_rounding(&mut self, op: Unary, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let (mantissa_bits, sign_bit) = if ty == types::F32X4 { (23, 1 << 31) } else { (52, 1 << 63) };
        let magic = self.uniform_float(ty, 2f64.powi(mantissa_bits));
        let magnitude = self.ins().fabs(x);
        let shifted = self.ins().fadd(magnitude, magic);
        let nearest = self.ins().fsub(shifted, magic);
        let sign = self.sign_of(x, sign_bit);
        let rounded = match op {
            Unary::Trunc => self.step_back(nearest, FloatCC::GreaterThan, magnitude, -1.0),
            Unary::Floor => {
                let nearest = self.with_sign(nearest, sign);
                self.step_back(nearest, FloatCC::GreaterThan, x, -1.0)
            }
            Unary::Ceil => {
                let nearest = self.with_sign(nearest, sign);
                self.step_back(nearest, FloatCC::LessThan, x, 1.0)
            }
            _ => nearest,
        };
        let magnitude_only = self.ins().fabs(rounded);
        let signed = self.with_sign(magnitude_only, sign);
        let small = self.ins().fcmp(FloatCC::LessThan, magnitude, magic);
        self.choose(small, signed, x)
    }

    /// `rounded + step` where it lies beyond `x`.
    fn step_back(&mut self, rounded: Value, beyond: FloatCC, x: Value, step: f64) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let wrong = self.ins().fcmp(beyond, rounded, x);
        let step = self.uniform_float(ty, step);
        let correction = self.keep(wrong, step);
        self.ins().fadd(rounded, correction)
    }

    fn sign_of(&mut self, x: Value, sign_bit: u64) -> Value {
        let ints = self.builder.func.dfg.value_type(x).as_truthy();
        let bits = self.cast(x, ints);
        let mask = self.uniform(ints, sign_bit);
        self.ins().band(bits, mask)
    }

    /// A non-negative number, or one that has the sign already, with the sign bit set as in `sign`.
    fn with_sign(&mut self, x: Value, sign: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let bits = self.cast(x, ty.as_truthy());
        let signed = self.ins().bor(bits, sign);
        self.cast(signed, ty)
    }
}
