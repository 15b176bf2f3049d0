//! Tensors that are given by an op on other tensors and computed when their elements are needed.
//!
//! Passes rearrange and scale large constants without making a copy of each at once: the result is a [`Tensor`] like any other, and whoever
//! writes the weights computes one after the other, with [`Tensor::to_bytes`]. Elements are computed in pieces of [`PIECE`], so that chains of
//! elementwise ops and broadcasts need no intermediate tensor; only what is read out of order (the operand of a transpose that is itself
//! computed) is made as a whole. Sums, differences, products and quotients of f32 run over slices of numbers, which compilers vectorise; every other op is the
//! interpreter's, and both give the same bits.

use crate::infer::{InferError, infer};
use crate::interp::evaluate_op;
use crate::{BinaryOp, Category, Constants, DType, Op, Tensor, TensorType};
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Elements that are computed together.
pub const PIECE: usize = 1 << 14;

/// Ops in a deferred tensor, so that recursion over them is bounded; above it operands are computed first.
const MOST_OPS: usize = 64;

/// An op on tensors.
#[derive(Debug)]
pub(crate) struct Deferred {
    op: Op,
    operands: Vec<Tensor>,
    /// Ops to evaluate, counted once per use.
    ops: usize,
    computed: OnceLock<Bytes>,
}

/// Whether [`Tensor::deferred`] takes the op: functions of elements and movement without data-dependent indices.
pub fn is_deferrable(op: &Op) -> bool {
    match op {
        Op::Quantize { .. } | Op::Dequantize { .. } => false,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice { .. } => true,
        Op::Reverse { .. } | Op::Concat { .. } | Op::Pad { .. } => true,
        op => op.category() == Category::Elementwise,
    }
}

impl Tensor {
    /// The result of an op, computed when its elements are asked for.
    ///
    /// # Errors
    /// The op is not [deferrable](is_deferrable), or does not fit the operands.
    pub fn deferred(op: Op, operands: &[Tensor]) -> Result<Tensor, InferError> {
        let fail = |reason: &str| InferError { op: op.name(), reason: reason.into() };
        if !is_deferrable(&op) {
            return Err(fail("can't be deferred"));
        }
        let types: Vec<TensorType> = operands.iter().map(Tensor::ty).collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let results = infer(&Constants::new(), &op, &types, &[])?;
        let [result] = results.as_slice() else { return Err(fail("has not one result")) };
        let shape = result.const_shape().ok_or_else(|| fail("has symbolic extents"))?;
        let count = |operands: &[Tensor]| 1 + operands.iter().map(Tensor::deferred_ops).sum::<usize>();
        let mut operands = operands.to_vec();
        if count(&operands) > MOST_OPS {
            operands.iter_mut().for_each(|operand| *operand = operand.stored());
        }
        let ops = count(&operands);
        let deferred = Deferred { op, operands, ops, computed: OnceLock::new() };
        Ok(Tensor::from_deferred(result.dtype, shape, Arc::new(deferred)))
    }
}

impl Deferred {
    /// Ops to evaluate.
    pub(crate) fn ops(&self) -> usize {
        self.ops
    }

    /// The elements, kept for the next time.
    pub(crate) fn kept(&self, dtype: DType, shape: &[usize]) -> &Bytes {
        self.computed.get_or_init(|| self.compute(dtype, shape))
    }

    /// The elements.
    pub(crate) fn compute(&self, dtype: DType, shape: &[usize]) -> Bytes {
        if let Some(computed) = self.computed.get() {
            return computed.clone();
        }
        let elements: usize = shape.iter().product();
        let source = self.source(dtype, shape);
        let mut data = Vec::with_capacity(elements * dtype.bytes());
        let mut first = 0;
        while first < elements {
            let piece = first..(first + PIECE).min(elements);
            data.extend_from_slice(&source.read(piece.clone()));
            first = piece.end;
        }
        data.into()
    }

