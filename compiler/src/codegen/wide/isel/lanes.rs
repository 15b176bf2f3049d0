//! Parts and their lanes: taking vectors apart and putting them together.

use super::super::inst::{Op, Width};
use super::Isel;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

impl Isel<'_> {
    /// `Splat`: a scalar in all lanes.
    pub fn splat(&mut self, x: Val, ty: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        let scalar = self.scalar(x)?;
        let part = match ty.dtype() {
            Some(DType::F32) => self.b.def(Op::Broadcast32, shape.width, &[scalar.into()]),
            Some(DType::F64) => self.b.def(Op::Broadcast64, shape.width, &[scalar.into()]),
            Some(_) if shape.bytes == 4 => self.splat_int32(scalar, &shape),
            Some(_) => {
                let low = self.b.def(Op::IntToVector64, Width::X, &[scalar.into()]);
                self.b.def(Op::Broadcast64, shape.width, &[low.into()])
            }
            None => return Err(self.bug("a truth value in all lanes")),
        };
        Ok(Parts::from_elem(part, shape.parts))
    }

    /// A 32-bit integer in all lanes.
    pub fn splat_int32(&mut self, x: VReg, shape: &Shape) -> VReg {
        let low = self.b.def(Op::IntToVector32, Width::X, &[x.into()]);
        self.b.def(Op::Broadcast32, shape.width, &[low.into()])
    }

    /// `Extract`: one lane.
    pub fn extract(&mut self, x: Val, lane: u16) -> Result<VReg, CodegenError> {
        let ty = self.ty(x);
        let parts = self.parts(x)?;
        if ty.lanes == 1 {
            return Ok(parts[0]);
        }
        let (shape, lane) = (self.shape(ty)?, usize::from(lane));
        if lane >= shape.lanes {
            return Err(self.bug(format!("{x} has no lane {lane}")));
        }
        match ty.dtype() {
            Some(DType::F32 | DType::F64) => Ok(self.float_lane(&parts, &shape, lane)),
            Some(_) => Ok(self.int_lane(&parts, &shape, lane)),
            None => {
                let (bits, place) = self.lane_bits(x)?[lane];
                let bit = self.b.def(Op::IntShrImm, Width::W32, &[bits.into(), (place as i64).into()]);
                Ok(self.b.def(Op::IntAndImm, Width::W32, &[bit.into(), 1i64.into()]))
            }
        }
    }

    /// The 128 bits that hold a lane, and the lane's place in them.
    fn lane_block(&mut self, parts: &Parts, shape: &Shape, lane: usize) -> (VReg, usize) {
        let (part, place) = shape.place(lane);
        let per_block = 16 / shape.bytes;
        (self.block_of(parts[part], shape.width, place / per_block), place % per_block)
    }

    /// 128 bits of a register.
    fn block_of(&mut self, x: VReg, width: Width, block: usize) -> VReg {
        match block {
            0 => x,
            _ => self.b.def(Op::Extract128, width, &[x.into(), (block as i64).into()]),
        }
    }

    /// A lane as a scalar float.
    pub fn float_lane(&mut self, parts: &Parts, shape: &Shape, lane: usize) -> VReg {
        let (block, place) = self.lane_block(parts, shape, lane);
        match (place, shape.bytes) {
            (0, _) => block,
            (_, 4) => {
                let pattern = place as i64;
                self.b.def(Op::ShuffleWords, Width::X, &[block.into(), pattern.into()])
            }
            _ => self.b.def(Op::UnpackHigh64, Width::X, &[block.into(), block.into()]),
        }
    }

    /// A lane as a scalar integer.
    pub fn int_lane(&mut self, parts: &Parts, shape: &Shape, lane: usize) -> VReg {
        let (block, place) = self.lane_block(parts, shape, lane);
        let place = place as i64;
        match (place, shape.bytes) {
            (0, 4) => self.b.def(Op::VectorToInt32, Width::X, &[block.into()]),
            (0, _) => self.b.def(Op::VectorToInt64, Width::X, &[block.into()]),
            (_, 4) => self.b.def(Op::ExtractI32, Width::X, &[block.into(), place.into()]),
            _ => self.b.def(Op::ExtractI64, Width::X, &[block.into(), place.into()]),
        }
    }

    /// `Insert`: one lane replaced.
    pub fn insert(&mut self, x: Val, y: Val, lane: u16) -> Result<Parts, CodegenError> {
        let ty = self.ty(x);
        let scalar = self.scalar(y)?;
        if ty.lanes == 1 {
            return Ok(smallvec![scalar]);
        }
        let (mut parts, shape, lane) = (self.parts(x)?, self.shape(ty)?, usize::from(lane));
        if lane >= shape.lanes {
            return Err(self.bug(format!("{x} has no lane {lane}")));
        }
        let (part, place) = shape.place(lane);
        let (dtype, scalar) = match ty.dtype() {
            Some(dtype) => (dtype, scalar),
            None if self.level.avx512 => {
                parts[part] = self.insert_bit(parts[part], scalar, place);
                return Ok(parts);
            }
            // All bits of the lane.
            None => {
                let ones = self.b.def(Op::IntNeg, Width::W64, &[scalar.into()]);
                (if shape.bytes == 8 { DType::I64 } else { DType::I32 }, ones)
            }
        };
        let per_block = 16 / shape.bytes;
        let (block, place) = (place / per_block, place % per_block);
        let old = self.block_of(parts[part], shape.width, block);
        let new = match dtype {
            DType::F32 => self.insert_float(old, scalar, place),
            DType::F64 if place == 0 => {
                let upper = self.b.def(Op::UnpackHigh64, Width::X, &[old.into(), old.into()]);
                self.b.def(Op::UnpackLow64, Width::X, &[scalar.into(), upper.into()])
            }
            DType::F64 => self.b.def(Op::UnpackLow64, Width::X, &[old.into(), scalar.into()]),
            _ => {
                let op = if shape.bytes == 4 { Op::InsertI32 } else { Op::InsertI64 };
                self.b.def(op, Width::X, &[old.into(), scalar.into(), (place as i64).into()])
            }
        };
        parts[part] = match shape.width {
            Width::X => new,
            width => {
                self.b.def(Op::Insert128, width, &[parts[part].into(), new.into(), (block as i64).into()])
            }
        };
        Ok(parts)
    }

    /// A mask register with one bit replaced by a truth value.
    fn insert_bit(&mut self, mask: VReg, truth: VReg, place: usize) -> VReg {
        let bits = self.b.def(Op::MaskToInt, Width::X, &[mask.into()]);
        let others = self.b.def(Op::IntAndImm, Width::W32, &[bits.into(), (!(1i64 << place)).into()]);
        let bit = self.b.def(Op::IntShlImm, Width::W32, &[truth.into(), (place as i64).into()]);
        let bits = self.b.def(Op::IntOr, Width::W32, &[others.into(), bit.into()]);
        self.b.def(Op::IntToMask, Width::X, &[bits.into()])
    }

    fn insert_float(&mut self, x: VReg, scalar: VReg, place: usize) -> VReg {
        let immediate = (place as i64) << 4;
        self.b.def(Op::InsertF32, Width::X, &[x.into(), scalar.into(), immediate.into()])
    }

    /// Blocks of 128 bits, lowest first, as one register.
    pub fn join_blocks(&mut self, blocks: &[VReg], width: Width) -> VReg {
        match blocks {
            [one] => *one,
            [low, high] => self.b.def(Op::Insert128, width, &[(*low).into(), (*high).into(), 1i64.into()]),
            _ => {
                let (low, high) = blocks.split_at(blocks.len() / 2);
                let (low, high) = (self.join_blocks(low, Width::Y), self.join_blocks(high, Width::Y));
                self.b.def(Op::Insert256, Width::Z, &[low.into(), high.into(), 1i64.into()])
            }
        }
    }

    /// Scalars as the lanes of a vector.
    pub fn join_lanes(&mut self, lanes: &[VReg], dtype: DType, shape: &Shape) -> Parts {
        let per_block = 16 / shape.bytes;
        let mut parts = Parts::new();
        for part in lanes.chunks(shape.part_lanes()) {
            let blocks: Vec<VReg> =
                part.chunks(per_block).map(|lanes| self.join_block(lanes, dtype)).collect();
            parts.push(self.join_blocks(&blocks, shape.width));
        }
        parts
    }

    fn join_block(&mut self, lanes: &[VReg], dtype: DType) -> VReg {
        let mut block = match dtype {
            DType::F32 | DType::F64 => lanes[0],
            _ if dtype.bytes() == 8 => self.b.def(Op::IntToVector64, Width::X, &[lanes[0].into()]),
            _ => self.b.def(Op::IntToVector32, Width::X, &[lanes[0].into()]),
        };
        for (place, lane) in lanes.iter().enumerate().skip(1) {
            block = match dtype {
                DType::F32 => self.insert_float(block, *lane, place),
                DType::F64 => self.b.def(Op::UnpackLow64, Width::X, &[block.into(), (*lane).into()]),
                _ => {
                    let op = if dtype.bytes() == 8 { Op::InsertI64 } else { Op::InsertI32 };
                    self.b.def(op, Width::X, &[block.into(), (*lane).into(), (place as i64).into()])
                }
            };
        }
        block
    }

    /// The lanes of a vector as scalars.
    pub fn split_lanes(&mut self, parts: &Parts, dtype: DType, shape: &Shape) -> Vec<VReg> {
        (0..shape.lanes)
            .map(|lane| match dtype {
                DType::F32 | DType::F64 => self.float_lane(parts, shape, lane),
                _ => self.int_lane(parts, shape, lane),
            })
            .collect()
    }

    /// The low 16 bits of 32-bit lanes next to each other, in half a register.
    pub fn narrowed_words(&mut self, x: VReg, shape: &Shape) -> Result<VReg, CodegenError> {
        if self.level.avx512 {
            return Ok(self.b.def(Op::TruncI32ToI16, shape.width, &[x.into()]));
        }
        let low = self.uniform(0xffff, shape);
        let x = self.b.def(Op::BitAnd, shape.width, &[x.into(), low.into()]);
        let packed = self.b.def(Op::PackU32, shape.width, &[x.into(), x.into()]);
        Ok(self.first_of_blocks(packed, shape))
    }

    /// The low 8 bits of 32-bit lanes next to each other, in a quarter of a register.
    pub fn narrowed_bytes(&mut self, x: VReg, shape: &Shape) -> Result<VReg, CodegenError> {
        let low = self.uniform(0xff, shape);
        let x = self.b.def(Op::BitAnd, shape.width, &[x.into(), low.into()]);
        if shape.width == Width::Z {
            return Err(self.bug("bytes of 512 bits in a register"));
        }
        let words = self.b.def(Op::PackU32, shape.width, &[x.into(), x.into()]);
        let words = self.first_of_blocks(words, shape);
        Ok(self.b.def(Op::PackU16, Width::X, &[words.into(), words.into()]))
    }

    /// The lower halves of both 128-bit blocks next to each other.
    fn first_of_blocks(&mut self, x: VReg, shape: &Shape) -> VReg {
        match shape.width {
            Width::X => x,
            width => self.b.def(Op::Perm64Imm, width, &[x.into(), 0b1000i64.into()]),
        }
    }

    /// The upper half of a register.
    pub fn upper_half(&mut self, x: VReg, width: Width) -> VReg {
        match width {
            Width::X => self.b.def(Op::UnpackHigh64, Width::X, &[x.into(), x.into()]),
            Width::Y => self.b.def(Op::Extract128, Width::Y, &[x.into(), 1i64.into()]),
            Width::Z => self.b.def(Op::Extract256, Width::Z, &[x.into(), 1i64.into()]),
        }
    }

    /// Two halves as a register of this width.
    pub fn join_halves(&mut self, low: VReg, high: VReg, width: Width) -> VReg {
        match width {
            Width::X => self.b.def(Op::UnpackLow64, Width::X, &[low.into(), high.into()]),
            Width::Y => self.b.def(Op::Insert128, Width::Y, &[low.into(), high.into(), 1i64.into()]),
            Width::Z => self.b.def(Op::Insert256, Width::Z, &[low.into(), high.into(), 1i64.into()]),
        }
    }
}
