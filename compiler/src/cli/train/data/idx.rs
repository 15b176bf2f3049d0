//! IDX files (LeCun et al., "The MNIST database"): two zero bytes, a type code, the rank, big-endian extents, big-endian elements.

use graven_ir::{DType, Tensor};

/// The array of an IDX file.
pub(super) fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let short = || "is a truncated IDX file".to_string();
    let [0, 0, code, rank, rest @ ..] = bytes else { return Err(short()) };
    let dtype = match code {
        0x08 => DType::U8,
        0x09 => DType::I8,
        0x0b => DType::I16,
        0x0c => DType::I32,
        0x0d => DType::F32,
        0x0e => DType::F64,
        other => return Err(format!("is an IDX file with the unknown type code {other:#04x}")),
    };
    let (extents, data) = rest.split_at_checked(usize::from(*rank) * 4).ok_or_else(short)?;
    let extents: Vec<usize> =
        extents.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes) as usize).collect();
    let bytes = extents.iter().try_fold(dtype.bytes(), |product, extent| product.checked_mul(*extent));
    if bytes != Some(data.len()) {
        return Err(format!(
            "is an IDX file of {} bytes of data, which its shape {extents:?} does not fit",
            data.len()
        ));
    }
    let little: Vec<u8> =
        data.chunks_exact(dtype.bytes()).flat_map(|element| element.iter().rev().copied()).collect();
    Tensor::new(dtype, extents, little).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_big_endian() {
        let bytes = [0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0xff, 0xff];
        let tensor = parse(&bytes).unwrap();
        assert_eq!((tensor.shape(), tensor.to_f64s()), (&[1, 2][..], vec![258.0, -1.0]));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let bytes = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2];
        assert!(parse(&bytes).unwrap_err().contains("2 bytes of data"));
        assert!(parse(&bytes[..6]).unwrap_err().contains("truncated"));
        assert!(parse(&[0, 0, 8, 4, 255, 255, 255, 255]).unwrap_err().contains("truncated"));
        assert!(parse(&[0, 0, 7, 0]).unwrap_err().contains("type code 0x07"));
    }
}
