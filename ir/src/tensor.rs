//! Tensor types and host tensors.

use crate::deferred::Deferred;
use crate::{DType, Dim, MAX_ELEMENTS, Op};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

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
/// The bytes are shared and may be a part of a memory-mapped file, so they may be unaligned. A [deferred](Tensor::deferred) tensor computes them when
/// they are asked for.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Stored(Bytes),
    Deferred(Arc<Deferred>),
}

/// The same type and elements.
impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        let same = match (&self.data, &other.data) {
            (Data::Deferred(a), Data::Deferred(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.dtype == other.dtype && self.shape == other.shape && (same || self.data() == other.data())
    }
}

impl Eq for Tensor {}

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
            true => Ok(Tensor { dtype, shape, data: Data::Stored(data) }),
            false => Err(SizeMismatch { dtype, shape, bytes: data.len() }),
        }
    }

    /// A rank-0 tensor with the element nearest to `value`.
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        let data = crate::element::encode_float(dtype, value).into_vec();
        Tensor { dtype, shape: Vec::new(), data: Data::Stored(data.into()) }
    }

    /// A rank-1 tensor of `i64`.
    pub fn from_i64s(values: &[i64]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: DType::I64, shape: vec![values.len()], data: Data::Stored(data.into()) }
    }

    /// A rank-1 tensor of `u64`.
    pub fn from_u64s(values: &[u64]) -> Tensor {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor { dtype: DType::U64, shape: vec![values.len()], data: Data::Stored(data.into()) }
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
        self.shape.iter().product()
    }

    /// Size in bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype.bytes()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, little-endian, row-major. Those of a deferred tensor are computed once and kept; see [`Tensor::to_bytes`].
    pub fn data(&self) -> &Bytes {
        match &self.data {
            Data::Stored(data) => data,
            Data::Deferred(deferred) => deferred.kept(self.dtype, &self.shape),
        }
    }

    /// The elements, little-endian, row-major. Those of a deferred tensor are not kept, so that large ones take memory only where they are used.
    pub fn to_bytes(&self) -> Bytes {
        match &self.data {
            Data::Stored(data) => data.clone(),
            Data::Deferred(deferred) => deferred.compute(self.dtype, &self.shape),
        }
    }

    /// The same tensor, computed.
    pub fn stored(&self) -> Tensor {
        Tensor { dtype: self.dtype, shape: self.shape.clone(), data: Data::Stored(self.to_bytes()) }
    }

    pub(crate) fn from_deferred(dtype: DType, shape: Vec<usize>, deferred: Arc<Deferred>) -> Tensor {
        Tensor { dtype, shape, data: Data::Deferred(deferred) }
    }

    pub(crate) fn as_deferred(&self) -> Option<&Deferred> {
        match &self.data {
            Data::Stored(_) => None,
            Data::Deferred(deferred) => Some(deferred),
        }
    }

    /// Ops that have to be evaluated for the elements.
    pub(crate) fn deferred_ops(&self) -> usize {
        self.as_deferred().map_or(0, Deferred::ops)
    }

    /// Whether the elements are still to be computed.
    pub fn is_deferred(&self) -> bool {
        matches!(self.data, Data::Deferred(_))
    }

    /// The type of the tensor.
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, self.shape.iter().copied())
    }

    /// The elements as integers, if the dtype is an integer or bool.
    pub fn to_ints(&self) -> Option<Vec<i128>> {
        (!self.dtype.is_float()).then(|| {
            let bytes = self.dtype.bytes();
            self.data()
                .chunks_exact(bytes)
                .map(|chunk| crate::element::decode_int(self.dtype, chunk))
                .collect()
        })
    }

    /// The elements as `i64`, if the dtype is an integer or bool and all of them fit.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        self.to_ints()?.into_iter().map(|value| i64::try_from(value).ok()).collect()
    }

    /// The elements as `f64`; integers are converted.
    pub fn to_f64s(&self) -> Vec<f64> {
        let bytes = self.dtype.bytes();
        self.data().chunks_exact(bytes).map(|chunk| crate::element::decode_float(self.dtype, chunk)).collect()
    }

    /// The only element's value, if all elements have the same bits and nothing has to be computed to know it.
    pub fn splat_value(&self) -> Option<f64> {
        let Data::Stored(data) = &self.data else { return None };
        let bytes = self.dtype.bytes();
        let first = data.get(..bytes)?;
        data.chunks_exact(bytes)
            .all(|chunk| chunk == first)
            .then(|| crate::element::decode_float(self.dtype, first))
    }

    /// The same elements under another shape of equal size.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Tensor, SizeMismatch> {
        match &self.data {
            Data::Stored(data) => Tensor::new(self.dtype, shape, data.clone()),
            Data::Deferred(_) => {
                let dims = shape.iter().map(|extent| Dim::from(*extent)).collect();
                let bytes = self.byte_len();
                let mismatch = |_| SizeMismatch { dtype: self.dtype, shape, bytes };
                Tensor::deferred(Op::Reshape { shape: dims }, std::slice::from_ref(self)).map_err(mismatch)
            }
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", self.ty())
    }
}
