//! Rearranging a constant at the speed of memory.
//!
//! Packed tensors interleave what lies far apart, so that going through either side in order jumps about in the other. Therefore neighbouring
//! dimensions are merged where source and padding allow, the packed tensor is cut into blocks that fit the first-level cache, and both the blocks and the
//! elements within one are visited in the order of the source. Blocks with padding in them go element by element.

use super::weights::WeightsError;
use crate::program::Packing;
use smallvec::SmallVec;
use std::cmp::Reverse;

/// Elements of a block: 16 KiB of `f32`.
const BLOCK: usize = 4096;

/// A dimension of a loop over the packed tensor.
#[derive(Clone, Debug)]
struct Axis {
    extent: usize,
    /// Source elements per step.
    source: isize,
    /// Packed elements per step.
    place: usize,
    /// What a step adds to the left side of each limit.
    weights: SmallVec<[usize; 2]>,
}

type Axes = SmallVec<[Axis; 8]>;

/// Where the loops are.
#[derive(Clone, Debug)]
struct Position {
    source: isize,
    place: usize,
    /// The left side of each limit.
    sums: SmallVec<[usize; 2]>,
}

impl Position {
    fn advance(&mut self, axis: &Axis, steps: usize) {
        self.source = self.source.wrapping_add(axis.source.wrapping_mul(steps as isize));
        self.place += axis.place * steps;
        for (sum, weight) in self.sums.iter_mut().zip(&axis.weights) {
            *sum = sum.saturating_add(weight.saturating_mul(steps));
        }
    }
}

fn bug<T>(what: &str) -> Result<T, WeightsError> {
    Err(WeightsError::Bug(what.into()))
}

/// Rearranges elements of `N` bytes. `place` has exactly as many as the packed tensor.
///
/// # Errors
/// [`WeightsError::Bug`] for a packing that reaches outside `source`.
pub(super) fn pack<const N: usize>(
    source: &[u8],
    packing: &Packing,
    place: &mut [u8],
) -> Result<(), WeightsError> {
    let (source, _) = source.as_chunks::<N>();
    let (place, _) = place.as_chunks_mut::<N>();
    let axes = merged_axes(packing)?;
    if place.is_empty() {
        return Ok(());
    }
    let limits = packing.limits.iter().map(|limit| limit.end).collect();
    let sums = SmallVec::from_elem(0, packing.limits.len());
    Packer { source, place, limits }.pack(axes, Position { source: packing.offset, place: 0, sums })
}

/// The dimensions, outermost first; neighbours that are one dimension to source, limits and packed tensor alike are merged.
fn merged_axes(packing: &Packing) -> Result<Axes, WeightsError> {
    let rank = packing.extents.len();
    let fits = packing.limits.iter().all(|limit| limit.weights.len() == rank);
    if packing.strides.len() != rank || !fits {
        return bug("a packing of another rank than its strides");
    }
    let mut axes = Axes::new();
    let mut place = 1usize;
    for dimension in (0..rank).rev() {
        let axis = Axis {
            extent: packing.extents[dimension],
            source: packing.strides[dimension],
            place,
            weights: packing.limits.iter().map(|limit| limit.weights[dimension]).collect(),
        };
        place = place.saturating_mul(axis.extent);
        match axes.first_mut() {
            _ if axis.extent == 1 => {}
            Some(inner) if continues(&axis, inner) => inner.extent *= axis.extent,
            _ => axes.insert(0, axis),
        }
    }
    Ok(axes)
}

/// Whether a step of `outer` is as many steps of `inner` as that has.
fn continues(outer: &Axis, inner: &Axis) -> bool {
    let steps = inner.extent;
    outer.source == inner.source.wrapping_mul(steps as isize)
        && outer.weights.iter().zip(&inner.weights).all(|(outer, inner)| *outer == inner.wrapping_mul(steps))
}

struct Packer<'a, const N: usize> {
    source: &'a [[u8; N]],
    place: &'a mut [[u8; N]],
    limits: SmallVec<[usize; 2]>,
}

