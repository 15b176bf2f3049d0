//! Integers: wrap-around, guarded division, shifts by any count, powers.

use super::registers::wrap;
use crate::kernel::{Binary, Compare, KernelBuilder, Number, Type, Unary, Val};
use graven_ir::{BinaryOp, DType, DTypeClass, Dim, UnaryOp};

/// A function of integers of `dtype`, held as `registers.rs` says; `None` for functions of floats.
pub(super) fn unary(b: &mut KernelBuilder, op: UnaryOp, dtype: DType, x: Val) -> Option<Val> {
    let ty = b.ty(x);
    Some(match op {
        UnaryOp::Neg => {
            let negated = b.unary(Unary::Neg, x);
            wrap(b, dtype, negated)
        }
        UnaryOp::Abs if !is_signed(dtype) => x,
        UnaryOp::Abs => {
            let magnitude = b.unary(Unary::Abs, x);
            wrap(b, dtype, magnitude)
        }
        UnaryOp::Sign => {
            let one = b.int(1, ty);
            let below = b.binary(Binary::Min, x, one);
            match is_signed(dtype) {
                false => below,
                true => {
                    let minus_one = b.int(-1, ty);
                    b.binary(Binary::Max, below, minus_one)
                }
            }
        }
        UnaryOp::Not => {
            let complement = b.unary(Unary::Not, x);
            match is_signed(dtype) {
                true => complement,
                false => wrap(b, dtype, complement),
            }
        }
        UnaryOp::PopCount => pop_count(b, dtype, x),
        _ => return None,
    })
}

fn is_signed(dtype: DType) -> bool {
    dtype.class() == DTypeClass::Signed
}

fn is_zero(b: &mut KernelBuilder, x: Val) -> Val {
    equals(b, x, 0)
}

fn equals(b: &mut KernelBuilder, x: Val, value: i64) -> Val {
    let value = b.int(value, b.ty(x));
    b.compare(Compare::Eq, x, value)
}

/// One operation for scalars; for vectors sums of neighbouring fields of 1, 2, 4 and 8 bits: 13 operations.
fn pop_count(b: &mut KernelBuilder, dtype: DType, x: Val) -> Val {
    let ty = b.ty(x);
    let x = match dtype.bits() < 32 {
        true => {
            let ones = b.int((1 << dtype.bits()) - 1, ty);
            b.binary(Binary::And, x, ones)
        }
        false => x,
    };
    if ty.lanes == 1 {
        return b.unary(Unary::PopCount, x);
    }
    let dtype = ty.dtype().unwrap_or(DType::I32);
    let unsigned = if dtype.bytes() == 8 { DType::U64 } else { DType::U32 };
    let x = b.bitcast(x, unsigned);
    let ty = b.ty(x);
    let masked = |b: &mut KernelBuilder, x: Val, shift: i64, mask: i64| {
        let count = b.int(shift, ty);
        let moved = if shift == 0 { x } else { b.binary(Binary::ShiftRight, x, count) };
        let mask = b.int(mask, ty);
        b.binary(Binary::And, moved, mask)
    };
    let odd = masked(b, x, 1, 0x5555_5555_5555_5555);
    let pairs = b.sub(x, odd);
    let (low, high) =
        (masked(b, pairs, 0, 0x3333_3333_3333_3333), masked(b, pairs, 2, 0x3333_3333_3333_3333));
    let nibbles = b.add(low, high);
    let four = b.int(4, ty);
    let upper = b.binary(Binary::ShiftRight, nibbles, four);
    let sums = b.add(nibbles, upper);
    let bytes = masked(b, sums, 0, 0x0f0f_0f0f_0f0f_0f0f);
    let ones = b.int(0x0101_0101_0101_0101, ty);
    let total = b.mul(bytes, ones);
    let top = b.int(unsigned.bits() as i64 - 8, ty);
    let count = b.binary(Binary::ShiftRight, total, top);
    b.bitcast(count, dtype)
}

