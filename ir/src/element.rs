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

/// The element with the low bits of `value` (two's complement wrap-around); bool is `value != 0`; a float is converted.
pub fn encode_int(dtype: DType, value: i128) -> ElementBytes {
    match dtype {
        DType::Bool => SmallVec::from_slice(&[(value != 0) as u8]),
        DType::I4 => SmallVec::from_slice(&[(((value as u8) << 4) as i8 >> 4) as u8]),
        DType::U4 => SmallVec::from_slice(&[value as u8 & 15]),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => encode_float(dtype, value as f64),
        _ => SmallVec::from_slice(&value.to_le_bytes()[..dtype.bytes()]),
    }
}

/// The element nearest to `value` (ties to even); integers truncate towards zero and saturate, NaN gives 0.
pub fn encode_float(dtype: DType, value: f64) -> ElementBytes {
    match dtype {
        DType::F16 => SmallVec::from_slice(&f16::from_f64(value).to_le_bytes()),
        DType::BF16 => SmallVec::from_slice(&bf16::from_f64(value).to_le_bytes()),
        DType::F32 => SmallVec::from_slice(&(value as f32).to_le_bytes()),
        DType::F64 => SmallVec::from_slice(&value.to_le_bytes()),
        DType::Bool => SmallVec::from_slice(&[(value != 0.0) as u8]),
        _ => {
            let (low, high) = dtype.int_range().unwrap_or((0, 0));
            encode_int(dtype, (value as i128).clamp(low, high))
        }
    }
}
