//! Tensor types and host tensors.

use crate::{DType, Dim, MAX_ELEMENTS};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;

/// Extents, outermost first.
pub type Shape = SmallVec<[Dim; 4]>;

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Shape,
}

impl TensorType {
    /// A type from its parts.
    pub fn new<D: Into<Dim>>(dtype: DType, shape: impl IntoIterator<Item = D>) -> TensorType {
        TensorType { dtype, shape: shape.into_iter().map(Into::into).collect() }
    }

    /// The type of a rank-0 tensor.
    pub fn scalar(dtype: DType) -> TensorType {
        TensorType { dtype, shape: Shape::new() }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> Dim {
        self.shape.iter().fold(Dim::ONE, |product, dim| product * dim)
    }

    /// The largest number of elements, or `None` above [`MAX_ELEMENTS`] or for an extent that is negative for all values of its
    /// symbols. An extent that is negative for some values only is an error once the symbols have these values.
    pub fn checked_upper_elements(&self) -> Option<i64> {
        let mut product = 1i64;
        let mut empty = false;
        for dim in &self.shape {
            let high = dim.upper();
            if !(0..=MAX_ELEMENTS).contains(&high) {
                return None;
            }
            empty |= high == 0;
            product = product.saturating_mul(high.max(1));
        }
        match (empty, product <= MAX_ELEMENTS) {
            (true, true) => Some(0),
            (false, true) => Some(product),
            (_, false) => None,
        }
    }

    /// The extents, where all are known when compiling.
    pub fn const_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(|dim| usize::try_from(dim.as_const()?).ok()).collect()
    }

    /// The same shape with another element type.
    pub fn with_dtype(&self, dtype: DType) -> TensorType {
        TensorType { dtype, shape: self.shape.clone() }
    }
}

/// `f32[N, 3, 224]`; a scalar is `f32[]`.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (place, dim) in self.shape.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

/// A tensor in memory: little-endian elements in row-major order, 4-bit integers one per byte.
///
/// The bytes are shared and may be a part of a memory-mapped file, so they may be unaligned.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

/// The bytes do not fit the tensor's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dtype} tensor of shape {shape:?} does not take {bytes} bytes")]
pub struct SizeMismatch {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
    /// Number of bytes given.
    pub bytes: usize,
}

impl Tensor {
    /// A tensor over `data`, whose length must be exactly that of the elements.
    pub fn new(dtype: DType, shape: Vec<usize>, data: impl Into<Bytes>) -> Result<Tensor, SizeMismatch> {
        let data = data.into();
        let expected = shape.iter().try_fold(dtype.bytes(), |product, dim| product.checked_mul(*dim));
        match expected == Some(data.len()) {
            true => Ok(Tensor { dtype, shape, data }),
            false => Err(SizeMismatch { dtype, shape, bytes: data.len() }),
        }
    }

    /// A rank-0 tensor with the element nearest to `value`.
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        Tensor {
            dtype,
            shape: Vec::new(),
            data: crate::element::encode_float(dtype, value).into_vec().into(),
        }
    }

    /// A rank-1 tensor of `i64`.
    pub fn from_i64s(values: &[i64]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: DType::I64, shape: vec![values.len()], data: data.into() }
    }

    /// A tensor of `f32`; the lengths must agree.
    pub fn from_f32s(shape: Vec<usize>, values: &[f32]) -> Result<Tensor, SizeMismatch> {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::new(DType::F32, shape, data)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len() / self.dtype.bytes()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, little-endian, row-major.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The type of the tensor.
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, self.shape.iter().copied())
    }

    /// The elements as integers, if the dtype is an integer or bool.
    pub fn to_ints(&self) -> Option<Vec<i128>> {
        (!self.dtype.is_float()).then(|| {
            let bytes = self.dtype.bytes();
            self.data.chunks_exact(bytes).map(|chunk| crate::element::decode_int(self.dtype, chunk)).collect()
        })
    }

    /// The elements as `i64`, if the dtype is an integer or bool and all of them fit.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        self.to_ints()?.into_iter().map(|value| i64::try_from(value).ok()).collect()
    }

    /// The elements as `f64`; integers are converted.
    pub fn to_f64s(&self) -> Vec<f64> {
        let bytes = self.dtype.bytes();
        self.data.chunks_exact(bytes).map(|chunk| crate::element::decode_float(self.dtype, chunk)).collect()
    }

    /// The only element's value, if all elements have the same bits.
    pub fn splat_value(&self) -> Option<f64> {
        let bytes = self.dtype.bytes();
        let first = self.data.get(..bytes)?;
        self.data
            .chunks_exact(bytes)
            .all(|chunk| chunk == first)
            .then(|| crate::element::decode_float(self.dtype, first))
    }

    /// The same elements under another shape of equal size.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Tensor, SizeMismatch> {
        Tensor::new(self.dtype, shape, self.data.clone())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", self.ty())
    }
}
