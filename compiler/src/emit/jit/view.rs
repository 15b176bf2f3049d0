//! Tensors in the caller's memory.

use super::session::SessionError;
use graven_ir::{DType, Tensor};

/// A tensor to read: row-major elements in the machine's byte order, aligned to their size.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: &'a [usize],
    data: &'a [u8],
}

/// A tensor to write.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    dtype: DType,
    shape: &'a [usize],
    data: &'a mut [u8],
}

/// Checks that the memory is a tensor's.
fn check(dtype: DType, shape: &[usize], data: &[u8]) -> Result<(), SessionError> {
    let bytes = shape.iter().try_fold(dtype.bytes(), |bytes, extent| bytes.checked_mul(*extent));
    if bytes != Some(data.len()) {
        return Err(SessionError::Size { dtype, shape: shape.into(), bytes: data.len() });
    }
    match data.is_empty() || data.as_ptr().align_offset(dtype.bytes()) == 0 {
        true => Ok(()),
        false => Err(SessionError::Alignment { dtype }),
    }
}

impl<'a> TensorView<'a> {
    /// A view of memory.
    ///
    /// # Errors
    /// [`SessionError::Size`] or [`SessionError::Alignment`] if the memory is not that of such a tensor.
    pub fn new(dtype: DType, shape: &'a [usize], data: &'a [u8]) -> Result<TensorView<'a>, SessionError> {
        check(dtype, shape, data)?;
        Ok(TensorView { dtype, shape, data })
    }

    /// A view of `f32` numbers.
    ///
    /// # Errors
    /// [`SessionError::Size`] if their number is not that of the shape.
    pub fn f32(shape: &'a [usize], data: &'a [f32]) -> Result<TensorView<'a>, SessionError> {
        TensorView::new(DType::F32, shape, bytemuck::cast_slice(data))
    }

    /// A view of `i64` numbers.
    ///
    /// # Errors
    /// [`SessionError::Size`] if their number is not that of the shape.
    pub fn i64(shape: &'a [usize], data: &'a [i64]) -> Result<TensorView<'a>, SessionError> {
        TensorView::new(DType::I64, shape, bytemuck::cast_slice(data))
    }

    /// A view of a tensor.
    ///
    /// # Errors
    /// [`SessionError::Alignment`] if the tensor is an unaligned part of a file.
    pub fn of(tensor: &'a Tensor) -> Result<TensorView<'a>, SessionError> {
        TensorView::new(tensor.dtype(), tensor.shape(), tensor.data())
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

impl<'a> TensorViewMut<'a> {
    /// A view of memory.
    ///
    /// # Errors
    /// [`SessionError::Size`] or [`SessionError::Alignment`] if the memory is not that of such a tensor.
    pub fn new(
        dtype: DType,
        shape: &'a [usize],
        data: &'a mut [u8],
    ) -> Result<TensorViewMut<'a>, SessionError> {
        check(dtype, shape, data)?;
        Ok(TensorViewMut { dtype, shape, data })
    }

    /// A view of `f32` numbers.
    ///
    /// # Errors
    /// [`SessionError::Size`] if their number is not that of the shape.
    pub fn f32(shape: &'a [usize], data: &'a mut [f32]) -> Result<TensorViewMut<'a>, SessionError> {
        TensorViewMut::new(DType::F32, shape, bytemuck::cast_slice_mut(data))
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements.
    pub fn data(&mut self) -> &mut [u8] {
        self.data
    }
}
