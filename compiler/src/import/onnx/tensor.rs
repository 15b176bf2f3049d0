//! Tensors of ONNX files: every encoding of the elements, external and sparse ones included.

use super::file::Folder;
use super::proto::{SparseTensorProto, TensorProto, data_type};
use crate::error::{Error, Place};
use crate::import::MemoryBudget;
use bytes::Bytes;
use graven_ir::{DType, MAX_ELEMENTS, Tensor};

/// Bytes that a sparse tensor may take when it is made dense.
const MAX_DENSE_BYTES: usize = 256 << 20;

/// The element type of a number in an ONNX file.
pub(super) fn dtype_of(number: i32) -> Result<DType, String> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        21 => DType::U4,
        22 => DType::I4,
        _ => {
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            return Err(match place.and_then(|place| data_type::NAMES.get(place)) {
                Some(name) => format!("element type {name} is not supported"),
                None => format!("there is no element type number {number}"),
            });
        }
    })
}

/// The number of an element type in an ONNX file.
pub(super) fn number_of(dtype: DType) -> i32 {
    (1..=22).find(|number| dtype_of(*number) == Ok(dtype)).unwrap_or(0)
}

fn place(proto: &TensorProto) -> Place {
    Place::named("tensor", &proto.name)
}

fn is_known_type(number: i32) -> bool {
    usize::try_from(number).is_ok_and(|number| (1..=data_type::NAMES.len()).contains(&number))
}

/// The tensor of a message. Elements in `raw_data` and in external files are shared, not copied.
pub(super) fn tensor(proto: &TensorProto, folder: &mut Folder) -> Result<Tensor, Error> {
    let bad = |reason: String| Error::bad_input(place(proto), reason);
    let dtype = dtype_of(proto.data_type).map_err(|reason| match is_known_type(proto.data_type) {
        true => Error::unsupported(place(proto), reason),
        false => bad(reason),
    })?;
    if proto.segment.is_some() {
        return Err(Error::unsupported(place(proto), "tensors stored in segments are not supported"));
    }
    let shape = shape(&proto.dims).map_err(bad)?;
    let count: usize = shape.iter().product();
    let data = match proto.data_location {
        1 => unpack(dtype, external(proto, dtype, count, folder).map_err(bad)?, count, &folder.memory),
        _ if !proto.raw_data.is_empty() => unpack(dtype, proto.raw_data.clone(), count, &folder.memory),
        _ => typed(proto, dtype, count, &folder.memory),
    };
    let data = data.map_err(bad)?;
    Tensor::new(dtype, shape, data).map_err(|error| bad(error.to_string()))
}

/// Checked extents: none negative, and not too many elements.
fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    let mut product = 1i64;
    for dim in dims {
        if *dim < 0 {
            return Err(format!("has the negative extent {dim}"));
        }
        product = product.saturating_mul((*dim).max(1));
    }
    if product > MAX_ELEMENTS {
        return Err(format!("shape {dims:?} has too many elements"));
    }
    Ok(dims.iter().map(|dim| *dim as usize).collect())
}

/// Bytes that `count` elements take in a file.
fn packed_bytes(dtype: DType, count: usize) -> usize {
    match dtype {
        DType::I4 | DType::U4 => count.div_ceil(2),
        _ => count.saturating_mul(dtype.bytes()),
    }
}

/// The bytes of an external tensor.
fn external(proto: &TensorProto, dtype: DType, count: usize, folder: &mut Folder) -> Result<Bytes, String> {
    external_bytes(proto, Some(packed_bytes(dtype, count)), folder)
}

/// The bytes of an external tensor, which must be so many if that is known.
pub(super) fn external_bytes(
    proto: &TensorProto,
    expected: Option<usize>,
    folder: &mut Folder,
) -> Result<Bytes, String> {
    let entry =
        |key: &str| proto.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("external data has the {key} `{text}`, which is no number")),
        },
    };
    let location = entry("location").ok_or("external data has no location")?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?;
    if let (Some(length), Some(expected)) = (length, expected)
        && length != expected
    {
        return Err(format!("external data has {length} bytes where {expected} are needed"));
    }
    let bytes = folder.open(location)?;
    let length = length.or(expected).unwrap_or(bytes.len().saturating_sub(offset));
    let end = offset.checked_add(length).filter(|end| *end <= bytes.len());
    let end =
        end.ok_or_else(|| format!("external data ends beyond the {} bytes of `{location}`", bytes.len()))?;
    Ok(bytes.slice(offset..end))
}

/// Elements as they lie in a file, 4-bit integers taken apart and truth values made 0 or 1.
fn unpack(dtype: DType, data: Bytes, count: usize, memory: &MemoryBudget) -> Result<Bytes, String> {
    let expected = packed_bytes(dtype, count);
    if data.len() != expected {
        return Err(format!("has {} bytes of data where {expected} are needed", data.len()));
    }
    Ok(match dtype {
        DType::I4 | DType::U4 => {
            take(memory, count)?;
            nibbles(dtype, data.iter().copied(), count)
        }
        DType::Bool if data.iter().any(|byte| *byte > 1) => {
            take(memory, count)?;
            data.iter().map(|byte| (*byte != 0) as u8).collect()
        }
        _ => data,
    })
}

