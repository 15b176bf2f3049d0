//! Casts and bitcasts.

use super::float::FloatMath;
use super::registers::{register_type, wrap};
use crate::kernel::{Binary, Compare, KernelBuilder, Type, Val};
use graven_ir::{DType, DTypeClass};

/// Conversion by value as the graph's `cast` does it: float to integer truncates and saturates, NaN gives 0; integers wrap; to bool is
/// `x ≠ 0`; to floats rounds to nearest, ties to even (integers of more than 24 bits to bf16 by way of f32).
pub fn cast(b: &mut KernelBuilder, from: DType, to: DType, x: Val) -> Val {
    if from == to {
        return x;
    }
    let lanes = b.ty(x).lanes;
    match (from.class(), to.class()) {
        (DTypeClass::Bool, _) => {
            let ty = register_type(to, lanes);
            let (one, zero) = (b.constant(1.0, ty), b.constant(0.0, ty));
            super::select(b, x, one, zero)
        }
        (_, DTypeClass::Bool) => {
            let zero = b.constant(0.0, b.ty(x));
            super::compare_registers(b, Compare::Ne, x, zero)
        }
        (DTypeClass::Float, DTypeClass::Float) => float_to_float(b, from, to, x),
        (DTypeClass::Float, _) => float_to_integer(b, to, x),
        (_, DTypeClass::Float) => {
            let register = if to == DType::F64 { DType::F64 } else { DType::F32 };
            let float = b.convert(x, register);
            round_half(b, to, float)
        }
        _ => {
            let register = register_type(to, lanes).dtype().unwrap_or(to);
            let same_size = b.ty(x).dtype().is_some_and(|dtype| dtype.bytes() == register.bytes());
            let converted = if same_size { b.bitcast(x, register) } else { b.convert(x, register) };
            wrap(b, to, converted)
        }
    }
}

fn round_half(b: &mut KernelBuilder, to: DType, x: Val) -> Val {
    match to {
        DType::F16 | DType::BF16 => FloatMath::of(b, x).round_to_half(to, x),
        _ => x,
    }
}

fn float_to_float(b: &mut KernelBuilder, from: DType, to: DType, x: Val) -> Val {
    match (from, to) {
        (_, DType::F64) => b.convert(x, DType::F64),
        (DType::F64, DType::F32) => b.convert(x, DType::F32),
        (DType::F64, _) => {
            let single = FloatMath::of(b, x).single_odd(x);
            round_half(b, to, single)
        }
        (_, DType::F32) => x,
        _ => round_half(b, to, x),
    }
}

fn float_to_integer(b: &mut KernelBuilder, to: DType, x: Val) -> Val {
    let register = register_type(to, 1).dtype().unwrap_or(to);
    let converted = b.convert(x, register);
    match to.int_range() {
        Some((low, high)) if to.bits() < 32 => {
            let ty = b.ty(converted);
            let (low, high) = (b.int(low as i64, ty), b.int(high as i64, ty));
            let bounded = b.binary(Binary::Max, converted, low);
            b.binary(Binary::Min, bounded, high)
        }
        _ => converted,
    }
}

/// The same bits as another dtype of equal size.
pub fn bitcast(b: &mut KernelBuilder, from: DType, to: DType, x: Val) -> Val {
    if from == to {
        return x;
    }
    let (lanes, is_half) = (b.ty(x).lanes, |dtype| matches!(dtype, DType::F16 | DType::BF16));
    let bits = if is_half(from) { half_to_bits(b, from, x) } else { x };
    if is_half(to) {
        return bits_to_half(b, to, bits);
    }
    let register = register_type(to, lanes).dtype().unwrap_or(to);
    let same = b.bitcast(bits, register);
    wrap(b, to, same)
}

/// The bits of a half float, which an f32 holds, in an i32 within 0..2¹⁶.
fn half_to_bits(b: &mut KernelBuilder, dtype: DType, x: Val) -> Val {
    let mut m = FloatMath::of(b, x);
    let rounded = m.round_to_half(dtype, x);
    let sign = m.sign_bits(rounded);
    let sign = m.bits_op(Binary::ShiftRight, sign, 16);
    let magnitude = m.abs(rounded);
    let bits = match dtype {
        DType::BF16 => {
            let bits = m.bits_of(magnitude);
            m.bits_op(Binary::ShiftRight, bits, 16)
        }
        _ => {
            // Scaled by 2^−112, f16 numbers lie in f32 as their own bits do, denormals included.
            let aligned = m.mul_c(magnitude, 2f64.powi(-112));
            let bits = m.bits_of(aligned);
            let bits = m.bits_op(Binary::ShiftRight, bits, 13);
            let infinity = m.bits(0x7c00);
            let bits = m.b.binary(Binary::Min, bits, infinity);
            let nan = m.bits(0x7e00);
            let is_nan = m.b.compare(Compare::Ne, x, x);
            m.select(is_nan, nan, bits)
        }
    };
    let bits = m.b.binary(Binary::Or, bits, sign);
    b.bitcast(bits, DType::I32)
}

/// The half float of the low 16 bits of an i32.
fn bits_to_half(b: &mut KernelBuilder, dtype: DType, bits: Val) -> Val {
    let bits = b.bitcast(bits, DType::U32);
    let ty: Type = b.ty(bits);
    let sixteen = b.int(16, ty);
    let moved = b.binary(Binary::ShiftLeft, bits, sixteen);
    if dtype == DType::BF16 {
        return b.bitcast(moved, DType::F32);
    }
    let float = b.bitcast(moved, DType::F32);
    let mut m = FloatMath::of(b, float);
    let low = m.bits_op(Binary::And, bits, 0x7fff);
    let aligned = m.bits_op(Binary::ShiftLeft, low, 13);
    let aligned = m.float_of(aligned);
    let value = m.mul_c(aligned, 2f64.powi(112));
    // 2^16 and above stand for infinities and NaN: their exponent is all ones.
    let value_bits = m.bits_of(value);
    let special = m.bits_op(Binary::Or, value_bits, 0xff << 23);
    let special = m.float_of(special);
    let is_special = m.compare_c(Compare::Ge, value, 65536.0);
    let value = m.select(is_special, special, value);
    m.or_sign(value, float)
}
