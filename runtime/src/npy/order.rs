//! Bringing elements into C order and the CPU's byte order.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use super::Header;
use crate::error::Error;
use crate::sys::memory::try_grow;

/// The elements in C order and the CPU's byte order, borrowed if they are already.
pub(super) fn to_c_order<'a>(header: &Header, data: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
    let width = header.dtype.bytes();
    let transposed = header.fortran_order && header.shape.len() > 1;
    let mut elements =
        if transposed { Cow::Owned(transpose(&header.shape, data, width)?) } else { Cow::Borrowed(data) };
    if header.swapped {
        if let Cow::Borrowed(bytes) = elements {
            let mut copy = Vec::new();
            try_grow(&mut copy, bytes.len())?;
            copy.copy_from_slice(bytes);
            elements = Cow::Owned(copy);
        }
        elements.to_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    Ok(elements)
}

/// Reads elements whose first dimension is the innermost into an array whose last one is.
fn transpose(shape: &[i64], data: &[u8], width: usize) -> Result<Vec<u8>, Error> {
    // The header has made sure that the product fits.
    let mut strides = vec![0usize; shape.len()];
    let mut stride = width;
    for (slot, extent) in strides.iter_mut().zip(shape) {
        *slot = stride;
        stride = stride.saturating_mul(*extent as usize);
    }
    let mut result = Vec::new();
    try_grow(&mut result, data.len())?;
    let mut index = vec![0i64; shape.len()];
    let mut offset = 0;
    for element in result.chunks_exact_mut(width) {
        element.copy_from_slice(&data[offset..offset + width]);
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            offset += strides[dimension];
            if index[dimension] < shape[dimension] {
                break;
            }
            offset -= strides[dimension] * shape[dimension] as usize;
            index[dimension] = 0;
        }
    }
    Ok(result)
}
