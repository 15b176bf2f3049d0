//! The weights blob: the constants of a program, rearranged, as they lie in memory.
//!
//! Parts are made one at a time, from tensors that may be parts of a memory-mapped file, so that no more than the blob itself is in memory. What lies between
//! parts is zero.

use super::packing::pack;
use crate::mapped;
use crate::program::{Packing, Program, WeightsPart, WeightsSource};
use std::io::{self, Write};
use target_lexicon::Endianness;

/// Why there is no blob.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A part that doesn't fit the blob or its tensor: our bug.
    #[error("packing of the weights: {0}; this is a bug in the compiler")]
    Bug(String),
    /// The blob can't be written.
    #[error("writing the weights: {0}")]
    Io(#[from] io::Error),
}

fn bug<T>(what: impl Into<String>) -> Result<T, WeightsError> {
    Err(WeightsError::Bug(what.into()))
}

/// The parts in the order of their offsets, which must not overlap or go beyond the blob.
fn ordered(program: &Program) -> Result<Vec<(u64, usize, &WeightsPart)>, WeightsError> {
    let mut parts = Vec::with_capacity(program.weights.len());
    for part in &program.weights {
        parts.push((part.offset, part_bytes(&part.source)?, part));
    }
    parts.sort_by_key(|(offset, ..)| *offset);
    let mut end = 0;
    for (offset, bytes, _) in &parts {
        if *offset < end {
            return bug(format!("two parts at offset {offset}"));
        }
        end = offset.saturating_add(*bytes as u64);
    }
    match end <= program.weights_bytes {
        true => Ok(parts),
        false => bug(format!("parts up to {end}, but only {} bytes", program.weights_bytes)),
    }
}

/// Writes the blob into memory of its size that is zero.
///
/// # Errors
/// [`WeightsError::Bug`] for parts that don't fit.
pub fn fill(program: &Program, blob: &mut [u8], endianness: Endianness) -> Result<(), WeightsError> {
    for (offset, bytes, part) in ordered(program)? {
        let place = usize::try_from(offset).ok().and_then(|offset| blob.get_mut(offset..)?.get_mut(..bytes));
        let Some(place) = place else { return bug("a blob that is too short") };
        write_part(&part.source, place, endianness)?;
    }
    Ok(())
}

/// Writes the blob to a stream.
///
/// # Errors
/// [`WeightsError::Io`] if the stream fails, [`WeightsError::Bug`] for parts that don't fit.
pub fn stream(
    program: &Program,
    output: &mut impl Write,
    endianness: Endianness,
) -> Result<(), WeightsError> {
    let mut end = 0;
    let mut buffer = Vec::new();
    for (offset, bytes, part) in ordered(program)? {
        zeros(output, offset - end)?;
        end = offset + bytes as u64;
        if let (WeightsSource::Plain(tensor), Endianness::Little) = (&part.source, endianness) {
            let data = tensor.to_bytes();
            output.write_all(&data)?;
            mapped::release(&data);
            continue;
        }
        if let WeightsSource::Packed { tensor, packing } = &part.source {
            let data = tensor.to_bytes();
            let element = tensor.dtype().bytes();
            for piece in pieces(packing, element) {
                buffer.clear();
                buffer.resize(piece.extents.iter().product::<usize>() * element, 0);
                write_packed(&data, element, &piece, &mut buffer, endianness)?;
                output.write_all(&buffer)?;
            }
            mapped::release(&data);
            continue;
        }
        buffer.clear();
        buffer.resize(bytes, 0);
        write_part(&part.source, &mut buffer, endianness)?;
        output.write_all(&buffer)?;
    }
    Ok(zeros(output, program.weights_bytes - end)?)
}

fn zeros(output: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count), output).map(drop)
}

