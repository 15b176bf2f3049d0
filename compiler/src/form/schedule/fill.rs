//! Zeros for the places of a buffer where no element lies.

use crate::form::layout::Layout;
use crate::kernel::math::register_type;
use crate::kernel::{Access, BufferId, Kernel, KernelBuilder, Spread};
use crate::program::Cost;
use crate::target::Target;
use graven_ir::{DType, Dim, TensorType};

/// Elements per task of a long stretch.
const CHUNK: i64 = 4096;

/// Vectors that are written one after the other instead of as a loop.
const MOST_UNROLLED: i64 = 4;

/// The kernels, each with the buffer as its only argument, that set the places of a tensor's buffer without elements to zero: one for the halo and one for the last
/// block of an uneven dimension.
pub fn zeros(ty: &TensorType, layout: &Layout, target: &Target) -> Vec<(Kernel, Cost)> {
    let places = Places::of(&ty.shape, layout);
    let mut kernels = Vec::new();
    if let Some(axis) = places.uneven {
        kernels.push(places.kernel(ty.dtype, target, axis, &[axis]));
    }
    let padded: Vec<usize> = (0..places.extents.len())
        .filter(|axis| Some(*axis) != places.uneven && places.is_padded(*axis))
        .collect();
    if let Some(first) = padded.first() {
        kernels.push(places.kernel(ty.dtype, target, *first, &padded));
    }
    kernels
}

/// A buffer as a row-major array of places; dimensions are in the order of memory, without the block, which is part of the stretches.
struct Places {
    /// Places along each dimension: blocks, where it is blocked.
    extents: Vec<Dim>,
    /// The places that hold elements.
    used: Vec<(Dim, Dim)>,
    /// The dimension whose last block holds elements and zeros.
    uneven: Option<usize>,
    /// Elements per place.
    block: i64,
}

impl Places {
    fn of(shape: &[Dim], layout: &Layout) -> Places {
        let block = layout.block.map_or(1, |block| block.size);
        let mut places = Places { extents: Vec::new(), used: Vec::new(), uneven: None, block };
        for (n, axis) in layout.order.iter().enumerate() {
            let (before, after) = layout.halo[*axis];
            let total = &shape[*axis] + before + after;
            if layout.block.is_some_and(|block| block.axis == *axis) {
                let size = Dim::from(block);
                let (first, end) =
                    (Dim::from(before).ceil_div(&size), (&shape[*axis] + before).floor_div(&size));
                let count = total.ceil_div(&size);
                if first != Dim::ZERO || end != count {
                    places.uneven = Some(n);
                }
                places.extents.push(count);
                places.used.push((first, end));
            } else {
                places.extents.push(total);
                places.used.push((Dim::from(before), &shape[*axis] + before));
            }
        }
        places
    }

    fn is_padded(&self, axis: usize) -> bool {
        let (first, end) = &self.used[axis];
        !first.is(0) || *end != self.extents[axis]
    }

    /// Elements per step of a dimension.
    fn stride(&self, axis: usize) -> Dim {
        self.extents[axis + 1..].iter().fold(Dim::from(self.block), |product, extent| product * extent)
    }

    /// A kernel whose tasks are the places of the first `outer` dimensions; it fills what is outside of the used places of the dimensions `padded`.
    fn kernel(&self, dtype: DType, target: &Target, outer: usize, padded: &[usize]) -> (Kernel, Cost) {
        let mut b = KernelBuilder::new("zero");
        let total = self.stride(0) * &self.extents[0];
        let buffer = b.buffer("y0", dtype, total, Access::Write);
        let lanes = target.lanes(register_type(dtype, 1).dtype().map_or(4, DType::bytes));
        let count = self.extents[..outer].iter().fold(Dim::ONE, |product, extent| product * extent);
        let mut fill = Fill { buffer, dtype, lanes };
        let mut elements = Dim::ZERO;
        b.parallel_for(&count, |b, task| {
            let start = task * self.stride_of_tasks(outer);
            for axis in padded {
                let (first, end) = &self.used[*axis];
                for (low, high) in [(&Dim::ZERO, first), (end, &self.extents[*axis])] {
                    if !(high - low).is(0) {
                        let middle: Vec<usize> = (outer..*axis).collect();
                        let inner = self.used_places(&middle);
                        elements = &elements + inner * (high - low) * self.stride(*axis);
                        self.stretches(b, &mut fill, (&start, &middle), (*axis, low, high));
                    }
                }
            }
        });
        let bytes = u64::try_from((elements * count).upper()).unwrap_or(0);
        (b.finish(), Cost { flops: 0, bytes: bytes.saturating_mul(dtype.bytes() as u64) })
    }