    fn source(&self, dtype: DType, shape: &[usize]) -> Source {
        let kind = match (&self.op, self.operands.as_slice()) {
            (Op::Reshape { .. }, [x]) => return Source { dtype, ..Source::of(x) },
            (op, operands) if op.category() == Category::Elementwise => {
                SourceKind::Elementwise(op.clone(), operands.iter().map(Source::of).collect())
            }
            (op, [x]) => match Strided::of(op, x, shape) {
                Some(strided) => SourceKind::Strided(strided),
                None => SourceKind::Stored(self.whole()),
            },
            _ => SourceKind::Stored(self.whole()),
        };
        Source { dtype, kind }
    }

    /// The elements by the interpreter, all at once.
    fn whole(&self) -> Bytes {
        let operands: Vec<Tensor> = self.operands.iter().map(Tensor::stored).collect();
        interpreted(&self.op, &operands)
    }
}

/// The result of an op whose operands inference has accepted.
///
/// Neither functions of elements nor movement with constant attributes depends on data in such a way that it could fail.
fn interpreted(op: &Op, operands: &[Tensor]) -> Bytes {
    match evaluate_op(op, operands).map(|results| results.into_iter().next()) {
        Ok(Some(result)) => result.to_bytes(),
        Ok(None) => unreachable!("`{}` has a result", op.name()),
        Err(error) => unreachable!("`{}` is defined for all elements: {error}", op.name()),
    }
}

/// Elements that can be read in pieces.
struct Source {
    dtype: DType,
    kind: SourceKind,
}

enum SourceKind {
    Stored(Bytes),
    Elementwise(Op, Vec<Source>),
    Strided(Strided),
}

impl Source {
    fn of(tensor: &Tensor) -> Source {
        match tensor.as_deferred() {
            Some(deferred) if deferred.computed.get().is_none() => {
                deferred.source(tensor.dtype(), tensor.shape())
            }
            _ => Source { dtype: tensor.dtype(), kind: SourceKind::Stored(tensor.to_bytes()) },
        }
    }

    /// The elements at these places in row-major order.
    fn read(&self, places: Range<usize>) -> Bytes {
        let size = self.dtype.bytes();
        match &self.kind {
            SourceKind::Stored(data) => data.slice(places.start * size..places.end * size),
            SourceKind::Strided(strided) => strided.read(places, size).into(),
            SourceKind::Elementwise(op, operands) => {
                let operands: Vec<(DType, Bytes)> =
                    operands.iter().map(|operand| (operand.dtype, operand.read(places.clone()))).collect();
                elementwise(op, operands, places.len())
            }
        }
    }
}

/// A function of `count` elements.
fn elementwise(op: &Op, operands: Vec<(DType, Bytes)>, count: usize) -> Bytes {
    if let (Op::Binary(function), [(DType::F32, x), (_, y)]) = (op, operands.as_slice())
        && let Some(data) = f32_binary(*function, x, y)
    {
        return data.into();
    }
    let tensor = |(dtype, data)| Tensor::new(dtype, vec![count], data);
    match operands.into_iter().map(tensor).collect::<Result<Vec<Tensor>, _>>() {
        Ok(operands) => interpreted(op, &operands),
        Err(error) => unreachable!("pieces have equal lengths: {error}"),
    }
}

fn f32_binary(function: BinaryOp, x: &Bytes, y: &Bytes) -> Option<Vec<u8>> {
    match function {
        BinaryOp::Add => Some(f32_map(x, y, |x, y| x + y)),
        BinaryOp::Sub => Some(f32_map(x, y, |x, y| x - y)),
        BinaryOp::Mul => Some(f32_map(x, y, |x, y| x * y)),
        BinaryOp::Div => Some(f32_map(x, y, |x, y| x / y)),
        _ => None,
    }
}

fn f32_map(x: &Bytes, y: &Bytes, function: impl Fn(f32, f32) -> f32) -> Vec<u8> {
    let mut data = vec![0; x.len()];
    let (x, y) = (x.as_chunks::<4>().0, y.as_chunks::<4>().0);
    for ((place, x), y) in data.as_chunks_mut::<4>().0.iter_mut().zip(x).zip(y) {
        *place = function(f32::from_le_bytes(*x), f32::from_le_bytes(*y)).to_le_bytes();
    }
    data
}