/// A packing cut along its outermost extent, so that a piece takes little memory beside the constant; its size is known to fit an address.
fn pieces(packing: &Packing, element: usize) -> Vec<Packing> {
    let Some((&outermost, inner)) = packing.extents.split_first() else { return vec![packing.clone()] };
    let row = inner.iter().product::<usize>() * element;
    let rows = (PIECE / row.max(1)).max(1);
    let piece = |first: usize| {
        let mut piece = packing.clone();
        piece.extents[0] = rows.min(outermost - first);
        let step = packing.strides.first().copied().unwrap_or(0);
        piece.offset = packing.offset.wrapping_add(step.wrapping_mul(first as isize));
        for limit in &mut piece.limits {
            let before = limit.weights.first().map_or(0, |weight| weight.saturating_mul(first));
            limit.end = limit.end.saturating_sub(before);
        }
        piece
    };
    (0..outermost).step_by(rows).map(piece).collect()
}

/// Bytes of a piece of a packed constant.
const PIECE: usize = 16 << 20;

/// Size of a part in bytes.
fn part_bytes(source: &WeightsSource) -> Result<usize, WeightsError> {
    match source {
        WeightsSource::Plain(tensor) => Ok(tensor.byte_len()),
        WeightsSource::Packed { tensor, packing } => {
            let elements = packing.extents.iter().try_fold(1usize, |all, extent| all.checked_mul(*extent));
            match elements.and_then(|elements| elements.checked_mul(tensor.dtype().bytes())) {
                Some(bytes) => Ok(bytes),
                None => bug("a part beyond all memory"),
            }
        }
    }
}

fn write_part(source: &WeightsSource, place: &mut [u8], endianness: Endianness) -> Result<(), WeightsError> {
    let (WeightsSource::Plain(tensor) | WeightsSource::Packed { tensor, .. }) = source;
    let bytes = tensor.dtype().bytes();
    let data = tensor.to_bytes();
    match source {
        WeightsSource::Plain(_) => {
            place.copy_from_slice(&data);
            in_order(place, bytes, endianness);
        }
        WeightsSource::Packed { packing, .. } => write_packed(&data, bytes, packing, place, endianness)?,
    }
    mapped::release(&data);
    Ok(())
}

/// Rearranges elements of so many bytes.
fn write_packed(
    data: &[u8],
    bytes: usize,
    packing: &Packing,
    place: &mut [u8],
    endianness: Endianness,
) -> Result<(), WeightsError> {
    match bytes {
        1 => pack::<1>(data, packing, place)?,
        2 => pack::<2>(data, packing, place)?,
        4 => pack::<4>(data, packing, place)?,
        _ => pack::<8>(data, packing, place)?,
    }
    in_order(place, bytes, endianness);
    Ok(())
}