    fn stride_of_tasks(&self, outer: usize) -> Dim {
        match outer {
            0 => Dim::ZERO,
            _ => self.stride(outer - 1),
        }
    }

    fn used_places(&self, axes: &[usize]) -> Dim {
        axes.iter().fold(Dim::ONE, |product, axis| product * (&self.used[*axis].1 - &self.used[*axis].0))
    }

    /// Fills the places `low..high` of a dimension for all used places of the dimensions `middle` before it.
    fn stretches(
        &self,
        b: &mut KernelBuilder,
        fill: &mut Fill,
        (start, middle): (&Dim, &[usize]),
        (axis, low, high): (usize, &Dim, &Dim),
    ) {
        let mut loops = Vec::with_capacity(middle.len());
        let mut place = start.clone();
        for outer in middle {
            let (first, end) = &self.used[*outer];
            let nest = b.open_loop((first, end, 1), &[]);
            place = place + &nest.index * self.stride(*outer);
            loops.push(nest);
        }
        let stride = self.stride(axis);
        fill.stretch(b, &(place + low * &stride), &((high - low) * &stride));
        for nest in loops.into_iter().rev() {
            b.close_loop(nest, Vec::new());
        }
    }
}

/// Writes zeros.
struct Fill {
    buffer: BufferId,
    dtype: DType,
    lanes: u16,
}

impl Fill {
    /// Fills `length` elements from `start` on.
    fn stretch(&mut self, b: &mut KernelBuilder, start: &Dim, length: &Dim) {
        let lanes = i64::from(self.lanes);
        if length.as_const().is_some_and(|length| length > CHUNK) {
            let whole = length.floor_div(&Dim::from(CHUNK)) * CHUNK;
            let nest = b.open_loop((&Dim::ZERO, &whole, CHUNK), &[]);
            self.vectors(b, &(start + &nest.index), CHUNK / lanes);
            b.close_loop(nest, Vec::new());
            return self.stretch(b, &(start + &whole), &(length - &whole));
        }
        match length.as_const() {
            Some(length) => {
                self.vectors(b, start, length / lanes);
                let mut done = length / lanes * lanes;
                let mut lanes = self.lanes / 2;
                while lanes > 0 {
                    if length - done >= i64::from(lanes) {
                        self.store(b, &(start + done), lanes);
                        done += i64::from(lanes);
                    }
                    lanes /= 2;
                }
            }
            None => {
                let nest = b.open_loop((&Dim::ZERO, length, 1), &[]);
                self.store(b, &(start + &nest.index), 1);
                b.close_loop(nest, Vec::new());
            }
        }
    }

    fn vectors(&mut self, b: &mut KernelBuilder, start: &Dim, count: i64) {
        let lanes = i64::from(self.lanes);
        let whole = count / MOST_UNROLLED * MOST_UNROLLED;
        if whole > 0 {
            let nest = b.open_loop((&Dim::ZERO, &Dim::from(whole * lanes), MOST_UNROLLED * lanes), &[]);
            for k in 0..MOST_UNROLLED {
                self.store(b, &(start + &nest.index + k * lanes), self.lanes);
            }
            b.close_loop(nest, Vec::new());
        }
        for k in whole..count {
            self.store(b, &(start + k * lanes), self.lanes);
        }
    }

    fn store(&mut self, b: &mut KernelBuilder, place: &Dim, lanes: u16) {
        let zero = b.constant(0.0, register_type(self.dtype, lanes));
        b.store(zero, self.buffer, place, Spread::Contiguous, None);
    }
}
