//! Shuffles and horizontal reductions.

use super::function::Translator;
use super::lanes::Lanes;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Binary, Horizontal, Type, Val};
use cranelift_codegen::ir::immediates::V128Imm;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use smallvec::SmallVec;

impl Translator<'_, '_> {
    /// `Shuffle`: lane i of the result is lane `lanes[i]` of x followed by y.
    pub fn shuffle(&mut self, x: Val, y: Val, lanes: &[u16]) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let source = self.shape(ty)?;
        let target = self.shape(ty.with_lanes(lanes.len() as u16))?;
        if lanes.iter().any(|lane| usize::from(*lane) >= 2 * source.lanes) {
            return Err(self.bug("a shuffle takes a lane that its operands don't have"));
        }
        let operands = [self.parts(x)?, self.parts(y)?];
        let place = |lane: u16| {
            let lane = usize::from(lane);
            let (part, place) = source.place(lane % source.lanes);
            (operands[lane / source.lanes][part], place)
        };
        if !source.is_vector() {
            return Ok(lanes.iter().map(|lane| place(*lane).0).collect());
        }
        if !target.is_vector() {
            let (part, lane) = place(lanes[0]);
            let value = self.ins().extractlane(part, lane as u8);
            return Ok(SmallVec::from_elem(if ty.is_mask() { self.truth(value) } else { value }, 1));
        }
        let places: SmallVec<[(Value, usize); 16]> = lanes.iter().map(|lane| place(*lane)).collect();
        Ok(places.chunks(target.part_lanes).map(|places| self.gather_lanes(places, &target)).collect())
    }

    /// A part from lanes of other parts.
    fn gather_lanes(&mut self, places: &[(Value, usize)], shape: &Shape) -> Value {
        let first = places[0].0;
        let second = places.iter().map(|(part, _)| *part).find(|part| *part != first).unwrap_or(first);
        if places.iter().any(|(part, _)| *part != first && *part != second) {
            let lanes: Lanes =
                places.iter().map(|(part, lane)| self.ins().extractlane(*part, *lane as u8)).collect();
            let shape = Shape { parts: 1, lanes: lanes.len(), ..*shape };
            return self.join_lanes(&lanes, &shape)[0];
        }
        let words = shape.lane.bytes() as usize / 4;
        let mut selected = [0; 4];
        for (place, (part, lane)) in places.iter().enumerate() {
            let from = if *part == first { *lane } else { *lane + shape.part_lanes };
            for word in 0..words {
                selected[place * words + word] = from * words + word;
            }
        }
        // The unused lanes of a narrow vector repeat what is there, for a simpler pattern.
        for word in places.len() * words..4 {
            selected[word] = selected[word % (places.len() * words)];
        }
        let (x, y) = (self.reinterpret(first, types::I32X4), self.reinterpret(second, types::I32X4));
        let part = self.shuffle_words(x, y, selected);
        self.reinterpret(part, shape.part)
    }

    /// A shuffle of 32-bit lanes: 0 to 3 are those of x, 4 to 7 those of y.
    pub fn shuffle_words(&mut self, x: Value, y: Value, words: [usize; 4]) -> Value {
        if words == [0, 1, 2, 3] {
            return x;
        }
        if words == [4, 5, 6, 7] {
            return y;
        }
        if self.machine.shuffles_bytes || has_instruction(words) {
            return self.byte_shuffle(x, y, words);
        }
        // Each side in its lanes, then one or the other.
        let left = self.byte_shuffle(x, x, words.map(|word| word % 4));
        let right = self.byte_shuffle(y, y, words.map(|word| word % 4));
        let bytes = words.iter().flat_map(|word| [if *word < 4 { 255u8 } else { 0 }; 4]).collect::<Vec<u8>>();
        let mask = self.vector_constant(types::I32X4, bytes);
        self.ins().bitselect(mask, left, right)
    }

    fn byte_shuffle(&mut self, x: Value, y: Value, words: [usize; 4]) -> Value {
        let mut bytes = [0u8; 16];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = (words[place / 4] * 4 + place % 4) as u8;
        }
        let (x, y) = (self.reinterpret(x, types::I8X16), self.reinterpret(y, types::I8X16));
        let mask = self.builder.func.dfg.immediates.push(V128Imm(bytes).0.as_slice().into());
        let shuffled = self.ins().shuffle(x, y, mask);
        self.reinterpret(shuffled, types::I32X4)
    }

    /// `Reduce`: pairwise, lower half with upper half, until one lane is left.
    pub fn reduce(&mut self, op: Horizontal, x: Val) -> Result<Value, CodegenError> {
        let binary = match op {
            Horizontal::Add => Binary::Add,
            Horizontal::Mul => Binary::Mul,
            Horizontal::Min => Binary::Min,
            Horizontal::Max => Binary::Max,
        };
        let ty = self.ty(x);
        let (mut parts, shape) = (self.parts(x)?, self.shape(ty)?);
        while parts.len() > 1 {
            let upper: Parts = parts.drain(parts.len() / 2..).collect();
            parts = self.binary_parts(binary, ty, &parts, &upper)?;
        }
        if !shape.is_vector() {
            return Ok(parts[0]);
        }
        let mut part = parts[0];
        if shape.part_lanes == 4 && shape.lanes >= 4 {
            let words = self.reinterpret(part, types::I32X4);
            let upper = self.shuffle_words(words, words, [2, 3, 2, 3]);
            let upper = self.reinterpret(upper, shape.part);
            part = self.binary_parts(binary, ty, &Parts::from_elem(part, 1), &Parts::from_elem(upper, 1))?[0];
        }
        let (low, high) = (self.ins().extractlane(part, 0), self.ins().extractlane(part, 1));
        let scalar = Type { lanes: 1, ..ty };
        Ok(self.binary_parts(binary, scalar, &Parts::from_elem(low, 1), &Parts::from_elem(high, 1))?[0])
    }
}

/// Whether x86-64 has an instruction for it without SSSE3: `pshufd`, `shufps`, the unpack instructions.
fn has_instruction(words: [usize; 4]) -> bool {
    let of_x = words.map(|word| word < 4);
    let one_side = of_x == [of_x[0]; 4];
    let halves = of_x[0] == of_x[1] && of_x[2] == of_x[3];
    let unpack = matches!(words, [0, 4, 1, 5] | [2, 6, 3, 7] | [0, 1, 4, 5] | [2, 3, 6, 7]);
    one_side || halves || unpack
}
