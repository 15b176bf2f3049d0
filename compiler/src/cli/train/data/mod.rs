//! Training data in files: one sample per entry of the first dimension.
//!
//! * [`csv`]: numbers in rows
//!
//! npy, npz and IDX files are read by the runtime, as in executables.

mod csv;

use super::super::arrays;
use super::super::failure::Failure;
use graven_ir::{DType, Tensor};
use graven_runtime::idx;
use std::io::Read;
use std::path::Path;

/// The array of a file: npy, npz with one array, IDX with or without gzip, csv with or without gzip.
pub(super) fn read(path: &Path) -> Result<Tensor, Failure> {
    let unreadable = |error: std::io::Error| Failure::file(path, format!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut start = Vec::new();
    file.take(6).read_to_end(&mut start).map_err(unreadable)?;
    let tensor = match start.starts_with(b"PK") || start.starts_with(b"\x93NUMPY") {
        true => only_array(path)?,
        false => {
            let bytes = decompressed(path, std::fs::read(path).map_err(unreadable)?)?;
            match idx::is_idx(&bytes) {
                true => arrays::array(path, idx::read(&bytes))?,
                false => csv::parse(&bytes).map_err(|reason| Failure::file(path, reason))?,
            }
        }
    };
    match tensor.shape().first() {
        Some(samples) if *samples > 0 => Ok(tensor),
        _ => Err(Failure::file(path, "holds no samples")),
    }
}

/// The bytes without gzip.
fn decompressed(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain);
    read.map_err(|error| Failure::file(path, format!("is no valid gzip file: {error}")))?;
    Ok(plain)
}

fn only_array(path: &Path) -> Result<Tensor, Failure> {
    let mut arrays = arrays::read(path, Some("array"))?.into_values();
    match (arrays.next(), arrays.next()) {
        (Some(array), None) => Ok(array),
        _ => Err(Failure::file(path, "must hold exactly one array")),
    }
}

/// Samples of one shape and dtype, ready to be put into batches.
pub(super) struct Samples {
    dtype: DType,
    shape: Vec<usize>,
    /// Bytes of one sample.
    size: usize,
    data: Vec<u8>,
}

impl Samples {
    /// The array's samples as `shape` of `dtype`, times `scale` (floats only).
    pub(super) fn new(
        path: &Path,
        array: &Tensor,
        dtype: DType,
        shape: &[usize],
        scale: Option<f64>,
    ) -> Result<Samples, Failure> {
        let count = array.shape().first().copied().unwrap_or(0);
        let elements: usize = shape.iter().product();
        if count.checked_mul(elements) != Some(array.len()) {
            let reason =
                format!("a sample has {} elements, the model takes {elements}", array.len() / count.max(1));
            return Err(Failure::file(path, reason));
        }
        let scale = scale.unwrap_or(1.0);
        let numbers = array.to_f64s();
        let data = match dtype {
            DType::F32 => numbers.iter().flat_map(|x| ((x * scale) as f32).to_ne_bytes()).collect(),
            DType::F64 => numbers.iter().flat_map(|x| (x * scale).to_ne_bytes()).collect(),
            DType::I64 => whole(path, &numbers)?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::I32 => whole(path, &numbers)?.iter().flat_map(|x| (*x as i32).to_ne_bytes()).collect(),
            other => return Err(Failure::file(path, format!("can't be given to a model as {other}"))),
        };
        Ok(Samples { dtype, shape: shape.to_vec(), size: elements * dtype.bytes(), data })
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.data.len() / self.size.max(1)
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape of a batch of so many samples.
    pub(super) fn batch_shape(&self, count: usize) -> Vec<usize> {
        std::iter::once(count).chain(self.shape.iter().copied()).collect()
    }

    /// Bytes of a batch of so many samples.
    pub(super) fn batch_bytes(&self, count: usize) -> usize {
        self.size * count
    }

    /// Copies the samples `order` to `batch`, one after the other.
    pub(super) fn fill(&self, order: &[usize], batch: &mut [u8]) {
        for (sample, place) in order.iter().zip(batch.chunks_exact_mut(self.size)) {
            place.copy_from_slice(&self.data[sample * self.size..][..self.size]);
        }
    }
}

fn whole(path: &Path, numbers: &[f64]) -> Result<Vec<i64>, Failure> {
    let integer = |x: &f64| (x.fract() == 0.0 && x.abs() < 9e15).then_some(*x as i64);
    let wrong =
        || Failure::file(path, "must hold integers: class indices or what else the model takes as integers");
    numbers.iter().map(|x| integer(x).ok_or_else(wrong)).collect()
}
