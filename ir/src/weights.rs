//! Tensors in safetensors files, where the text and JSON forms leave large constants.
//!
//! The format is that of <https://github.com/huggingface/safetensors>. It has no 4-bit integers of one byte each: these are stored as `I8`
//! and `U8`, and an entry of the file's metadata, from the tensor's name to `i4` or `u4`, says what they are.

use crate::{DType, Tensor};
use bytes::Bytes;
use safetensors::tensor::{Metadata, TensorInfo, View};
use safetensors::{Dtype, SafeTensorError};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Why a file gives no tensor or can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Bad input: not a safetensors file, or a damaged one.
    #[error("this is no safetensors file: {0}")]
    Format(String),
    /// Bad input: the file has no tensor of this name.
    #[error("the file has no tensor `{0}`")]
    Missing(String),
    /// Unsupported: an element type that the IR does not have.
    #[error("the tensor `{name}` has elements of type {dtype}")]
    DType {
        /// The tensor's name.
        name: String,
        /// Its element type in the file.
        dtype: String,
    },
    /// Bad input: bytes that are no element of the tensor's type.
    #[error("the tensor `{name}` holds a value outside {dtype}")]
    Value {
        /// The tensor's name.
        name: String,
        /// Its element type.
        dtype: DType,
    },
    /// Bad input: the format reserves this name, or two tensors have it.
    #[error("no tensor may be named `{0}`, or a second one")]
    Name(String),
    /// The file can't be written.
    #[error("can't write the tensors: {0}")]
    Write(#[source] SafeTensorError),
}

/// A safetensors file in memory. Its tensors share its bytes.
#[derive(Clone, Debug)]
pub struct WeightsFile {
    metadata: Metadata,
    data: Bytes,
}

impl WeightsFile {
    /// Reads the file's header; the bytes may be a memory-mapped file.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn parse(bytes: impl Into<Bytes>) -> Result<WeightsFile, WeightsError> {
        let bytes = bytes.into();
        let format = |reason: &str| WeightsError::Format(reason.into());
        let length = bytes.first_chunk::<8>().ok_or_else(|| format("it is too short"))?;
        let end = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| length.checked_add(8));
        let end = end.filter(|end| *end <= bytes.len()).ok_or_else(|| format("its header is too short"))?;
        let metadata: Metadata = serde_json::from_slice(&bytes[8..end])
            .map_err(|error| WeightsError::Format(error.to_string()))?;
        match metadata.data_len() == bytes.len() - end {
            true => Ok(WeightsFile { metadata, data: bytes.slice(end..) }),
            false => Err(format("it does not have the length that its header states")),
        }
    }

    /// The names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// A tensor.
    ///
    /// # Errors
    /// It is missing, has another element type than those of the IR, or a bool or 4-bit integer is out of range.
    pub fn tensor(&self, name: &str) -> Result<Tensor, WeightsError> {
        let info = self.metadata.info(name).ok_or_else(|| WeightsError::Missing(name.into()))?;
        let dtype = self.dtype(name, info)?;
        let (start, end) = info.data_offsets;
        let data = self.data.slice(start..end);
        if let (Some((low, high)), true) =
            (dtype.int_range(), matches!(dtype, DType::Bool | DType::I4 | DType::U4))
        {
            // The element's own decoding would hide what is out of range.
            let stored = if dtype == DType::I4 { DType::I8 } else { DType::U8 };
            let values = data.chunks(1).map(|byte| crate::element::decode_int(stored, byte));
            if !values.into_iter().all(|value| (low..=high).contains(&value)) {
                return Err(WeightsError::Value { name: name.into(), dtype });
            }
        }
        Tensor::new(dtype, info.shape.clone(), data).map_err(|error| WeightsError::Format(error.to_string()))
    }

    fn dtype(&self, name: &str, info: &TensorInfo) -> Result<DType, WeightsError> {
        let noted = self.metadata.metadata().as_ref().and_then(|notes| notes.get(name)).map(String::as_str);
        match (info.dtype, noted) {
            (Dtype::I8, Some("i4")) => Ok(DType::I4),
            (Dtype::U8, Some("u4")) => Ok(DType::U4),
            (stored, _) => DType::ALL
                .iter()
                .copied()
                .find(|dtype| stored_dtype(*dtype) == stored && dtype.bits() != 4)
                .ok_or_else(|| WeightsError::DType { name: name.into(), dtype: format!("{stored:?}") }),
        }
    }
}

/// The element type in the file.
fn stored_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::I4 | DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U4 | DType::U8 => Dtype::U8,
        DType::U16 => Dtype::U16,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

struct Stored<'a>(&'a Tensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        stored_dtype(self.0.dtype())
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.0.is_deferred() {
            true => Cow::Owned(self.0.to_bytes().into()),
            false => Cow::Borrowed(self.0.data()),
        }
    }

    fn data_len(&self) -> usize {
        self.0.byte_len()
    }
}

/// The notes on 4-bit tensors, and a check of the names.
fn notes(tensors: &[(&str, &Tensor)]) -> Result<Option<HashMap<String, String>>, WeightsError> {
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let repeated = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    if let Some(name) = repeated.or_else(|| names.iter().copied().find(|name| *name == RESERVED_NAME)) {
        return Err(WeightsError::Name(name.into()));
    }
    let four_bits = tensors.iter().filter(|(_, tensor)| tensor.dtype().bits() == 4);
    let notes: HashMap<String, String> =
        four_bits.map(|(name, tensor)| (name.to_string(), tensor.dtype().to_string())).collect();
    Ok(Some(notes).filter(|notes| !notes.is_empty()))
}