/// Brings little-endian elements into the target's order.
fn in_order(place: &mut [u8], bytes: usize, endianness: Endianness) {
    if endianness == Endianness::Big {
        place.chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Packing, PackingLimit};
    use graven_ir::{DType, Tensor};

    fn numbers(shape: Vec<usize>) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 + 1.0).collect();
        Tensor::from_f32s(shape, &values).unwrap()
    }

    fn blob(source: WeightsSource, bytes: u64, endianness: Endianness) -> Vec<u8> {
        let program = Program {
            weights: vec![WeightsPart { offset: 64, source }],
            weights_bytes: 64 + bytes,
            ..Program::default()
        };
        let mut memory = vec![0; 64 + bytes as usize];
        fill(&program, &mut memory, endianness).unwrap();
        let mut streamed = Vec::new();
        stream(&program, &mut streamed, endianness).unwrap();
        assert_eq!(memory, streamed);
        assert_eq!(memory[..64], [0; 64]);
        memory.split_off(64)
    }

    /// The definition of a packing, element by element.
    fn by_definition(tensor: &Tensor, packing: &Packing) -> Vec<u8> {
        let elements: Vec<&[u8]> = tensor.data().chunks(tensor.dtype().bytes()).collect();
        let mut packed = Vec::new();
        for number in 0..packing.extents.iter().product() {
            let mut rest: usize = number;
            let mut coordinates = vec![0; packing.extents.len()];
            for (coordinate, extent) in coordinates.iter_mut().zip(&packing.extents).rev() {
                *coordinate = rest % extent;
                rest /= extent;
            }
            let sum = |weights: &[usize]| coordinates.iter().zip(weights).map(|(c, w)| c * w).sum::<usize>();
            let padding = packing.limits.iter().any(|limit| sum(&limit.weights) >= limit.end);
            let place: isize = coordinates.iter().zip(&packing.strides).map(|(c, s)| *c as isize * s).sum();
            match padding {
                true => packed.extend(vec![0; tensor.dtype().bytes()]),
                false => packed.extend(elements[place as usize]),
            }
        }
        packed
    }

    #[test]
    fn pieces_make_up_the_whole() {
        // Rows of 3 MiB: pieces of five, with padding at the end and elements that are skipped.
        let rows = 11;
        let row = 3 << 18;
        let source: Vec<u8> = (0..rows * row).map(|i| (i % 251) as u8).collect();
        let packing = Packing {
            extents: vec![rows + 2, 4 * row],
            strides: vec![row as isize, 0],
            offset: 0,
            limits: vec![PackingLimit { weights: vec![1, 0], end: rows }],
        };
        let mut whole = vec![0; (rows + 2) * 4 * row];
        pack::<1>(&source, &packing, &mut whole).unwrap();
        let mut joined = Vec::new();
        let pieces = pieces(&packing, 1);
        assert_eq!(pieces.len(), 3);
        for piece in pieces {
            let start = joined.len();
            joined.resize(start + piece.extents.iter().product::<usize>(), 0);
            pack::<1>(&source, &piece, &mut joined[start..]).unwrap();
        }
        assert!(joined == whole);
    }

    fn check(tensor: Tensor, packing: Packing) {
        let expected = by_definition(&tensor, &packing);
        let bytes = expected.len() as u64;
        let size = tensor.dtype().bytes();
        let source = WeightsSource::Packed { tensor, packing };
        assert_eq!(blob(source.clone(), bytes, Endianness::Little), expected);
        let swapped: Vec<u8> =
            expected.chunks(size).flat_map(|element| element.iter().rev()).copied().collect();
        assert_eq!(blob(source, bytes, Endianness::Big), swapped);
    }

    fn limit(weights: &[usize], end: usize) -> PackingLimit {
        PackingLimit { weights: weights.into(), end }
    }

    #[test]
    fn panels_of_a_matrix() {
        // A 5 × 7 matrix in panels of 4 columns: [panel][row][column], with zeros beyond column 7.
        let packing = Packing {
            offset: 0,
            extents: vec![2, 5, 4],
            strides: vec![4, 7, 1],
            limits: vec![limit(&[4, 0, 1], 7)],
        };
        check(numbers(vec![5, 7]), packing);
        // Its transpose in panels of 4 rows of the transpose.
        let packing = Packing {
            offset: 0,
            extents: vec![2, 5, 4],
            strides: vec![4, 7, 1],
            limits: vec![limit(&[4, 0, 1], 6)],
        };
        check(numbers(vec![5, 7]), packing);
        let packing = Packing {
            offset: 0,
            extents: vec![2, 7, 4],
            strides: vec![28, 1, 7],
            limits: vec![limit(&[4, 0, 1], 5)],
        };
        check(numbers(vec![5, 7]), packing);
    }

    #[test]
    fn blocked_filters() {
        // [6 outputs][5 inputs][3][3] as [output block][input block][3][3][input lane][output lane] with lanes of 4.
        let packing = Packing {
            offset: 0,
            extents: vec![2, 2, 3, 3, 4, 4],
            strides: vec![180, 36, 3, 1, 9, 45],
            limits: vec![limit(&[4, 0, 0, 0, 0, 1], 6), limit(&[0, 4, 0, 0, 1, 0], 5)],
        };
        check(numbers(vec![6, 5, 3, 3]), packing);
    }

    #[test]
    fn more_than_a_block() {
        // A matrix of 700 × 37 as [panel][row][column] and transposed, with and without padding, and whole.
        let matrix = numbers(vec![700, 37]);
        let columns = vec![limit(&[16, 0, 1], 37)];
        check(
            matrix.clone(),
            Packing { offset: 0, extents: vec![3, 700, 16], strides: vec![16, 37, 1], limits: columns },
        );
        let rows = vec![limit(&[16, 0, 1], 700)];
        check(
            matrix.clone(),
            Packing { offset: 0, extents: vec![44, 37, 16], strides: vec![592, 1, 37], limits: rows },
        );
        check(
            matrix.clone(),
            Packing { offset: 0, extents: vec![37, 700], strides: vec![1, 37], limits: Vec::new() },
        );
        check(
            matrix.clone(),
            Packing { offset: 0, extents: vec![700, 37], strides: vec![37, 1], limits: Vec::new() },
        );
        let padded = vec![limit(&[1, 0], 699), limit(&[0, 1], 36)];
        check(matrix, Packing { offset: 0, extents: vec![701, 40], strides: vec![37, 1], limits: padded });
        check(
            numbers(vec![3]),
            Packing { offset: 0, extents: vec![5000, 3], strides: vec![0, 1], limits: Vec::new() },
        );
    }

    #[test]
    fn other_strides_and_sizes() {
        let bytes = Tensor::new(DType::U8, vec![10], (0..10).collect::<Vec<u8>>()).unwrap();
        check(
            bytes.clone(),
            Packing { offset: 0, extents: vec![3, 2], strides: vec![2, 0], limits: Vec::new() },
        );
        check(
            bytes.clone(),
            Packing { offset: 0, extents: vec![5, 2], strides: vec![2, 1], limits: vec![limit(&[2, 3], 9)] },
        );
        let words = Tensor::new(DType::I16, vec![5], (0..10).collect::<Vec<u8>>()).unwrap();
        check(words, Packing { offset: 0, extents: vec![3], strides: vec![2], limits: Vec::new() });
        let doubles = Tensor::new(DType::F64, vec![2], (0..16).collect::<Vec<u8>>()).unwrap();
        check(
            doubles,
            Packing {
                offset: 0,
                extents: vec![2, 1, 2],
                strides: vec![0, 5, 1],
                limits: vec![limit(&[0, 0, 1], 1)],
            },
        );
        check(numbers(vec![]), Packing { offset: 0, extents: vec![], strides: vec![], limits: Vec::new() });
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let refused = |packing: Packing| {
            let source = WeightsSource::Packed { tensor: numbers(vec![4]), packing };
            let parts = vec![WeightsPart { offset: 0, source }];
            let program = Program { weights: parts, weights_bytes: 64, ..Program::default() };
            fill(&program, &mut [0; 64], Endianness::Little).is_err()
        };
        assert!(refused(Packing { offset: 0, extents: vec![5], strides: vec![1], limits: Vec::new() }));
        assert!(refused(Packing { offset: 0, extents: vec![2], strides: vec![-1], limits: Vec::new() }));
        assert!(refused(Packing { offset: 0, extents: vec![64], strides: vec![0], limits: Vec::new() }));
        assert!(refused(Packing { offset: 0, extents: vec![2], strides: vec![], limits: Vec::new() }));
        assert!(!refused(Packing { offset: 0, extents: vec![4], strides: vec![1], limits: Vec::new() }));
    }

    #[test]
    fn parts_must_not_overlap() {
        let part = |offset| WeightsPart { offset, source: WeightsSource::Plain(numbers(vec![20])) };
        let program = Program { weights: vec![part(64), part(0)], weights_bytes: 256, ..Program::default() };
        assert!(fill(&program, &mut [0; 256], Endianness::Little).is_err());
    }
}
