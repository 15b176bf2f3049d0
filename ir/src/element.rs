//! Single elements of every dtype, to and from little-endian bytes.

use crate::DType;
use half::{bf16, f16};
use smallvec::SmallVec;

/// Bytes of one element.
pub type ElementBytes = SmallVec<[u8; 8]>;

macro_rules! le {
    ($ty:ty, $bytes:expr) => {{
        let mut array = [0u8; size_of::<$ty>()];
        array.iter_mut().zip($bytes).for_each(|(to, from)| *to = *from);
        <$ty>::from_le_bytes(array)
    }};
}

/// The value of an integer or bool element; a float is truncated.
pub fn decode_int(dtype: DType, bytes: &[u8]) -> i128 {
    match dtype {
        DType::Bool => (le!(u8, bytes) != 0) as i128,
        DType::I4 | DType::I8 => le!(i8, bytes) as i128,
        DType::I16 => le!(i16, bytes) as i128,
        DType::I32 => le!(i32, bytes) as i128,
        DType::I64 => le!(i64, bytes) as i128,
        DType::U4 | DType::U8 => le!(u8, bytes) as i128,
        DType::U16 => le!(u16, bytes) as i128,
        DType::U32 => le!(u32, bytes) as i128,
        DType::U64 => le!(u64, bytes) as i128,
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => decode_float(dtype, bytes) as i128,
    }
}

/// The value of an element as `f64`; exact for floats and for integers below 2⁵³.
pub fn decode_float(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::F16 => f16::from_bits(le!(u16, bytes)).to_f64(),
        DType::BF16 => bf16::from_bits(le!(u16, bytes)).to_f64(),
        DType::F32 => le!(f32, bytes) as f64,
        DType::F64 => le!(f64, bytes),
        _ => decode_int(dtype, bytes) as f64,
    }
}

/// The element with the low bits of `value` (two's complement wrap-around); bool is `value != 0`; a float is the nearest one
/// (ties to even).
pub fn encode_int(dtype: DType, value: i128) -> ElementBytes {
    match dtype {
        DType::Bool => SmallVec::from_slice(&[(value != 0) as u8]),
        DType::I4 => SmallVec::from_slice(&[(((value as u8) << 4) as i8 >> 4) as u8]),
        DType::U4 => SmallVec::from_slice(&[value as u8 & 15]),
        DType::F64 => encode_float(dtype, value as f64),
        DType::F16 | DType::BF16 | DType::F32 => encode_float(dtype, int_to_odd_f64(value)),
        _ => SmallVec::from_slice(&value.to_le_bytes()[..dtype.bytes()]),
    }
}

/// The element nearest to `value` (ties to even); integers truncate towards zero and saturate, NaN gives 0.
pub fn encode_float(dtype: DType, value: f64) -> ElementBytes {
    match dtype {
        DType::F16 => SmallVec::from_slice(&f16::from_f32(to_odd_f32(value)).to_le_bytes()),
        DType::BF16 => SmallVec::from_slice(&bf16::from_f32(to_odd_f32(value)).to_le_bytes()),
        DType::F32 => SmallVec::from_slice(&(value as f32).to_le_bytes()),
        DType::F64 => SmallVec::from_slice(&value.to_le_bytes()),
        DType::Bool => SmallVec::from_slice(&[(value != 0.0) as u8]),
        _ => {
            let (low, high) = dtype.int_range().unwrap_or((0, 0));
            encode_int(dtype, (value as i128).clamp(low, high))
        }
    }
}

/// `value` as f32, rounded to odd: towards zero, and where that is not exact the last bit is set.
///
/// Rounding the result to a format that is at least two bits narrower gives what one rounding of `value` gives (Boldo and
/// Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008). The conversions of
/// `half` from f64 look at the upper 32 bits only.
pub(crate) fn to_odd_f32(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) == value || value.is_nan() {
        return nearest;
    }
    let away = f64::from(nearest).abs() > value.abs();
    f32::from_bits((nearest.to_bits() - u32::from(away)) | 1)
}

/// `value` as f64, rounded to odd as in [`to_odd_f32`].
fn int_to_odd_f64(value: i128) -> f64 {
    let excess = (128 - value.unsigned_abs().leading_zeros()).saturating_sub(f64::MANTISSA_DIGITS);
    let (head, tail) = (value.unsigned_abs() >> excess, value.unsigned_abs() & ((1 << excess) - 1));
    let magnitude = ((head | u128::from(tail != 0)) << excess) as f64;
    if value < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of neighbours of a 16-bit format: their midpoint goes to the even one, anything beside it to the nearer one.
    fn check_midpoints(dtype: DType, infinity: u16) {
        let value = |bits: u16| decode_float(dtype, &bits.to_le_bytes());
        let nearest = |x: f64| {
            let bytes = encode_float(dtype, x);
            u16::from_le_bytes([bytes[0], bytes[1]])
        };
        for low in 0..infinity - 1 {
            let high = low + 1;
            let even = if low % 2 == 0 { low } else { high };
            let middle = (value(low) + value(high)) / 2.0;
            for (x, expected) in [(middle.next_down(), low), (middle, even), (middle.next_up(), high)] {
                assert_eq!(nearest(x), expected, "{x:e} to {dtype}");
                assert_eq!(nearest(-x), expected | 0x8000, "{:e} to {dtype}", -x);
            }
        }
        let largest = value(infinity - 1);
        let half_step = (largest - value(infinity - 2)) / 2.0;
        assert_eq!(nearest((largest + half_step).next_down()), infinity - 1);
        assert_eq!(nearest(largest + half_step), infinity);
        assert_eq!(nearest(f64::MAX), infinity);
        assert_eq!(nearest(f64::MIN_POSITIVE), 0);
        assert!(value(nearest(f64::NAN)).is_nan());
    }

    #[test]
    fn halves_are_rounded_once() {
        check_midpoints(DType::F16, 0x7c00);
        check_midpoints(DType::BF16, 0x7f80);
    }

    #[test]
    fn integers_are_rounded_once() {
        // Just above the midpoint of two neighbours; the f64 nearest to it is that midpoint.
        let above_f32 = (1i128 << 63) + (1 << 39) + 1;
        assert_eq!(
            decode_float(DType::F32, &encode_int(DType::F32, above_f32)),
            ((1u64 << 63) + (1 << 40)) as f64
        );
        assert_eq!(decode_float(DType::F32, &encode_int(DType::F32, above_f32 - 1)), (1u64 << 63) as f64);
        let above_bf16 = -(1i128 << 62) - (1 << 54) - 1;
        let expected = -((1i64 << 62) + (1 << 55)) as f64;
        assert_eq!(decode_float(DType::BF16, &encode_int(DType::BF16, above_bf16)), expected);
    }

    #[test]
    fn integers_saturate_from_floats_and_wrap_from_integers() {
        for (dtype, value, expected) in [
            (DType::I4, 9.7, 7),
            (DType::I8, -1e9, -128),
            (DType::U8, -0.9, 0),
            (DType::U64, 1e30, u64::MAX as i128),
        ] {
            assert_eq!(decode_int(dtype, &encode_float(dtype, value)), expected);
        }
        assert_eq!(decode_int(DType::I32, &encode_float(DType::I32, f64::NAN)), 0);
        for (dtype, value, expected) in [(DType::I4, 9, -7), (DType::U4, -1, 15), (DType::I16, 40000, -25536)]
        {
            assert_eq!(decode_int(dtype, &encode_int(dtype, value)), expected);
        }
    }
}
