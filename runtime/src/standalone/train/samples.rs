//! Samples in files, and numbers in the element types of models.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ffi::CStr;

use crate::abi::DType;
use crate::error::Error;
use crate::idx;
use crate::model::Tensor;
use crate::npy::{self, Array, element_count};
use crate::npz::{Archive, gunzip, is_gzip};
use crate::sys::file::{self, quoted};
use crate::text::text;

/// An array with one sample per first index.
#[derive(Debug)]
pub(super) struct Samples {
    /// Elements as the file has them.
    dtype: DType,
    data: Vec<u8>,
    count: usize,
    /// Elements of one sample.
    elements: usize,
    /// What the model takes.
    model_dtype: DType,
    scale: f64,
}

impl Samples {
    /// Reads a file for batches of the input `tensor`, whose first dimension is the batch.
    ///
    /// # Errors
    /// `Kind::BadInput` if the file is no array or its samples are not what the model takes.
    pub(super) fn read(path: &CStr, tensor: &Tensor<'_>, scale: Option<f64>) -> Result<Samples, Error> {
        let mut contents = file::read(path)?;
        let in_file = |error: Error| error.at(&quoted(path));
        if is_gzip(&contents) {
            contents = gunzip(&contents).map_err(in_file)?;
        }
        let array = array(&contents).map_err(in_file)?;
        Samples::new(array, tensor, scale).map_err(in_file)
    }

    fn new(array: Array<'_>, tensor: &Tensor<'_>, scale: Option<f64>) -> Result<Samples, Error> {
        let (dtype, model_dtype) = (array.dtype, tensor.dtype);
        let total = element_count(&array.shape)?;
        let count = array.shape.first().and_then(|count| usize::try_from(*count).ok()).unwrap_or(0);
        if count == 0 {
            return Err(Error::bad_input(text!("holds no samples")));
        }
        let elements = element_count(tensor.bounds().get(1..).unwrap_or(&[]))?;
        if count.checked_mul(elements) != Some(total) {
            let found = total / count;
            return Err(Error::bad_input(text!(
                "a sample has % elements, the model takes %",
                found,
                elements
            )));
        }
        let is_known = number(dtype, &[0; 8]).is_some();
        if !is_known || !matches!(model_dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64) {
            let (from, to) = (dtype.name(), model_dtype.name());
            return Err(Error::unsupported(text!("% can't be given to the model as %", from, to)));
        }
        let samples = Samples {
            dtype,
            data: array.data.into_owned(),
            count,
            elements,
            model_dtype,
            scale: scale.unwrap_or(1.0),
        };
        let is_whole = |x: f64| x as i64 as f64 == x && (-9e15..9e15).contains(&x);
        let is_integer = matches!(model_dtype, DType::I32 | DType::I64);
        match is_integer && !samples.numbers(0..total).all(is_whole) {
            true => Err(Error::bad_input(text!(
                "must hold integers: class indices or what else the model takes as integers"
            ))),
            false => Ok(samples),
        }
    }

    /// Number of samples.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn numbers(&self, elements: core::ops::Range<usize>) -> impl Iterator<Item = f64> {
        let size = self.dtype.bytes();
        let data = self.data.get(elements.start * size..elements.end * size).unwrap_or(&[]);
        data.chunks_exact(size).map(|bytes| number(self.dtype, bytes).unwrap_or(0.0))
    }

    /// Writes the samples `chosen` to a batch, one after the other.
    pub(super) fn fill(&self, chosen: &[usize], batch: &mut [u8]) {
        let size = self.model_dtype.bytes();
        for (sample, place) in chosen.iter().zip(batch.chunks_exact_mut((self.elements * size).max(1))) {
            let first = sample * self.elements;
            let numbers = self.numbers(first..first + self.elements);
            for (number, element) in numbers.zip(place.chunks_exact_mut(size)) {
                let scaled = number * self.scale;
                match self.model_dtype {
                    DType::F32 => element.copy_from_slice(&(scaled as f32).to_ne_bytes()),
                    DType::F64 => element.copy_from_slice(&scaled.to_ne_bytes()),
                    DType::I32 => element.copy_from_slice(&(number as i32).to_ne_bytes()),
                    _ => element.copy_from_slice(&(number as i64).to_ne_bytes()),
                }
            }
        }
    }
}

