//! NumPy's `.npy` files: one array each.
//!
//! Format: NumPy's documentation, `numpy.lib.format` (versions 1.0 to 3.0). Arrays are given and taken in C order
//! and in the CPU's byte order; Fortran order and the other byte order are converted.
//!
//! | npy type | dtype |
//! |---|---|
//! | `b1` | bool |
//! | `i1` `i2` `i4` `i8`, `u1` `u2` `u4` `u8` | i8 … i64, u8 … u64 |
//! | `f2` `f4` `f8` | f16, f32, f64 |
//! | `V2` | bf16 |
//!
//! NumPy has no bfloat16. The `ml_dtypes` package adds one, which `numpy.save` writes as two bytes of raw
//! data (`V2`) and `numpy.load` gives back as such, so that is the form here, too; get at the numbers with
//! `array.view(ml_dtypes.bfloat16)`. Four-bit integers are i8 and u8 arrays in files.

mod header;
mod order;

use alloc::borrow::Cow;
use alloc::vec::Vec;

pub use header::{Header, write_header};

use crate::abi::DType;
use crate::error::Error;
use crate::text::text;

/// An array out of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// Element type; never a 4-bit one.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<i64>,
    /// The elements in C order and the CPU's byte order, at no particular alignment.
    pub data: Cow<'a, [u8]>,
}

/// Whether a file begins as `.npy` files do.
pub fn is_npy(file: &[u8]) -> bool {
    file.starts_with(header::MAGIC)
}

/// Reads a file.
///
/// # Errors
/// `Kind::BadInput` if this is no `.npy` file or a damaged one, `Kind::Unsupported` for element types without
/// a place in the table above, `Kind::System` if memory doesn't suffice.
pub fn read(file: &[u8]) -> Result<Array<'_>, Error> {
    let (header, data) = Header::read(file)?;
    let data = order::to_c_order(&header, data)?;
    Ok(Array { dtype: header.dtype, shape: header.shape, data })
}

/// The number of elements of a shape, or an error if it exceeds what memory can hold.
pub(crate) fn element_count(shape: &[i64]) -> Result<usize, Error> {
    let mut count = Some(1usize);
    for extent in shape {
        let extent =
            usize::try_from(*extent).map_err(|_| Error::bad_input(text!("a dimension is negative")))?;
        if extent == 0 {
            return Ok(0);
        }
        count = count.and_then(|count| count.checked_mul(extent));
    }
    count.ok_or_else(|| Error::bad_input(text!("shape % is too large", crate::text::Shape(shape))))
}