/// A function of two integers of `dtype`; `None` for functions of floats.
pub(super) fn binary(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Option<Val> {
    let plain = |op| (op, false);
    let (op, wraps) = match op {
        BinaryOp::Add => (Binary::Add, true),
        BinaryOp::Sub => (Binary::Sub, true),
        BinaryOp::Mul => (Binary::Mul, true),
        BinaryOp::Max => plain(Binary::Max),
        BinaryOp::Min => plain(Binary::Min),
        BinaryOp::And => plain(Binary::And),
        BinaryOp::Or => plain(Binary::Or),
        BinaryOp::Xor => plain(Binary::Xor),
        BinaryOp::ShiftLeft => return Some(shift_left(b, dtype, x, y)),
        BinaryOp::ShiftRight => return Some(shift_right(b, dtype, x, y)),
        BinaryOp::Div | BinaryOp::Rem | BinaryOp::Mod => return Some(divide(b, op, dtype, x, y)),
        BinaryOp::Pow => return Some(power(b, dtype, x, y)),
        BinaryOp::Atan2 => return None,
    };
    let result = b.binary(op, x, y);
    Some(if wraps { wrap(b, dtype, result) } else { result })
}

/// Whether 0 ≤ y < the bits of the dtype; `None` if that is so for a constant.
fn in_range(b: &mut KernelBuilder, dtype: DType, y: Val) -> Option<Val> {
    let bits = i64::from(dtype.bits());
    if let Some(Number::Int(count)) = b.known(y)
        && (0..bits).contains(&count)
    {
        return None;
    }
    let unsigned =
        if b.ty(y).dtype().is_some_and(|dtype| dtype.bytes() == 8) { DType::U64 } else { DType::U32 };
    let y = b.bitcast(y, unsigned);
    let bits = b.int(bits, b.ty(y));
    Some(b.compare(Compare::Lt, y, bits))
}

fn shift_left(b: &mut KernelBuilder, dtype: DType, x: Val, y: Val) -> Val {
    let shifted = match in_range(b, dtype, y) {
        None => b.binary(Binary::ShiftLeft, x, y),
        Some(valid) => {
            let zero = b.int(0, b.ty(x));
            let count = b.select(valid, y, zero);
            let shifted = b.binary(Binary::ShiftLeft, x, count);
            b.select(valid, shifted, zero)
        }
    };
    wrap(b, dtype, shifted)
}

fn shift_right(b: &mut KernelBuilder, dtype: DType, x: Val, y: Val) -> Val {
    let Some(valid) = in_range(b, dtype, y) else { return b.binary(Binary::ShiftRight, x, y) };
    let ty = b.ty(x);
    if is_signed(dtype) {
        // The register's widest shift leaves copies of the sign.
        let most = b.int(ty.dtype().map_or(31, |dtype| i64::from(dtype.bits()) - 1), ty);
        let count = b.select(valid, y, most);
        return b.binary(Binary::ShiftRight, x, count);
    }
    let zero = b.int(0, ty);
    let count = b.select(valid, y, zero);
    let shifted = b.binary(Binary::ShiftRight, x, count);
    b.select(valid, shifted, zero)
}

/// Div, rem or mod with x ÷ 0 = 0, x rem 0 = 0 and x mod 0 = 0.
fn divide(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Val {
    let ty = b.ty(x);
    if let Some(Number::Int(divisor @ 1..)) = b.known(y)
        && divisor & (divisor - 1) == 0
    {
        return divide_by_power(b, op, dtype, x, divisor);
    }
    if dtype.bits() < 32 {
        return divide_narrow(b, op, dtype, x, y);
    }
    if ty.lanes == 1 {
        return divide_scalar(b, op, dtype, x, y);
    }
    let mut result = b.int(0, ty);
    for lane in 0..ty.lanes {
        let (x, y) = (b.extract(x, lane), b.extract(y, lane));
        let quotient = divide_scalar(b, op, dtype, x, y);
        result = b.insert(result, quotient, lane);
    }
    result
}

/// Division by a power of two: a shift, before which negative numbers are raised so that it rounds towards 0.
fn divide_by_power(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, divisor: i64) -> Val {
    let ty = b.ty(x);
    let (below, shift) = (b.int(divisor - 1, ty), b.int(i64::from(divisor.trailing_zeros()), ty));
    match op {
        BinaryOp::Div if divisor == 1 => x,
        BinaryOp::Div if !is_signed(dtype) => b.binary(Binary::ShiftRight, x, shift),
        BinaryOp::Rem if is_signed(dtype) => {
            let quotient = divide_by_power(b, BinaryOp::Div, dtype, x, divisor);
            let product = b.binary(Binary::ShiftLeft, quotient, shift);
            b.sub(x, product)
        }
        BinaryOp::Div => {
            let sign = b.int(ty.dtype().map_or(31, |dtype| i64::from(dtype.bits()) - 1), ty);
            let negative = b.binary(Binary::ShiftRight, x, sign);
            let raise = b.binary(Binary::And, negative, below);
            let raised = b.add(x, raise);
            b.binary(Binary::ShiftRight, raised, shift)
        }
        // The remainder of unsigned numbers, and the one with the sign of the divisor.
        _ => b.binary(Binary::And, x, below),
    }
}

/// Integers of up to 16 bits divide exactly in f32: a quotient that isn't whole is further from the next integer than the rounding goes.
fn divide_narrow(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Val {
    let (dividend, divisor) = (b.convert(x, DType::F32), b.convert(y, DType::F32));
    let quotient = b.binary(Binary::Div, dividend, divisor);
    let quotient = b.convert(quotient, DType::I32);
    let by_zero = is_zero(b, y);
    let zero = b.int(0, b.ty(x));
    let result = match op {
        BinaryOp::Div => wrap(b, dtype, quotient),
        _ => {
            let product = b.mul(quotient, y);
            let remainder = b.sub(x, product);
            floor_correction(b, op, dtype, remainder, y)
        }
    };
    b.select(by_zero, zero, result)
}

fn divide_scalar(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Val {
    let ty = b.ty(x);
    if let Some(Number::Int(divisor)) = b.known(y)
        && divisor != 0
        && (divisor != -1 || !is_signed(dtype))
    {
        return divide_plain(b, op, dtype, x, y);
    }
    let (zero, one) = (b.int(0, ty), b.int(1, ty));
    let by_zero = is_zero(b, y);
    let mut divisor = b.select(by_zero, one, y);
    let mut by_minus_one = None;
    if is_signed(dtype) {
        let is_minus_one = equals(b, y, -1);
        divisor = b.select(is_minus_one, one, divisor);
        by_minus_one = Some(is_minus_one);
    }
    // Remainders by 1 are 0, which is right for −1 too.
    let result = divide_plain(b, op, dtype, x, divisor);
    if op != BinaryOp::Div {
        return result;
    }
    let result = b.select(by_zero, zero, result);
    match by_minus_one {
        Some(mask) => {
            let negated = b.unary(Unary::Neg, x);
            b.select(mask, negated, result)
        }
        None => result,
    }
}

fn divide_plain(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Val {
    if op == BinaryOp::Div {
        return b.binary(Binary::Div, x, y);
    }
    let remainder = b.binary(Binary::Rem, x, y);
    floor_correction(b, op, dtype, remainder, y)
}

/// The remainder, or for `mod` of signed numbers the one with the sign of y.
fn floor_correction(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, remainder: Val, y: Val) -> Val {
    if op != BinaryOp::Mod || !is_signed(dtype) {
        return remainder;
    }
    // The remainder is zero or the signs are equal: nothing is added.
    let zero = b.int(0, b.ty(y));
    let signs = b.binary(Binary::Xor, remainder, y);
    let differs = b.compare(Compare::Lt, signs, zero);
    let is_zero = b.compare(Compare::Eq, remainder, zero);
    let moved = b.add(remainder, y);
    let result = b.select(differs, moved, remainder);
    b.select(is_zero, zero, result)
}

/// xʸ by repeated squaring; a negative exponent gives trunc(xʸ), and 0 for x = 0.
fn power(b: &mut KernelBuilder, dtype: DType, x: Val, y: Val) -> Val {
    let ty = b.ty(x);
    let one = b.int(1, ty);
    if let Some(Number::Int(exponent @ 0..)) = b.known(y) {
        let result = known_power(b, x, exponent as u64, one);
        return wrap(b, dtype, result);
    }
    let (zero, bits) = (b.int(0, ty), i64::from(dtype.bits()) - i64::from(is_signed(dtype)));
    let range = (&Dim::ZERO, &Dim::from(bits), 1);
    let powers = b.for_each(range, &[one, x, y], |b, _, params| {
        let [power, square, exponent] = params[..] else { return params.to_vec() };
        let is_set = is_odd(b, exponent);
        let more = b.mul(power, square);
        vec![
            b.select(is_set, more, power),
            b.mul(square, square),
            b.binary(Binary::ShiftRight, exponent, one),
        ]
    });
    let result = powers.first().map_or(one, |power| wrap(b, dtype, *power));
    if !is_signed(dtype) {
        return result;
    }
    let (is_one, is_minus_one) = (equals(b, x, 1), equals(b, x, -1));
    let inverse = b.select(is_one, one, zero);
    let minus_one = b.int(-1, ty);
    let odd = is_odd(b, y);
    let alternating = b.select(odd, minus_one, one);
    let inverse = b.select(is_minus_one, alternating, inverse);
    let is_negative = b.compare(Compare::Lt, y, zero);
    b.select(is_negative, inverse, result)
}

fn is_odd(b: &mut KernelBuilder, x: Val) -> Val {
    let ty: Type = b.ty(x);
    let (zero, one) = (b.int(0, ty), b.int(1, ty));
    let low = b.binary(Binary::And, x, one);
    b.compare(Compare::Ne, low, zero)
}

fn known_power(b: &mut KernelBuilder, x: Val, mut exponent: u64, one: Val) -> Val {
    let (mut power, mut square) = (None, x);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = Some(match power {
                Some(power) => b.mul(power, square),
                None => square,
            });
        }
        exponent >>= 1;
        if exponent > 0 {
            square = b.mul(square, square);
        }
    }
    power.unwrap_or(one)
}