/// A strided view of stored elements.
struct Strided {
    data: Bytes,
    extents: Vec<usize>,
    strides: Vec<isize>,
    start: isize,
}

impl Strided {
    fn of(op: &Op, x: &Tensor, shape: &[usize]) -> Option<Strided> {
        let mut own = vec![1isize; x.shape().len()];
        for axis in (1..own.len()).rev() {
            own[axis - 1] = own[axis] * x.shape()[axis] as isize;
        }
        let mut start = 0;
        let strides = match op {
            Op::Transpose { permutation } => permutation.iter().map(|axis| own[*axis]).collect(),
            Op::Broadcast { dimensions, .. } => {
                let mut strides = vec![0; shape.len()];
                let repeated = |axis: usize| x.shape()[axis] == 1;
                dimensions
                    .iter()
                    .enumerate()
                    .filter(|(axis, _)| !repeated(*axis))
                    .for_each(|(axis, to)| strides[*to] = own[axis]);
                strides
            }
            Op::Slice { start: from, stride, .. } => {
                let mut strides = own;
                for axis in 0..strides.len() {
                    start += strides[axis] * isize::try_from(from[axis].as_const()?).ok()?;
                    // With at most one element the stride is not used and may be larger than any place.
                    strides[axis] = if shape[axis] > 1 { strides[axis] * stride[axis] as isize } else { 0 };
                }
                strides
            }
            Op::Reverse { axes } => {
                let mut strides = own;
                for axis in axes.iter().filter(|axis| shape[**axis] > 0) {
                    start += strides[*axis] * (shape[*axis] as isize - 1);
                    strides[*axis] = -strides[*axis];
                }
                strides
            }
            _ => return None,
        };
        let (extents, strides) = collapsed(shape, &strides);
        Some(Strided { data: x.to_bytes(), extents, strides, start })
    }

    /// The elements at these places of the view.
    fn read(&self, places: Range<usize>, size: usize) -> Vec<u8> {
        match size {
            1 => self.read_sized::<1>(places),
            2 => self.read_sized::<2>(places),
            4 => self.read_sized::<4>(places),
            _ => self.read_sized::<8>(places),
        }
    }

    fn read_sized<const SIZE: usize>(&self, places: Range<usize>) -> Vec<u8> {
        let elements = self.data.as_chunks::<SIZE>().0;
        let mut data = Vec::with_capacity(places.len() * SIZE);
        let (Some(inner), Some(step)) = (self.extents.last().copied(), self.strides.last().copied()) else {
            data.extend_from_slice(&elements[self.start as usize]);
            return data;
        };
        let mut place = places.start;
        while place < places.end {
            let column = place % inner;
            let run = (inner - column).min(places.end - place);
            let first = self.row(place / inner) + column as isize * step;
            match step {
                0 => data.extend_from_slice(&elements[first as usize].repeat(run)),
                1 => data.extend_from_slice(elements[first as usize..first as usize + run].as_flattened()),
                _ => (0..run as isize)
                    .for_each(|n| data.extend_from_slice(&elements[(first + n * step) as usize])),
            }
            place += run;
        }
        data
    }

    /// The place of the first element of a row: an index of all dimensions but the last.
    fn row(&self, mut number: usize) -> isize {
        let mut place = self.start;
        for axis in (0..self.extents.len() - 1).rev() {
            place += (number % self.extents[axis]) as isize * self.strides[axis];
            number /= self.extents[axis];
        }
        place
    }
}

/// The same view with as few dimensions as possible, so that runs are long: neighbours that one stride walks through become one.
fn collapsed(extents: &[usize], strides: &[isize]) -> (Vec<usize>, Vec<isize>) {
    let mut runs: Vec<(usize, isize)> = Vec::with_capacity(extents.len());
    for (extent, stride) in extents.iter().zip(strides).filter(|(extent, _)| **extent != 1) {
        match runs.last_mut() {
            Some(outer) if outer.1 == *stride * *extent as isize => *outer = (outer.0 * *extent, *stride),
            _ => runs.push((*extent, *stride)),
        }
    }
    runs.into_iter().unzip()
}