impl<const N: usize> Packer<'_, N> {
    /// Cuts the innermost dimensions off as a block, the last of them in parts, and loops over the blocks.
    fn pack(&mut self, mut axes: Axes, start: Position) -> Result<(), WeightsError> {
        let mut within = Axes::new();
        let mut elements = 1usize;
        while let Some(mut axis) = axes.pop() {
            let part = BLOCK / elements;
            if axis.extent <= part {
                elements *= axis.extent;
                within.push(axis);
                continue;
            }
            if part <= 1 {
                axes.push(axis);
                break;
            }
            let rest = axis.extent % part;
            if rest > 0 {
                self.rest(&axes, &axis, rest, &within, &start)?;
                axis.extent -= rest;
            }
            let mut parts = Axis { extent: axis.extent / part, place: axis.place * part, ..axis.clone() };
            parts.source = axis.source.wrapping_mul(part as isize);
            parts.weights.iter_mut().for_each(|weight| *weight = weight.saturating_mul(part));
            axes.push(parts);
            within.push(Axis { extent: part, ..axis });
            break;
        }
        axes.sort_by_key(|axis| Reverse(axis.source.unsigned_abs()));
        within.sort_by_key(|axis| Reverse(axis.source.unsigned_abs()));
        self.blocks(&axes, &within, start)
    }

    /// The last `rest` steps of an axis, which don't make a whole block.
    fn rest(
        &mut self,
        outer: &Axes,
        axis: &Axis,
        rest: usize,
        within: &Axes,
        start: &Position,
    ) -> Result<(), WeightsError> {
        let mut start = start.clone();
        start.advance(axis, axis.extent - rest);
        let last = Axis { extent: rest, ..axis.clone() };
        // `within` has the innermost axis first.
        let axes = outer.iter().cloned().chain([last]).chain(within.iter().rev().cloned());
        self.pack(axes.collect(), start)
    }

    fn blocks(&mut self, outer: &[Axis], within: &[Axis], mut start: Position) -> Result<(), WeightsError> {
        let Some((axis, inner)) = outer.split_first() else { return self.block(within, &start) };
        for _ in 0..axis.extent {
            self.blocks(inner, within, start.clone())?;
            start.advance(axis, 1);
        }
        Ok(())
    }

    fn block(&mut self, within: &[Axis], start: &Position) -> Result<(), WeightsError> {
        let mut last = start.clone();
        within.iter().for_each(|axis| last.advance(axis, axis.extent - 1));
        if last.sums.iter().zip(&self.limits).any(|(sum, end)| sum >= end) {
            return self.block_with_padding(within, start.clone());
        }
        // The corners in which the source is lowest and highest.
        let reach = |axis: &Axis| axis.source.saturating_mul(axis.extent as isize - 1);
        let low = within.iter().map(reach).fold(start.source, |low, reach| low.saturating_add(reach.min(0)));
        let high =
            within.iter().map(reach).fold(start.source, |high, reach| high.saturating_add(reach.max(0)));
        if low < 0 || high.unsigned_abs() >= self.source.len() || last.place >= self.place.len() {
            return bug("an element outside its tensor");
        }
        self.copy(within, start.source, start.place);
        Ok(())
    }

    /// Copies what is in bounds.
    fn copy(&mut self, axes: &[Axis], source: isize, place: usize) {
        match axes {
            [] => self.place[place] = self.source[source as usize],
            [axis] => self.copy_row(axis, source, place),
            [axis, inner @ ..] => {
                for step in 0..axis.extent {
                    let source = source + axis.source * step as isize;
                    self.copy(inner, source, place + axis.place * step);
                }
            }
        }
    }

    fn copy_row(&mut self, axis: &Axis, source: isize, place: usize) {
        let places = &mut self.place[place..];
        if axis.source == 1 {
            let taken = &self.source[source as usize..][..axis.extent];
            match axis.place {
                1 => places[..axis.extent].copy_from_slice(taken),
                step => places.iter_mut().step_by(step).zip(taken).for_each(|(to, from)| *to = *from),
            }
            return;
        }
        for (step, to) in places.iter_mut().step_by(axis.place).take(axis.extent).enumerate() {
            *to = self.source[(source + axis.source * step as isize) as usize];
        }
    }

    fn block_with_padding(&mut self, within: &[Axis], mut start: Position) -> Result<(), WeightsError> {
        let Some((axis, inner)) = within.split_first() else {
            let padding = start.sums.iter().zip(&self.limits).any(|(sum, end)| sum >= end);
            let element = match padding {
                true => Some(&[0; N]),
                false => usize::try_from(start.source).ok().and_then(|source| self.source.get(source)),
            };
            return match (element, self.place.get_mut(start.place)) {
                (Some(from), Some(to)) => {
                    *to = *from;
                    Ok(())
                }
                _ => bug("an element outside its tensor"),
            };
        };
        for _ in 0..axis.extent {
            self.block_with_padding(inner, start.clone())?;
            start.advance(axis, 1);
        }
        Ok(())
    }
}
