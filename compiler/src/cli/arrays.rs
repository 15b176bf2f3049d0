//! Arrays in files.

use super::failure::Failure;
use crate::emit::dtypes::{abi_dtype, from_code, native_order};
use crate::error::{Error, Place};
use crate::program::Port;
use graven_ir::{DType, Tensor};
use graven_runtime::npz::{Archive, Writer};
use graven_runtime::sys::file::OutputFile;
use graven_runtime::{npy, summary};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Tensors by name.
pub(super) type Arrays = BTreeMap<String, Tensor>;

/// The arrays of an npz file; those of an npy file are called `only`, if the caller knows a name.
pub(super) fn read(path: &Path, only: Option<&str>) -> Result<Arrays, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?;
    if npy::is_npy(&bytes) {
        let Some(name) = only else {
            return Err(Failure::file(path, "is an npy file, which has no names; give an npz file"));
        };
        return Ok(BTreeMap::from([(name.to_string(), array(path, npy::read(&bytes))?)]));
    }
    let archive = Archive::open(&bytes).map_err(|error| Failure::file(path, error.message()))?;
    let mut arrays = Arrays::new();
    for name in archive.names() {
        if let Some(found) = archive.get(name) {
            arrays.insert(name.to_string(), array(path, found)?);
        }
    }
    Ok(arrays)
}

/// Whether the file is an npy file.
pub(super) fn is_npy(path: &Path) -> Result<bool, Failure> {
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(8).read_to_end(&mut start));
    read.map_err(|error| Failure::file(path, format!("cannot be read: {error}")))?;
    Ok(npy::is_npy(&start))
}

/// What was read from a file as a tensor.
pub(super) fn array(
    path: &Path,
    read: Result<npy::Array<'_>, graven_runtime::Error>,
) -> Result<Tensor, Failure> {
    let array = read.map_err(|error| match error.exit_code() {
        3 => Failure::Compiler(Error::unsupported(
            Place::new(format!("`{}`", path.display())),
            error.message(),
        )),
        _ => Failure::file(path, error.message()),
    })?;
    let shape: Result<Vec<usize>, _> = array.shape.iter().map(|extent| usize::try_from(*extent)).collect();
    let shape = shape.map_err(|_| Failure::file(path, "an extent is negative"))?;
    let dtype =
        from_code(array.dtype as u32).ok_or_else(|| Failure::file(path, "has an unknown element type"))?;
    // Files are read in the CPU's byte order; tensors are little-endian.
    let data = native_order(dtype, array.data.into_owned());
    Tensor::new(dtype, shape, data).map_err(|error| Failure::file(path, error))
}

/// Gives arrays the exact types of the ports where a file can't express them: 4-bit integers, and raw bytes as booleans.
pub(super) fn conform(arrays: &mut Arrays, ports: &[Port]) {
    for port in ports {
        let Some(tensor) = arrays.get_mut(&*port.name) else { continue };
        let in_range = |low: i128, high: i128| {
            tensor.to_ints().is_some_and(|values| values.iter().all(|value| (low..=high).contains(value)))
        };
        let fits = match (port.ty.dtype, tensor.dtype()) {
            (DType::I4, DType::I8) => in_range(-8, 7),
            (DType::U4, DType::U8) => in_range(0, 15),
            (DType::Bool, DType::U8) => in_range(0, 1),
            _ => false,
        };
        if fits && let Ok(same) = Tensor::new(port.ty.dtype, tensor.shape().to_vec(), tensor.data().clone()) {
            *tensor = same;
        }
    }
}

/// Writes arrays to an npz file that was begun before the run, so that an unwritable path was noticed then.
pub(super) fn write(file: OutputFile, arrays: &[(String, Tensor)]) -> Result<(), Failure> {
    let failed = |error: graven_runtime::Error| Failure::output(&error);
    let mut writer = Writer::new(file);
    for (name, tensor) in arrays {
        let data = native_order(tensor.dtype(), tensor.data().to_vec());
        writer.add(name, abi_dtype(tensor.dtype()), &shape(tensor), &data).map_err(failed)?;
    }
    writer.finish().and_then(OutputFile::commit).map_err(failed)
}

fn shape(tensor: &Tensor) -> Vec<i64> {
    tensor.shape().iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect()
}

/// One line about a tensor: name, type, least, greatest, mean.
pub(super) fn summary_line(name: &str, tensor: &Tensor) -> String {
    let data = native_order(tensor.dtype(), tensor.data().to_vec());
    summary::line(name, abi_dtype(tensor.dtype()), &shape(tensor), &data)
}

/// `--input NAME=FILE`.
pub(super) fn parse_named(text: &str) -> Result<(String, std::path::PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_string(), file.into())),
        _ => Err("expected NAME=FILE".into()),
    }
}
