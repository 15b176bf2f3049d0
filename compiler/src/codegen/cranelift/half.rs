//! f16 and bf16 in integer and f32 arithmetic.
//!
//! Vectors of halves are held in 32-bit lanes: as f32, or as their 16 bits zero-extended. Each function works on one part, or on a scalar of the same
//! lanes where the target has no vectors. The conversions are exact or round to nearest even; the quiet bit and the sign of NaN are kept.

use super::function::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use graven_ir::DType;

/// The integers of 32 bits with the lanes of `ty`.
fn ints(ty: Type) -> Type {
    if ty.is_vector() { types::I32X4 } else { types::I32 }
}

fn floats(ty: Type) -> Type {
    if ty.is_vector() { types::F32X4 } else { types::F32 }
}

impl Translator<'_, '_> {
    /// Zero-extended halves as f32.
    pub fn half_to_f32(&mut self, bits: Value, dtype: DType) -> Value {
        let ty = self.builder.func.dfg.value_type(bits);
        if dtype == DType::BF16 {
            let wide = self.shift_left(bits, 16);
            return self.cast(wide, floats(ty));
        }
        let magnitude_mask = self.uniform(ty, 0x7fff);
        let magnitude = self.ins().band(bits, magnitude_mask);
        let sign = self.ins().bxor(bits, magnitude);
        let sign = self.shift_left(sign, 16);
        let aligned = self.shift_left(magnitude, 13);
        // Normal numbers: the exponent's bias grows by 127 − 15.
        let bias = self.uniform(ty, 112 << 23);
        let normal = self.ins().iadd(aligned, bias);
        // Infinities and NaN: the exponent goes on to 255.
        let special = self.ins().iadd(normal, bias);
        // Subnormal numbers: 2⁻¹⁴ + x as a normal number, minus 2⁻¹⁴.
        let one = self.uniform(ty, 113 << 23);
        let offset = self.ins().iadd(aligned, one);
        let (offset, least) = (self.cast(offset, floats(ty)), self.uniform_float(floats(ty), 2f64.powi(-14)));
        let subnormal = self.ins().fsub(offset, least);
        let subnormal = self.cast(subnormal, ty);
        let first_normal = self.uniform(ty, 0x0400);
        let first_special = self.uniform(ty, 0x7c00);
        let is_subnormal = self.ins().icmp(IntCC::SignedLessThan, magnitude, first_normal);
        let is_finite = self.ins().icmp(IntCC::SignedLessThan, magnitude, first_special);
        let finite = self.choose(is_subnormal, subnormal, normal);
        let result = self.choose(is_finite, finite, special);
        let signed = self.ins().bor(result, sign);
        self.cast(signed, floats(ty))
    }

    /// f32 rounded to halves, zero-extended.
    pub fn f32_to_half(&mut self, x: Value, dtype: DType) -> Value {
        let ty = ints(self.builder.func.dfg.value_type(x));
        let bits = self.cast(x, ty);
        match dtype {
            DType::BF16 => self.f32_to_bf16(bits, ty),
            _ => self.f32_to_f16(bits, ty),
        }
    }

    /// The upper half; half a unit minus the parity of the last bit kept rounds to nearest even.
    fn f32_to_bf16(&mut self, bits: Value, ty: Type) -> Value {
        let magnitude_mask = self.uniform(ty, 0x7fff_ffff);
        let magnitude = self.ins().band(bits, magnitude_mask);
        let upper = self.shift_right(bits, 16);
        let one = self.uniform(ty, 1);
        let parity = self.ins().band(upper, one);
        let almost_half = self.uniform(ty, 0x7fff);
        let up = self.ins().iadd(bits, almost_half);
        let up = self.ins().iadd(up, parity);
        let rounded = self.shift_right(up, 16);
        let quiet_bit = self.uniform(ty, 0x40);
        let quiet = self.ins().bor(upper, quiet_bit);
        let infinity = self.uniform(ty, 0x7f80_0000);
        let is_nan = self.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        self.choose(is_nan, quiet, rounded)
    }

    fn f32_to_f16(&mut self, bits: Value, ty: Type) -> Value {
        let magnitude_mask = self.uniform(ty, 0x7fff_ffff);
        let magnitude = self.ins().band(bits, magnitude_mask);
        let sign = self.ins().bxor(bits, magnitude);
        let sign = self.shift_right(sign, 16);
        // Normal numbers, rounded by adding half a unit minus the parity of the last bit kept; a carry into the exponent is right, up to infinity.
        let shifted = self.shift_right(magnitude, 13);
        let one = self.uniform(ty, 1);
        let parity = self.ins().band(shifted, one);
        let rebias = self.uniform(ty, (0xfffi64 - (112 << 23)) as u64);
        let normal = self.ins().iadd(magnitude, rebias);
        let normal = self.ins().iadd(normal, parity);
        let normal = self.shift_right(normal, 13);
        // Subnormal numbers: adding 0.5 rounds to multiples of 2⁻²⁴, the last bit of a sum in 0.5..1.
        let half = self.uniform_float(floats(ty), 0.5);
        let float = self.cast(magnitude, floats(ty));
        let sum = self.ins().fadd(float, half);
        let sum = self.cast(sum, ty);
        let half_bits = self.uniform(ty, 0.5f32.to_bits().into());
        let subnormal = self.ins().isub(sum, half_bits);
        let special = self.f16_special(magnitude, ty);
        let first_normal = self.uniform(ty, (2f32.powi(-14)).to_bits().into());
        let first_special = self.uniform(ty, 65536f32.to_bits().into());
        let is_subnormal = self.ins().icmp(IntCC::SignedLessThan, magnitude, first_normal);
        let is_finite = self.ins().icmp(IntCC::SignedLessThan, magnitude, first_special);
        let finite = self.choose(is_subnormal, subnormal, normal);
        let result = self.choose(is_finite, finite, special);
        self.ins().bor(result, sign)
    }

