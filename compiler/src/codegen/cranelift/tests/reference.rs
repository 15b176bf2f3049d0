//! The operations on single elements, in Rust's arithmetic.

use crate::kernel::{Binary, Compare, Unary};
use graven_ir::{DType, element};
use half::{bf16, f16};

/// The element of an f32 that halves are computed in.
fn narrow(dtype: DType, value: f32) -> Vec<u8> {
    match dtype {
        DType::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

fn single(dtype: DType, bytes: &[u8]) -> f32 {
    element::decode_float(dtype, bytes) as f32
}

fn double(bytes: &[u8]) -> f64 {
    element::decode_float(DType::F64, bytes)
}

macro_rules! float_unary {
    ($op:expr, $x:expr) => {
        match $op {
            Unary::Neg => Some(-$x),
            Unary::Abs => Some($x.abs()),
            Unary::Sqrt => Some($x.sqrt()),
            Unary::Floor => Some($x.floor()),
            Unary::Ceil => Some($x.ceil()),
            Unary::Trunc => Some($x.trunc()),
            Unary::Round => Some($x.round_ties_even()),
            Unary::Not | Unary::PopCount => None,
        }
    };
}

/// A function of one element; `None` where the dtype doesn't have it.
pub fn unary(op: Unary, dtype: DType, bytes: &[u8]) -> Option<Vec<u8>> {
    if dtype == DType::F64 {
        return float_unary!(op, double(bytes)).map(|value| value.to_le_bytes().to_vec());
    }
    if dtype.is_float() {
        return float_unary!(op, single(dtype, bytes)).map(|value| narrow(dtype, value));
    }
    let x = element::decode_int(dtype, bytes);
    let value = match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Not if dtype == DType::Bool => 1 - x,
        Unary::Not => !x,
        Unary::PopCount => i128::from((x & ((1 << dtype.bits()) - 1)).count_ones()),
        _ => return None,
    };
    Some(element::encode_int(dtype, value).to_vec())
}

macro_rules! float_binary {
    ($op:expr, $x:expr, $y:expr) => {
        match $op {
            Binary::Add => Some($x + $y),
            Binary::Sub => Some($x - $y),
            Binary::Mul => Some($x * $y),
            Binary::Div => Some($x / $y),
            Binary::Min => Some(if $x < $y { $x } else { $y }),
            Binary::Max => Some(if $x > $y { $x } else { $y }),
            _ => None,
        }
    };
}

/// A function of two elements; `None` where the dtype doesn't have it or the elements are excluded.
pub fn binary(op: Binary, dtype: DType, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    if dtype == DType::F64 {
        return float_binary!(op, double(x), double(y)).map(|value| value.to_le_bytes().to_vec());
    }
    if dtype.is_float() {
        let (x, y) = (single(dtype, x), single(dtype, y));
        return float_binary!(op, x, y).map(|value| narrow(dtype, value));
    }
    let (x, y) = (element::decode_int(dtype, x), element::decode_int(dtype, y));
    let (low, _) = dtype.int_range()?;
    let shift = (0..dtype.bits() as i128).contains(&y).then_some(y as u32);
    let value = match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x.wrapping_mul(y),
        Binary::Div if y != 0 && (x, y) != (low, -1) => x / y,
        Binary::Rem if y != 0 && (x, y) != (low, -1) => x % y,
        Binary::Div | Binary::Rem => return None,
        Binary::Min => x.min(y),
        Binary::Max => x.max(y),
        Binary::And => x & y,
        Binary::Or => x | y,
        Binary::Xor => x ^ y,
        Binary::ShiftLeft => x << shift?,
        Binary::ShiftRight => x >> shift?,
    };
    Some(element::encode_int(dtype, value).to_vec())
}

/// A comparison.
pub fn compare(op: Compare, dtype: DType, x: &[u8], y: &[u8]) -> bool {
    let order = match dtype.is_float() {
        true => element::decode_float(dtype, x).partial_cmp(&element::decode_float(dtype, y)),
        false => Some(element::decode_int(dtype, x).cmp(&element::decode_int(dtype, y))),
    };
    let Some(order) = order else { return op == Compare::Ne };
    match op {
        Compare::Eq => order.is_eq(),
        Compare::Ne => order.is_ne(),
        Compare::Lt => order.is_lt(),
        Compare::Le => order.is_le(),
        Compare::Gt => order.is_gt(),
        Compare::Ge => order.is_ge(),
    }
}

/// A conversion by value: what the graph IR's elements do, but for rounding integers to floats once.
pub fn convert(from: DType, to: DType, bytes: &[u8]) -> Vec<u8> {
    if from.is_float() {
        return match (from, to) {
            (DType::F64, DType::F16 | DType::BF16) => nearest_half(to, double(bytes)),
            _ => element::encode_float(to, element::decode_float(from, bytes)).to_vec(),
        };
    }
    let x = element::decode_int(from, bytes);
    match to {
        DType::F32 => (x as f32).to_le_bytes().to_vec(),
        DType::F64 => (x as f64).to_le_bytes().to_vec(),
        // Beyond 2³² both halves see nothing but a trailing bit of what is cut off.
        DType::F16 | DType::BF16 if x.unsigned_abs() >= 1 << 32 => {
            let cut = (x >> 16) << 16 | i128::from(x & 0xffff != 0) << 16;
            nearest_half(to, cut as f64)
        }
        DType::F16 | DType::BF16 => nearest_half(to, x as f64),
        _ => element::encode_int(to, x).to_vec(),
    }
}

/// The half nearest to a number, ties to even, found among the neighbours of the nearest f32's half.
fn nearest_half(dtype: DType, value: f64) -> Vec<u8> {
    let decode = |bits: u16| element::decode_float(dtype, &bits.to_le_bytes());
    let guess = narrow(dtype, value as f32);
    let bits = u16::from_le_bytes([guess[0], guess[1]]);
    if value.is_nan() || value.is_infinite() {
        return guess;
    }
    // What infinity stands for when it competes: the power of two above the largest number.
    let limit = if dtype == DType::F16 { 65536.0 } else { 2f64.powi(128) };
    let position = |bits: u16| match decode(bits) {
        number if number.is_infinite() => limit.copysign(number),
        number => number,
    };
    let candidates = [bits.wrapping_sub(1), bits, bits.wrapping_add(1)];
    let same_sign = candidates.into_iter().filter(|c| c >> 15 == bits >> 15 && !decode(*c).is_nan());
    let best = same_sign.min_by(|a, b| {
        let distance = |bits: u16| (position(bits) - value).abs();
        distance(*a).total_cmp(&distance(*b)).then((a & 1).cmp(&(b & 1)))
    });
    best.unwrap_or(bits).to_le_bytes().to_vec()
}