/// Takes bytes of memory for elements that are not shared with the file.
fn take(memory: &MemoryBudget, bytes: usize) -> Result<(), String> {
    memory.take(bytes as u64).map_err(|error| error.to_string())
}

/// 4-bit integers, the lower half of a byte first.
fn nibbles(dtype: DType, data: impl Iterator<Item = u8>, count: usize) -> Bytes {
    let extend = |nibble: u8| match dtype {
        DType::I4 => (((nibble << 4) as i8) >> 4) as u8,
        _ => nibble & 15,
    };
    data.flat_map(|byte| [extend(byte & 15), extend(byte >> 4)]).take(count).collect()
}

/// Elements in one of the typed fields.
fn typed(proto: &TensorProto, dtype: DType, count: usize, memory: &MemoryBudget) -> Result<Bytes, String> {
    let check = |stored: usize, expected: usize| match stored == expected {
        true => take(memory, count.saturating_mul(dtype.bytes())),
        false => Err(format!("has {stored} elements of data where {expected} are needed")),
    };
    match dtype {
        DType::F32 => {
            check(proto.float_data.len(), count)?;
            Ok(proto.float_data.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        DType::F64 => {
            check(proto.double_data.len(), count)?;
            Ok(proto.double_data.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        DType::I64 => {
            check(proto.int64_data.len(), count)?;
            Ok(proto.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        DType::U32 | DType::U64 => {
            check(proto.uint64_data.len(), count)?;
            let bytes = dtype.bytes();
            Ok(proto
                .uint64_data
                .iter()
                .flat_map(|value| value.to_le_bytes().into_iter().take(bytes))
                .collect())
        }
        DType::I4 | DType::U4 => {
            check(proto.int32_data.len(), count.div_ceil(2))?;
            Ok(nibbles(dtype, proto.int32_data.iter().map(|value| *value as u8), count))
        }
        DType::Bool => {
            check(proto.int32_data.len(), count)?;
            Ok(proto.int32_data.iter().map(|value| (*value != 0) as u8).collect())
        }
        DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 | DType::F16 | DType::BF16 => {
            check(proto.int32_data.len(), count)?;
            let bytes = dtype.bytes();
            Ok(proto
                .int32_data
                .iter()
                .flat_map(|value| value.to_le_bytes().into_iter().take(bytes))
                .collect())
        }
    }
}

/// The dense form of a sparse tensor.
pub(super) fn sparse_tensor(proto: &SparseTensorProto, folder: &mut Folder) -> Result<Tensor, Error> {
    let name = proto.values.as_ref().map_or("", |values| values.name.as_str());
    let bad = |reason: String| Error::bad_input(Place::named("sparse tensor", name), reason);
    let values = proto.values.as_ref().ok_or_else(|| bad("has no values".into()))?;
    let indices = proto.indices.as_ref().ok_or_else(|| bad("has no indices".into()))?;
    let values = tensor(values, folder)?;
    let indices = tensor(indices, folder)?;
    let shape = shape(&proto.dims).map_err(bad)?;
    let bytes = values.dtype().bytes();
    let count: usize = shape.iter().product();
    if count.saturating_mul(bytes) > MAX_DENSE_BYTES {
        let reason = format!("shape {shape:?} is too large to be stored densely");
        return Err(Error::unsupported(Place::named("sparse tensor", name), reason));
    }
    take(&folder.memory, count * bytes).map_err(bad)?;
    let places = linear_places(&indices, &shape, values.len()).map_err(bad)?;
    let mut data = vec![0u8; count * bytes];
    for (place, element) in places.into_iter().zip(values.data().chunks_exact(bytes)) {
        let target = data.get_mut(place * bytes..(place + 1) * bytes);
        target
            .ok_or_else(|| bad(format!("index {place} is outside the shape {shape:?}")))?
            .copy_from_slice(element);
    }
    Tensor::new(values.dtype(), shape, data).map_err(|error| bad(error.to_string()))
}

/// Linear indices of the stored elements of a sparse tensor.
fn linear_places(indices: &Tensor, shape: &[usize], count: usize) -> Result<Vec<usize>, String> {
    let numbers = indices.to_i64s().ok_or("has indices that are no integers")?;
    let width = match indices.shape() {
        [n] if *n == count => 1,
        [n, rank] if *n == count && *rank == shape.len() => *rank,
        other => return Err(format!("has indices of shape {other:?} for {count} values")),
    };
    let coordinates = indices.shape().len() == 2;
    let mut places = Vec::with_capacity(count);
    for row in numbers.chunks(width.max(1)).take(count) {
        let mut place = 0usize;
        for (axis, index) in row.iter().enumerate() {
            let extent = if coordinates { shape[axis] } else { shape.iter().product() };
            let index = usize::try_from(*index).ok().filter(|index| *index < extent);
            let index = index.ok_or_else(|| format!("has the index {row:?} outside the shape {shape:?}"))?;
            place = place * extent + index;
        }
        places.push(place);
    }
    Ok(places)
}