/// The array of a file: npy, npz with one array, IDX.
fn array(contents: &[u8]) -> Result<Array<'_>, Error> {
    if npy::is_npy(contents) {
        return npy::read(contents);
    }
    if idx::is_idx(contents) {
        return idx::read(contents);
    }
    let archive = Archive::open(contents)
        .map_err(|_| Error::bad_input(text!("is neither an npy, npz nor IDX file")))?;
    let mut names = archive.names();
    match (names.next().and_then(|name| archive.get(name)), names.next()) {
        (Some(array), None) => {
            let array = array?;
            Ok(Array { data: Cow::Owned(array.data.into_owned()), ..array })
        }
        _ => Err(Error::bad_input(text!("must hold exactly one array"))),
    }
}

/// An element, of which the bytes begin with as many as it has; `None` for element types that no training data have.
pub(super) fn number(dtype: DType, bytes: &[u8]) -> Option<f64> {
    macro_rules! element {
        ($kind:ty) => {
            <$kind>::from_ne_bytes(*bytes.first_chunk()?)
        };
    }
    Some(match dtype {
        DType::Bool | DType::U8 => f64::from(element!(u8)),
        DType::I8 => f64::from(element!(i8)),
        DType::I16 => f64::from(element!(i16)),
        DType::U16 => f64::from(element!(u16)),
        DType::I32 => f64::from(element!(i32)),
        DType::U32 => f64::from(element!(u32)),
        DType::I64 => element!(i64) as f64,
        DType::U64 => element!(u64) as f64,
        DType::F32 => f64::from(element!(f32)),
        DType::F64 => element!(f64),
        DType::F16 | DType::Bf16 | DType::I4 | DType::U4 => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi;
    use alloc::vec;

    fn array(dtype: DType, shape: &[i64], data: &[u8]) -> Array<'static> {
        Array { dtype, shape: shape.to_vec(), data: Cow::Owned(data.to_vec()) }
    }

    const DIMS: &[abi::Dim] =
        &[abi::Dim { bound: 2, symbol: -1, extent: -1 }, abi::Dim { bound: 3, symbol: -1, extent: -1 }];

    #[test]
    fn batches_are_converted() {
        let pixels = array(DType::U8, &[3, 3], &[0, 1, 2, 10, 11, 12, 20, 21, 255]);
        let tensor = Tensor { name: "x", dtype: DType::F32, dims: DIMS };
        let samples = Samples::new(pixels, &tensor, Some(0.5)).expect("samples");
        let mut batch = vec![0; 24];
        samples.fill(&[2, 0], &mut batch);
        assert_eq!(batch, [10.0f32, 10.5, 127.5, 0.0, 0.5, 1.0].map(f32::to_ne_bytes).concat());
    }

    #[test]
    fn wrong_samples() {
        let tensor = |dtype| Tensor { name: "x", dtype, dims: DIMS };
        let message = |array, dtype| Samples::new(array, &tensor(dtype), None).map(|_| ()).unwrap_err();
        let short = message(array(DType::U8, &[3, 2], &[0; 6]), DType::F32);
        assert_eq!(short.message(), "a sample has 2 elements, the model takes 3");
        let halves = array(DType::F32, &[1, 3], &[1.5f32; 3].map(f32::to_ne_bytes).concat());
        assert!(message(halves, DType::I64).message().starts_with("must hold integers"));
        assert_eq!(message(array(DType::U8, &[0, 3], &[]), DType::F32).message(), "holds no samples");
        let halves = array(DType::F16, &[1, 3], &[0; 6]);
        assert_eq!(message(halves, DType::F32).message(), "f16 can't be given to the model as f32");
    }
}
