//! Decoded elements: every float as f64, every integer and bool as i128.

use super::EvalErrorKind;
use crate::element::{decode_int, encode_float, encode_int, to_odd_f32};
use crate::{DType, Tensor, TensorType};
use bytes::Bytes;
use half::{bf16, f16};
use std::cmp::Ordering;

/// A tensor type without symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Array {
    /// Element type.
    pub(super) dtype: DType,
    /// Extents, outermost first.
    pub(super) shape: Vec<usize>,
}

impl Array {
    /// The type with its extents, which must be constants.
    pub(super) fn new(ty: &TensorType) -> Result<Array, EvalErrorKind> {
        let shape = ty.const_shape().ok_or_else(|| EvalErrorKind::UnboundExtent(ty.to_string()))?;
        Ok(Array { dtype: ty.dtype, shape })
    }

    /// Number of elements.
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().map(|extent| *extent as u64).fold(1, u64::saturating_mul)
    }

    /// A tensor of this type over little-endian elements.
    pub(super) fn tensor(&self, data: Bytes) -> Result<Tensor, EvalErrorKind> {
        let bytes = data.len();
        Tensor::new(self.dtype, self.shape.clone(), data)
            .map_err(|_| EvalErrorKind::wrong_size(self.dtype, &self.shape, bytes))
    }

    /// A tensor of this type: floats rounded to nearest (ties to even), integers wrapped.
    pub(super) fn encode<N: Number>(&self, values: &[N]) -> Result<Tensor, EvalErrorKind> {
        self.tensor(N::encode(self.dtype, values).into())
    }
}

/// What elements are computed in: f64 for floats, i128 for integers and bool.
///
/// Sums and products in i128 wrap, which keeps the low 64 bits, and an element is wrapped to its dtype when it is encoded.
pub(super) trait Number: Copy + Default {
    /// 1.
    const ONE: Self;

    /// All elements.
    fn decode(tensor: &Tensor) -> Vec<Self>;

    /// Little-endian bytes of elements of `dtype`.
    fn encode(dtype: DType, values: &[Self]) -> Vec<u8>;

    /// Sum.
    fn add(self, other: Self) -> Self;

    /// Product.
    fn mul(self, other: Self) -> Self;

    /// Order with NaN above every number; −0 and +0 are equal.
    fn order(self, other: Self) -> Ordering;

    /// Whether this is NaN.
    fn is_nan(self) -> bool;

    /// The larger; NaN if either is NaN, +0 of the two zeros (`maximum` of IEEE 754-2019).
    fn maximum(self, other: Self) -> Self;

    /// The smaller; NaN if either is NaN, −0 of the two zeros (`minimum` of IEEE 754-2019).
    fn minimum(self, other: Self) -> Self;

    /// The lowest value of `dtype`: −∞ for floats.
    fn lowest(dtype: DType) -> Self;

    /// The highest value of `dtype`: ∞ for floats.
    fn highest(dtype: DType) -> Self;
}

macro_rules! decode {
    ($tensor:expr, $ty:ty, |$value:ident| $convert:expr) => {{
        let (elements, _) = $tensor.data().as_chunks::<{ size_of::<$ty>() }>();
        elements
            .iter()
            .map(|bytes| {
                let $value = <$ty>::from_le_bytes(*bytes);
                $convert
            })
            .collect()
    }};
}

macro_rules! encode {
    ($values:expr, $bytes:expr, |$value:ident| $convert:expr) => {{
        let mut data = Vec::with_capacity($values.len() * $bytes);
        for $value in $values.iter().copied() {
            data.extend_from_slice(&$convert);
        }
        data
    }};
}

impl Number for f64 {
    const ONE: f64 = 1.0;

    fn decode(tensor: &Tensor) -> Vec<f64> {
        match tensor.dtype() {
            DType::F16 => decode!(tensor, u16, |bits| f16::from_bits(bits).to_f64()),
            DType::BF16 => decode!(tensor, u16, |bits| bf16::from_bits(bits).to_f64()),
            DType::F32 => decode!(tensor, f32, |value| f64::from(value)),
            DType::F64 => decode!(tensor, f64, |value| value),
            _ => i128::decode(tensor).into_iter().map(|value| value as f64).collect(),
        }
    }

    fn encode(dtype: DType, values: &[f64]) -> Vec<u8> {
        match dtype {
            DType::F16 => encode!(values, 2, |value| f16::from_f32(to_odd_f32(value)).to_le_bytes()),
            DType::BF16 => encode!(values, 2, |value| bf16::from_f32(to_odd_f32(value)).to_le_bytes()),
            DType::F32 => encode!(values, 4, |value| (value as f32).to_le_bytes()),
            DType::F64 => encode!(values, 8, |value| value.to_le_bytes()),
            _ => encode!(values, dtype.bytes(), |value| encode_float(dtype, value)),
        }
    }

    fn add(self, other: f64) -> f64 {
        self + other
    }

    fn mul(self, other: f64) -> f64 {
        self * other
    }

    fn order(self, other: f64) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn maximum(self, other: f64) -> f64 {
        libm::fmaximum(self, other)
    }

    fn minimum(self, other: f64) -> f64 {
        libm::fminimum(self, other)
    }

    fn lowest(_: DType) -> f64 {
        f64::NEG_INFINITY
    }

    fn highest(_: DType) -> f64 {
        f64::INFINITY
    }
}

impl Number for i128 {
    const ONE: i128 = 1;

    fn decode(tensor: &Tensor) -> Vec<i128> {
        match tensor.dtype() {
            DType::I8 => decode!(tensor, i8, |value| i128::from(value)),
            DType::U8 => decode!(tensor, u8, |value| i128::from(value)),
            DType::I32 => decode!(tensor, i32, |value| i128::from(value)),
            DType::I64 => decode!(tensor, i64, |value| i128::from(value)),
            dtype => {
                tensor.data().chunks_exact(dtype.bytes()).map(|bytes| decode_int(dtype, bytes)).collect()
            }
        }
    }

    fn encode(dtype: DType, values: &[i128]) -> Vec<u8> {
        match dtype {
            DType::I8 | DType::U8 => encode!(values, 1, |value| [value as u8]),
            DType::I32 => encode!(values, 4, |value| (value as i32).to_le_bytes()),
            DType::I64 => encode!(values, 8, |value| (value as i64).to_le_bytes()),
            _ => encode!(values, dtype.bytes(), |value| encode_int(dtype, value)),
        }
    }

    fn add(self, other: i128) -> i128 {
        self.wrapping_add(other)
    }

    fn mul(self, other: i128) -> i128 {
        self.wrapping_mul(other)
    }

    fn order(self, other: i128) -> Ordering {
        self.cmp(&other)
    }

    fn is_nan(self) -> bool {
        false
    }

    fn maximum(self, other: i128) -> i128 {
        self.max(other)
    }

    fn minimum(self, other: i128) -> i128 {
        self.min(other)
    }

    fn lowest(dtype: DType) -> i128 {
        dtype.int_range().map_or(0, |range| range.0)
    }

    fn highest(dtype: DType) -> i128 {
        dtype.int_range().map_or(0, |range| range.1)
    }
}

/// Calls a function that is generic over [`Number`] with the number that elements of a dtype are computed in.
macro_rules! by_number {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype.is_float() {
            true => $function::<f64>($($argument),*),
            false => $function::<i128>($($argument),*),
        }
    };
}
pub(super) use by_number;
