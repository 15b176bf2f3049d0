//! Shuffles and horizontal reductions.

use super::super::inst::{Op, Width};
use super::super::vcode::Mem;
use super::Isel;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Binary, Element, Horizontal, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::SmallVec;

/// A lane of a register of some width.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source {
    register: VReg,
    lane: usize,
}

impl Isel<'_> {
    /// `Shuffle`: lane i of the result is lane `lanes[i]` of x followed by y.
    pub fn shuffle(&mut self, x: Val, y: Val, lanes: &[u16]) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let operands = [self.parts(x)?, self.parts(y)?];
        if !ty.is_mask() || !self.level.avx512 {
            return self.shuffle_parts(&operands, ty, lanes);
        }
        // Mask registers have no shuffles.
        let numbers = Type::vector(DType::I32, ty.lanes);
        let operands = [self.numbers_of_mask(&operands[0], ty)?, self.numbers_of_mask(&operands[1], ty)?];
        let shuffled = self.shuffle_parts(&operands, numbers, lanes)?;
        let count = lanes.len() as u16;
        self.mask_of_numbers(&shuffled, numbers.with_lanes(count), ty.with_lanes(count))
    }

    fn shuffle_parts(
        &mut self,
        operands: &[Parts; 2],
        ty: Type,
        lanes: &[u16],
    ) -> Result<Parts, CodegenError> {
        let source = self.shape(ty)?;
        let target = self.shape(ty.with_lanes(lanes.len() as u16))?;
        if lanes.iter().any(|lane| usize::from(*lane) >= 2 * source.lanes) {
            return Err(self.bug("a shuffle takes a lane that its operands don't have"));
        }
        // In lanes of 32 bits.
        let words = source.bytes / 4;
        let places: Vec<Source> = lanes
            .iter()
            .flat_map(|lane| {
                let lane = usize::from(*lane);
                let (part, place) = source.place(lane % source.lanes);
                let register = operands[lane / source.lanes][part];
                (0..words).map(move |word| Source { register, lane: place * words + word })
            })
            .collect();
        let width = source.width.max(target.width);
        let per_part = target.part_lanes() * words;
        Ok(places.chunks(per_part).map(|places| self.gather_words(places, width)).collect())
    }

    /// Elements of 32 bits that lie a few elements apart: whole vectors that hold them, and permutations. Nothing behind the last element is read.
    pub fn load_spaced(&mut self, shape: &Shape, first: Mem, stride: usize) -> Parts {
        let lanes = shape.part_lanes();
        let last = (lanes - 1) * stride + 1 - lanes;
        let starts: SmallVec<[usize; 4]> = (0..stride).map(|n| (n * lanes).min(last)).collect();
        (0..shape.parts)
            .map(|part| {
                let registers: SmallVec<[VReg; 4]> = starts
                    .iter()
                    .map(|start| {
                        let mem = self.further(first, ((part * lanes * stride + start) * 4) as i64);
                        self.b.def(Op::Load, shape.width, &[mem.into()])
                    })
                    .collect();
                let places: Vec<Source> = (0..lanes)
                    .map(|lane| {
                        let n = lane * stride / lanes;
                        Source { register: registers[n], lane: lane * stride - starts[n] }
                    })
                    .collect();
                self.gather_words(&places, shape.width)
            })
            .collect()
    }

    /// A register from 32-bit lanes of others, which have the width at most.
    fn gather_words(&mut self, places: &[Source], width: Width) -> VReg {
        let mut sources: SmallVec<[VReg; 4]> = SmallVec::new();
        for place in places {
            if !sources.contains(&place.register) {
                sources.push(place.register);
            }
        }
        let is_whole = |register: VReg| {
            places.iter().enumerate().all(|(lane, place)| *place == Source { register, lane })
        };
        if is_whole(sources[0]) {
            return sources[0];
        }
        if let [first, second, rest @ ..] = &sources[..]
            && self.level.avx512
        {
            let both = self.picked((*first, *second), places, width);
            return rest.iter().fold(both, |result, source| self.merged(result, *source, places, width));
        }
        let first = self.permuted(sources[0], places, width);
        sources[1..].iter().fold(first, |result, source| self.merged(result, *source, places, width))
    }

    /// The lanes that come from one register at their places; the others are undefined.
    fn permuted(&mut self, register: VReg, places: &[Source], width: Width) -> VReg {
        let lane_of = |lane: usize| match places.get(lane) {
            Some(place) if place.register == register => place.lane,
            _ => lane % (width.bytes() / 4),
        };
        if (0..width.bytes() / 4).all(|lane| lane_of(lane) == lane) {
            return register;
        }
        let shape = words(width);
        if width == Width::X {
            let pattern = (0..4).fold(0i64, |pattern, lane| pattern | (lane_of(lane) as i64) << (2 * lane));
            return self.b.def(Op::ShuffleWords, width, &[register.into(), pattern.into()]);
        }
        let indices = self.lanes_constant(&shape, |lane| lane_of(lane) as u64, 0);
        self.b.def(Op::Perm32, width, &[indices.into(), register.into()])
    }

    /// The lanes that come from two registers at their places; the others are undefined (AVX-512).
    fn picked(&mut self, (first, second): (VReg, VReg), places: &[Source], width: Width) -> VReg {
        let count = width.bytes() / 4;
        let index = |lane: usize| match places.get(lane) {
            Some(place) if place.register == first => place.lane as u64,
            Some(place) if place.register == second => (count + place.lane) as u64,
            _ => lane as u64,
        };
        let indices = self.lanes_constant(&words(width), index, 0);
        self.b.def(Op::PermTwo32, width, &[first.into(), indices.into(), second.into()])
    }

    /// `so_far` with the lanes that come from one register.
    fn merged(&mut self, so_far: VReg, register: VReg, places: &[Source], width: Width) -> VReg {
        let count = width.bytes() / 4;
        let is_taken = |lane: usize| places.get(lane).is_some_and(|place| place.register == register);
        if self.level.avx512 {
            let index = |lane: usize| match places.get(lane) {
                Some(place) if is_taken(lane) => (count + place.lane) as u64,
                _ => lane as u64,
            };
            let indices = self.lanes_constant(&words(width), index, 0);
            return self.b.def(Op::PermTwo32, width, &[so_far.into(), indices.into(), register.into()]);
        }
        let moved = self.permuted(register, places, width);
        let pattern = (0..count).fold(0i64, |pattern, lane| pattern | i64::from(is_taken(lane)) << lane);
        self.b.def(Op::BlendImm32, width, &[so_far.into(), moved.into(), pattern.into()])
    }

    /// `Reduce`: pairwise, lower half with upper half, until one lane is left.
    pub fn reduce(&mut self, op: Horizontal, x: Val) -> Result<VReg, CodegenError> {
        let binary = match op {
            Horizontal::Add => Binary::Add,
            Horizontal::Mul => Binary::Mul,
            Horizontal::Min => Binary::Min,
            Horizontal::Max => Binary::Max,
        };
        let ty = self.ty(x);
        let shape = self.shape(ty)?;
        let mut parts = self.parts(x)?;
        let mut lanes = ty.lanes;
        while parts.len() > 1 {
            lanes /= 2;
            let upper: Parts = parts.drain(parts.len() / 2..).collect();
            let ty = ty.with_lanes((shape.part_lanes() as u16).min(lanes));
            let pairs = parts.iter().zip(&upper);
            parts = pairs.map(|(x, y)| self.combine(binary, ty, *x, *y)).collect::<Result<_, _>>()?;
        }
        let (mut part, mut width) = (parts[0], shape.width);
        while lanes > 1 {
            lanes /= 2;
            let bytes = usize::from(lanes) * shape.bytes;
            let upper = match bytes {
                4 => self.b.def(Op::ShuffleWords, Width::X, &[part.into(), 1i64.into()]),
                _ => self.upper_half(part, width),
            };
            width = Width::of_bytes(bytes);
            let narrow = Type { element: ty.element, lanes: (width.bytes() / shape.bytes) as u16 };
            part = self.combine_in_lowest(binary, narrow, lanes, part, upper)?;
        }
        match ty.element {
            Element::Number(DType::F32 | DType::F64) => Ok(part),
            _ => {
                let op = if shape.bytes == 8 { Op::VectorToInt64 } else { Op::VectorToInt32 };
                Ok(self.b.def(op, Width::X, &[part.into()]))
            }
        }
    }

    /// The last step needs one lane only.
    fn combine_in_lowest(
        &mut self,
        op: Binary,
        ty: Type,
        lanes: u16,
        x: VReg,
        y: VReg,
    ) -> Result<VReg, CodegenError> {
        let is_float = matches!(ty.dtype(), Some(DType::F32 | DType::F64));
        let ty = if lanes == 1 && is_float { ty.with_lanes(1) } else { ty };
        self.combine(op, ty, x, y)
    }
}

/// 32-bit lanes of a register.
fn words(width: Width) -> Shape {
    Shape { width, bytes: 4, parts: 1, lanes: width.bytes() / 4 }
}