/// The key of the file's metadata, which no tensor may have.
pub(crate) const RESERVED_NAME: &str = "__metadata__";

/// Writes tensors under their names. An existing file is replaced once the new one is complete.
///
/// # Errors
/// [`WeightsError::Name`], [`WeightsError::Write`].
pub fn write_weights(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<(), WeightsError> {
    let notes = notes(tensors)?;
    let stored = tensors.iter().map(|(name, tensor)| (*name, Stored(tensor)));
    // The library makes files that only their owner may read; this one gets the permissions of an ordinary file.
    let failed = |error: std::io::Error| WeightsError::Write(error.into());
    let permissions =
        std::fs::File::create(path).and_then(|file| file.metadata()).map_err(failed)?.permissions();
    safetensors::serialize_to_file(stored, notes, path).map_err(WeightsError::Write)?;
    std::fs::set_permissions(path, permissions).map_err(failed)
}

/// The bytes of a file of tensors under their names.
///
/// # Errors
/// [`WeightsError::Name`], [`WeightsError::Write`].
pub fn weights_bytes(tensors: &[(&str, &Tensor)]) -> Result<Vec<u8>, WeightsError> {
    let notes = notes(tensors)?;
    let stored = tensors.iter().map(|(name, tensor)| (*name, Stored(tensor)));
    safetensors::serialize(stored, notes).map_err(WeightsError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(String, Tensor)> {
        let tensor = |dtype: DType| {
            let bytes = dtype.bytes();
            let one = crate::element::encode_int(dtype, 1);
            let data = [one.as_slice(), vec![0; bytes * 5].as_slice()].concat();
            (dtype.to_string(), Tensor::new(dtype, vec![2, 3], data).unwrap())
        };
        let mut tensors: Vec<_> = DType::ALL.iter().copied().map(tensor).collect();
        tensors.push(("empty".into(), Tensor::new(DType::F32, vec![0, 3], Vec::new()).unwrap()));
        tensors.push(("scalar/with: \"odd\" name".into(), Tensor::scalar(DType::F64, f64::MIN_POSITIVE)));
        tensors
    }

    fn borrowed(tensors: &[(String, Tensor)]) -> Vec<(&str, &Tensor)> {
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
    }

    #[test]
    fn every_dtype_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let tensors = sample();
        write_weights(&path, &borrowed(&tensors)).unwrap();
        let permissions = |path: &Path| std::fs::metadata(path).unwrap().permissions();
        let ordinary = folder.path().join("ordinary");
        std::fs::write(&ordinary, "").unwrap();
        assert_eq!(permissions(&path), permissions(&ordinary));
        let file = WeightsFile::parse(std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(file.names().len(), tensors.len());
        for (name, tensor) in &tensors {
            assert_eq!(file.tensor(name).unwrap(), *tensor, "{name}");
        }
        assert!(matches!(file.tensor("other"), Err(WeightsError::Missing(_))));
    }

    #[test]
    fn names_are_checked() {
        let tensor = Tensor::scalar(DType::F32, 1.0);
        let path = Path::new("/nonexistent/w.safetensors");
        for names in [["a", "a"], ["a", RESERVED_NAME]] {
            let tensors = names.map(|name| (name, &tensor));
            assert!(matches!(write_weights(path, &tensors), Err(WeightsError::Name(_))));
        }
        assert!(matches!(write_weights(path, &[("a", &tensor)]), Err(WeightsError::Write(_))));
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = file(r#"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#, &[1, 0]);
        assert_eq!(WeightsFile::parse(good.clone()).unwrap().tensor("a").unwrap().to_ints().unwrap(), [1, 0]);
        for length in 0..good.len() {
            assert!(WeightsFile::parse(good[..length].to_vec()).is_err());
        }
        // Offsets that overflow when the header's length is added.
        let huge = 1u64 << 61;
        let tensor = |index: u64, size: u64| {
            format!(
                r#""{index}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{},{}]}}"#,
                index * huge,
                index * huge + size
            )
        };
        let sizes = [huge, huge, huge, huge, huge, huge, huge, huge - 1].into_iter().zip(0..);
        let header = sizes.map(|(size, index)| tensor(index, size)).collect::<Vec<_>>().join(",");
        assert!(WeightsFile::parse(file(&format!("{{{header}}}"), &[])).is_err());
        let value = |text: &str, byte| WeightsFile::parse(file(text, &[byte])).unwrap().tensor("a");
        let bool = r#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#;
        assert!(matches!(value(bool, 2), Err(WeightsError::Value { dtype: DType::Bool, .. })));
        let small = r#"{"__metadata__":{"a":"i4"},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#;
        assert_eq!(value(small, 0xf8).unwrap().to_ints().unwrap(), [-8]);
        assert!(matches!(value(small, 8), Err(WeightsError::Value { dtype: DType::I4, .. })));
        let other = r#"{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}"#;
        assert!(matches!(value(other, 0), Err(WeightsError::DType { .. })));
    }
}