    /// Infinity for numbers that are too large, NaN with its upper bits for NaN.
    fn f16_special(&mut self, magnitude: Value, ty: Type) -> Value {
        let payload = self.shift_right(magnitude, 13);
        let payload_mask = self.uniform(ty, 0x3ff);
        let payload = self.ins().band(payload, payload_mask);
        let quiet = self.uniform(ty, 0x7e00);
        let nan = self.ins().bor(payload, quiet);
        let infinity = self.uniform(ty, 0x7f80_0000);
        let half_infinity = self.uniform(ty, 0x7c00);
        let is_nan = self.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        self.choose(is_nan, nan, half_infinity)
    }

    fn shift_left(&mut self, x: Value, by: i64) -> Value {
        let by = self.int(by);
        self.ins().ishl(x, by)
    }

    fn shift_right(&mut self, x: Value, by: i64) -> Value {
        let by = self.int(by);
        self.ins().ushr(x, by)
    }

    /// A scalar half, held in 16 bits, as f32.
    pub fn half_scalar_to_f32(&mut self, x: Value, dtype: DType) -> Value {
        let wide = self.ins().uextend(types::I32, x);
        self.half_to_f32(wide, dtype)
    }

    /// A scalar f32 rounded to a half.
    pub fn f32_scalar_to_half(&mut self, x: Value, dtype: DType) -> Value {
        let wide = self.f32_to_half(x, dtype);
        self.ins().ireduce(types::I16, wide)
    }

    /// A scalar f64 rounded to a half, once.
    ///
    /// It is first cut to the bits of an f32, the last of which is set if anything was cut off (rounding to odd), which leaves the second
    /// rounding to see on which side of a tie the number is (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). Below the
    /// normal numbers of f32, which are subnormal as bf16 and zero as f16, adding 2^(52 − 133) rounds to the multiples of 2⁻¹³³ that bf16 has there.
    pub fn f64_scalar_to_half(&mut self, x: Value, dtype: DType) -> Value {
        let bits = self.cast(x, types::I64);
        let cut = self.ins().band_imm_s(bits, !0x1fff_ffff);
        let lost = self.ins().band_imm_u(bits, 0x1fff_ffff);
        let any_lost = self.ins().icmp_imm_s(IntCC::NotEqual, lost, 0);
        let sticky = self.ins().uextend(types::I64, any_lost);
        let sticky = self.ins().ishl_imm_u(sticky, 29);
        let odd = self.ins().bor(cut, sticky);
        let odd = self.cast(odd, types::F64);
        let magic = self.ins().f64const(2f64.powi(52 - 133));
        let magnitude = self.ins().fabs(x);
        let shifted = self.ins().fadd(magnitude, magic);
        let multiple = self.ins().fsub(shifted, magic);
        let tiny = self.ins().fcopysign(multiple, x);
        let least = self.ins().f64const(f64::from(f32::MIN_POSITIVE));
        let is_tiny = self.ins().fcmp(FloatCC::LessThan, magnitude, least);
        let chosen = self.ins().select(is_tiny, tiny, odd);
        let single = self.ins().fdemote(types::F32, chosen);
        self.f32_scalar_to_half(single, dtype)
    }

    /// A scalar `i64` or `u64` as an f64 that rounds to the same half: large numbers lose bits, but not whether there were any.
    pub fn int_scalar_to_f64_odd(&mut self, x: Value, signed: bool) -> Value {
        let low = self.ins().band_imm_u(x, 0xffff);
        let any = self.ins().icmp_imm_s(IntCC::NotEqual, low, 0);
        let sticky = self.ins().uextend(types::I64, any);
        let high = match signed {
            true => self.ins().sshr_imm_u(x, 16),
            false => self.ins().ushr_imm_u(x, 16),
        };
        let odd = self.ins().bor(high, sticky);
        let float = self.ins().fcvt_from_sint(types::F64, odd);
        let scale = self.ins().f64const(65536.0);
        let large = self.ins().fmul(float, scale);
        let exact = self.ins().fcvt_from_sint(types::F64, x);
        // Numbers below 2³² are exact as they are; unsigned ones above 2⁶³ are not small, whatever sign they seem to have.
        let magnitude = self.ins().fabs(large);
        let limit = self.ins().f64const(2f64.powi(32));
        let is_small = self.ins().fcmp(FloatCC::LessThan, magnitude, limit);
        self.ins().select(is_small, exact, large)
    }
}
