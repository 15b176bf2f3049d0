//! Memory: where elements are, and which of them.
//!
//! Neighbouring elements are one access per part, masked where there is a mask; everything else is one access per lane. Elements narrower than 32 bits are widened
//! to 32-bit lanes on the way, and narrowed when stored.

use super::super::inst::{Cond, Op, Width};
use super::super::vcode::{Base, Mem};
use super::Isel;
use super::shape::{Parts, Shape, is_signed};
use crate::codegen::CodegenError;
use crate::kernel::{Address, Spread, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

impl Isel<'_> {
    /// Where a scalar is.
    pub fn scalar_place(
        &mut self,
        memory: DType,
        address: &Address,
        spread: &Spread,
    ) -> Result<Mem, CodegenError> {
        let first = self.address(address)?;
        let Spread::Gathered(offset) = spread else { return Ok(first) };
        let (dtype, offset) = (self.ty(*offset).dtype(), self.scalar(*offset)?);
        let offset = match dtype {
            Some(DType::I32) => self.b.def(Op::IntExtendI32, Width::W64, &[offset.into()]),
            _ => offset,
        };
        let base = Base::Reg(self.pointer(first));
        Ok(Mem { base, index: Some((offset, memory.bytes() as u8)), disp: 0, broadcast: false })
    }

    /// The place, or where a scalar mask is clear memory of our own.
    pub fn masked_place(&mut self, place: Mem, mask: Val) -> Result<Mem, CodegenError> {
        let elsewhere = self.own_memory();
        let pointer = self.pointer(place);
        let cond = self.condition(mask)?;
        Ok(Mem::at(self.b.select(cond, pointer, elsewhere), 0))
    }

    /// The address of memory that nobody else uses.
    pub fn own_memory(&mut self) -> VReg {
        self.b.uses_frame = true;
        let frame = Mem { base: Base::Frame, index: None, disp: 0, broadcast: false };
        self.b.def(Op::IntLea, Width::W64, &[frame.into()])
    }

    /// A mask whose lanes are those of a vector in memory, clear where the vector has no lanes.
    pub fn memory_mask(&mut self, mask: Val, shape: &Shape) -> Result<Parts, CodegenError> {
        let ty = self.ty(mask);
        if usize::from(ty.lanes) != shape.lanes {
            return Err(self.bug("a mask has other lanes than what it masks"));
        }
        let masks = self.parts(mask)?;
        let masks = self.resized_mask(&masks, ty, shape.bytes as u8 * 8)?;
        Ok(if shape.is_partial() { smallvec![self.used_lanes(masks[0], shape)] } else { masks })
    }

    /// Where each lane is.
    pub fn lane_places(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<Vec<Mem>, CodegenError> {
        let first = self.address(address)?;
        let bytes = memory.bytes() as i64;
        let mut places = Vec::with_capacity(shape.lanes);
        match spread {
            Spread::Contiguous => {
                (0..shape.lanes).for_each(|lane| places.push(self.further(first, lane as i64 * bytes)))
            }
            Spread::Strided(stride) => {
                for lane in 0..shape.lanes {
                    places.push(self.further(first, stride.wrapping_mul(lane as i64 * bytes)));
                }
            }
            Spread::Broadcast => places.resize(shape.lanes, first),
            Spread::Gathered(indices) => {
                let pointer = self.pointer(first);
                for index in self.lane_indices(*indices)? {
                    let (base, index) = (Base::Reg(pointer), Some((index, bytes as u8)));
                    places.push(Mem { base, index, disp: 0, broadcast: false });
                }
            }
        }
        if places.len() != shape.lanes {
            return Err(self.bug("the indices of a gather have other lanes than its value"));
        }
        if let Some(mask) = mask {
            let elsewhere = self.own_memory();
            for (place, (bits, lane)) in places.iter_mut().zip(self.lane_bits(mask)?) {
                let pointer = self.b.def(Op::IntLea, Width::W64, &[(*place).into()]);
                let bit = 1i64 << lane;
                let bit = self.b.def(Op::IntAndImm, Width::W32, &[bits.into(), bit.into()]);
                self.b.effect(Op::IntTest, Width::W32, &[bit.into(), bit.into()], None);
                let pointer = self.b.select(Cond::NotEqual, pointer, elsewhere);
                *place = Mem::at(pointer, 0);
            }
        }
        Ok(places)
    }

    /// The lanes of an integer vector as 64-bit scalars.
    pub fn lane_indices(&mut self, indices: Val) -> Result<Vec<VReg>, CodegenError> {
        let ty = self.ty(indices);
        let dtype = ty.dtype().filter(|dtype| dtype.is_int());
        let dtype = dtype.ok_or_else(|| self.bug("the indices of a gather are integers"))?;
        let (parts, shape) = (self.parts(indices)?, self.shape(ty)?);
        Ok((0..shape.lanes)
            .map(|lane| {
                let index = self.int_lane(&parts, &shape, lane);
                match dtype {
                    DType::I32 => self.b.def(Op::IntExtendI32, Width::W64, &[index.into()]),
                    _ => index,
                }
            })
            .collect())
    }
}

/// The dtype of the lanes that elements of memory are brought into; narrow unsigned ones fit.
pub(super) fn lane_dtype(memory: DType) -> DType {
    if memory.bytes() < 4 { DType::I32 } else { memory }
}

/// The load that widens elements to 32-bit lanes.
pub(super) fn widening(memory: DType) -> Option<Op> {
    match (memory.bytes(), is_signed(memory)) {
        (1, true) => Some(Op::I8ToI32),
        (1, false) => Some(Op::U8ToU32),
        (2, true) => Some(Op::I16ToI32),
        (2, false) => Some(Op::U16ToU32),
        _ => None,
    }
}
