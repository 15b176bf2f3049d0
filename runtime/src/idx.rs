//! IDX files (LeCun et al., "The MNIST database"): two zero bytes, a type code, the rank, big-endian extents, big-endian elements.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::abi::DType;
use crate::error::Error;
use crate::npy::{Array, element_count};
use crate::text::text;

/// Whether a file begins as IDX files do.
pub fn is_idx(file: &[u8]) -> bool {
    file.starts_with(&[0, 0])
}

/// Reads a file.
///
/// # Errors
/// `Kind::BadInput` if this is no IDX file or a damaged one.
pub fn read(file: &[u8]) -> Result<Array<'_>, Error> {
    let truncated = || Error::bad_input(text!("is a truncated IDX file"));
    let [0, 0, code, rank, rest @ ..] = file else { return Err(truncated()) };
    let dtype = match code {
        0x08 => DType::U8,
        0x09 => DType::I8,
        0x0b => DType::I16,
        0x0c => DType::I32,
        0x0d => DType::F32,
        0x0e => DType::F64,
        other => {
            return Err(Error::bad_input(text!(
                "is an IDX file with the unknown type code %",
                u64::from(*other)
            )));
        }
    };
    let (extents, data) = rest.split_at_checked(usize::from(*rank) * 4).ok_or_else(truncated)?;
    let shape: Vec<i64> =
        extents.as_chunks().0.iter().map(|bytes| i64::from(u32::from_be_bytes(*bytes))).collect();
    if element_count(&shape).ok().and_then(|count| dtype.byte_len(count)) != Some(data.len()) {
        return Err(Error::bad_input(text!(
            "is an IDX file whose % bytes of data do not fit its shape",
            data.len()
        )));
    }
    let mut data = Cow::Borrowed(data);
    if dtype.bytes() > 1 && cfg!(target_endian = "little") {
        data.to_mut().chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    Ok(Array { dtype, shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_big_endian() {
        let array = read(&[0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xff]).expect("the file");
        let expected = [258i16, -1].map(i16::to_ne_bytes).concat();
        assert_eq!((array.dtype, &array.shape[..], &*array.data), (DType::I16, &[1, 2][..], &expected[..]));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let bytes = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2];
        let message = |bytes: &[u8]| std::string::String::from(read(bytes).unwrap_err().message());
        assert!(message(&bytes).contains("2 bytes of data"));
        assert!(message(&bytes[..6]).contains("truncated"));
        assert!(message(&[0, 0, 8, 4, 255, 255, 255, 255]).contains("truncated"));
        assert!(message(&[0, 0, 7, 0]).contains("type code 7"));
    }
}
