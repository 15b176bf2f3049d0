//! Words as numbers of a dtype.

use graven_ir::DType;
use half::{bf16, f16};

/// What the interpreter needs of integers; wrapping arithmetic.
pub(super) trait Integer: Copy + Ord {
    const BITS: u32;
    fn from_word(word: u64) -> Self;
    fn word(self) -> u64;
    fn wide(self) -> i128;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn div(self, other: Self) -> Option<Self>;
    fn rem(self, other: Self) -> Option<Self>;
    fn shl(self, count: u32) -> Self;
    fn shr(self, count: u32) -> Self;
    fn count_ones(self) -> u32;
}

macro_rules! integers {
    ($($ty:ident $abs:expr;)*) => {$(
        impl Integer for $ty {
            const BITS: u32 = $ty::BITS;
            fn from_word(word: u64) -> $ty { word as $ty }
            fn word(self) -> u64 { self as i64 as u64 }
            fn wide(self) -> i128 { self.into() }
            fn add(self, other: $ty) -> $ty { self.wrapping_add(other) }
            fn sub(self, other: $ty) -> $ty { self.wrapping_sub(other) }
            fn mul(self, other: $ty) -> $ty { self.wrapping_mul(other) }
            fn neg(self) -> $ty { self.wrapping_neg() }
            fn abs(self) -> $ty { $abs(self) }
            fn div(self, other: $ty) -> Option<$ty> { self.checked_div(other) }
            fn rem(self, other: $ty) -> Option<$ty> { self.checked_rem(other) }
            fn shl(self, count: u32) -> $ty { self.wrapping_shl(count) }
            fn shr(self, count: u32) -> $ty { self.wrapping_shr(count) }
            fn count_ones(self) -> u32 { self.count_ones() }
        }
    )*};
}

integers! {
    i8 i8::wrapping_abs;
    i16 i16::wrapping_abs;
    i32 i32::wrapping_abs;
    i64 i64::wrapping_abs;
    u8 std::convert::identity;
    u16 std::convert::identity;
    u32 std::convert::identity;
    u64 std::convert::identity;
}

/// What the interpreter needs of f32 and f64.
pub(super) trait Float: Copy + PartialOrd {
    fn from_word(word: u64) -> Self;
    fn word(self) -> u64;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    fn round(self) -> Self;
    fn fma(self, y: Self, z: Self) -> Self;
}

macro_rules! floats {
    ($($ty:ident $bits:ident;)*) => {$(
        impl Float for $ty {
            fn from_word(word: u64) -> $ty { $ty::from_bits(word as $bits) }
            fn word(self) -> u64 { self.to_bits().into() }
            fn add(self, other: $ty) -> $ty { self + other }
            fn sub(self, other: $ty) -> $ty { self - other }
            fn mul(self, other: $ty) -> $ty { self * other }
            fn div(self, other: $ty) -> $ty { self / other }
            fn neg(self) -> $ty { -self }
            fn abs(self) -> $ty { self.abs() }
            fn sqrt(self) -> $ty { self.sqrt() }
            fn floor(self) -> $ty { self.floor() }
            fn ceil(self) -> $ty { self.ceil() }
            fn trunc(self) -> $ty { self.trunc() }
            fn round(self) -> $ty { self.round_ties_even() }
            fn fma(self, y: $ty, z: $ty) -> $ty { self.mul_add(y, z) }
        }
    )*};
}

floats! {
    f32 u32;
    f64 u64;
}

/// The value of a float word; exact.
pub(super) fn float_value(dtype: DType, word: u64) -> f64 {
    match dtype {
        DType::F16 => f16::from_bits(word as u16).to_f64(),
        DType::BF16 => bf16::from_bits(word as u16).to_f64(),
        DType::F32 => f32::from_bits(word as u32).into(),
        _ => f64::from_bits(word),
    }
}

/// The nearest float's word, ties to even.
pub(super) fn float_word(dtype: DType, value: f64) -> u64 {
    match dtype {
        DType::F16 => f16::from_f64(value).to_bits().into(),
        DType::BF16 => bf16::from_f64(value).to_bits().into(),
        DType::F32 => (value as f32).to_bits().into(),
        _ => value.to_bits(),
    }
}

/// The value of an integer word.
pub(super) fn integer_value(dtype: DType, word: u64) -> i128 {
    match dtype {
        DType::U64 => word.into(),
        _ => i128::from(word as i64),
    }
}

/// The word of an integer after wrap-around; of a bool, whether it isn't 0.
pub(super) fn integer_word(dtype: DType, value: i128) -> u64 {
    match dtype {
        DType::Bool => (value != 0).into(),
        DType::I4 => (((value as i8) << 4) >> 4) as i64 as u64,
        DType::U4 => (value as u8 & 15).into(),
        DType::I8 => (value as i8) as i64 as u64,
        DType::U8 => (value as u8).into(),
        DType::I16 => (value as i16) as i64 as u64,
        DType::U16 => (value as u16).into(),
        DType::I32 => (value as i32) as i64 as u64,
        DType::U32 => (value as u32).into(),
        _ => value as u64,
    }
}

/// Conversion by value: float to integer truncates and saturates, NaN gives 0; integers wrap; to floats rounds once, to nearest even.
pub(super) fn convert(from: DType, to: DType, word: u64) -> u64 {
    match (from.is_float(), to.is_float()) {
        (true, true) => float_word(to, float_value(from, word)),
        (true, false) => {
            let value = float_value(from, word);
            let (low, high) = to.int_range().unwrap_or((i64::MIN.into(), i64::MAX.into()));
            // The cast saturates, and gives 0 for NaN.
            integer_word(to, (value as i128).clamp(low, high))
        }
        (false, true) => integer_to_float(to, integer_value(from, word)),
        (false, false) => integer_word(to, integer_value(from, word)),
    }
}

fn integer_to_float(to: DType, value: i128) -> u64 {
    let bytes = graven_ir::element::encode_int(to, value);
    let mut word = [0u8; 8];
    word.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}
