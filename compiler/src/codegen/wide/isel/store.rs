//! Stores.

use super::super::inst::{Op, Width};
use super::super::vcode::Mem;
use super::Isel;
use super::memory::lane_dtype;
use super::shape::{Parts, Shape, is_half};
use crate::codegen::CodegenError;
use crate::kernel::{Address, Spread, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;

impl Isel<'_> {
    /// `Store`.
    pub fn store(
        &mut self,
        value: Val,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<(), CodegenError> {
        let memory = self.kernel.buffers[address.buffer].dtype;
        let ty = self.ty(value);
        if *spread == Spread::Broadcast {
            return Err(self.bug("a store can't broadcast"));
        }
        if ty.lanes == 1 {
            let place = self.scalar_place(memory, address, spread)?;
            let place = match mask {
                Some(mask) => self.masked_place(place, mask)?,
                None => place,
            };
            return self.store_scalar(value, ty, memory, place);
        }
        let shape = self.shape(Type::vector(lane_dtype(memory), ty.lanes))?;
        let half = memory == DType::F16 && ty.dtype() == Some(DType::F32);
        if half && *spread == Spread::Contiguous && mask.is_none() && !shape.is_partial() {
            let mem = self.address(address)?;
            for (part, value) in self.parts(value)?.into_iter().enumerate() {
                let mem = self.further(mem, (part * shape.part_lanes() * 2) as i64);
                self.b.effect(Op::StoreF32AsF16, shape.width, &[mem.into(), value.into(), 0i64.into()], None);
            }
            return Ok(());
        }
        let raw = self.narrowed(value, ty, memory)?;
        match (spread, mask) {
            (Spread::Contiguous, None) => {
                let mem = self.address(address)?;
                let step = (shape.part_lanes() * memory.bytes()) as i64;
                for (part, value) in raw.iter().enumerate() {
                    let mem = self.further(mem, part as i64 * step);
                    self.store_part(*value, memory, &shape, mem)?;
                }
                Ok(())
            }
            (Spread::Contiguous, Some(mask)) if self.level.avx512 || memory.bytes() >= 4 => {
                self.store_masked(&raw, memory, &shape, address, mask)
            }
            _ => {
                let places = self.lane_places(memory, &shape, address, spread, mask)?;
                for (lane, place) in places.into_iter().enumerate() {
                    self.store_lane(&raw, memory, &shape, lane, place);
                }
                Ok(())
            }
        }
    }

    fn store_scalar(&mut self, value: Val, ty: Type, memory: DType, mem: Mem) -> Result<(), CodegenError> {
        let register = self.scalar(value)?;
        let register = match ty.dtype() {
            Some(dtype) if dtype != memory => self.convert_scalar(register, dtype, memory)?,
            _ => register,
        };
        self.store_element(register, memory, mem);
        Ok(())
    }

    fn store_element(&mut self, value: VReg, memory: DType, mem: Mem) {
        let (op, width) = match memory {
            DType::F32 => (Op::StoreScalar32, Width::X),
            DType::F64 => (Op::StoreScalar64, Width::X),
            _ => match memory.bytes() {
                8 => (Op::IntStore, Width::W64),
                4 => (Op::IntStore, Width::W32),
                2 => (Op::IntStore16, Width::W32),
                _ => (Op::IntStore8, Width::W32),
            },
        };
        self.b.effect(op, width, &[mem.into(), value.into()], None);
    }

    fn store_part(
        &mut self,
        value: VReg,
        memory: DType,
        shape: &Shape,
        mem: Mem,
    ) -> Result<(), CodegenError> {
        let lanes = shape.lanes.min(shape.part_lanes());
        let (value, bytes) = match memory.bytes() {
            1 | 2 if self.level.avx512 && !shape.is_partial() => {
                let op = if memory.bytes() == 1 { Op::StoreI32AsI8 } else { Op::StoreI32AsI16 };
                self.b.effect(op, shape.width, &[mem.into(), value.into()], None);
                return Ok(());
            }
            1 => (self.narrowed_bytes(value, shape)?, lanes),
            2 => (self.narrowed_words(value, shape)?, 2 * lanes),
            size => (value, size * lanes),
        };
        match bytes {
            2 => {
                let bits = self.b.def(Op::VectorToInt32, Width::X, &[value.into()]);
                self.b.effect(Op::IntStore16, Width::W32, &[mem.into(), bits.into()], None);
            }
            4 => self.b.effect(Op::StoreScalar32, Width::X, &[mem.into(), value.into()], None),
            8 => self.b.effect(Op::StoreScalar64, Width::X, &[mem.into(), value.into()], None),
            bytes => self.b.effect(Op::Store, Width::of_bytes(bytes), &[mem.into(), value.into()], None),
        }
        Ok(())
    }

    fn store_masked(
        &mut self,
        raw: &Parts,
        memory: DType,
        shape: &Shape,
        address: &Address,
        mask: Val,
    ) -> Result<(), CodegenError> {
        let masks = self.memory_mask(mask, shape)?;
        let mem = self.address(address)?;
        let step = (shape.part_lanes() * memory.bytes()) as i64;
        for (part, (value, mask)) in raw.iter().zip(masks).enumerate() {
            let mem = self.further(mem, part as i64 * step);
            if self.level.avx512 {
                let op = match memory.bytes() {
                    1 => Op::StoreI32AsI8,
                    2 => Op::StoreI32AsI16,
                    4 => Op::Store,
                    _ => Op::Store64,
                };
                self.b.effect(op, shape.width, &[mem.into(), (*value).into()], Some(mask));
            } else {
                let op = if shape.bytes == 4 { Op::MaskedStoreF32 } else { Op::MaskedStoreF64 };
                self.b.effect(op, shape.width, &[mem.into(), mask.into(), (*value).into()], None);
            }
        }
        Ok(())
    }

    fn store_lane(&mut self, raw: &Parts, memory: DType, shape: &Shape, lane: usize, place: Mem) {
        match memory {
            DType::F32 | DType::F64 => {
                let element = self.float_lane(raw, shape, lane);
                self.store_element(element, memory, place);
            }
            _ => {
                let element = self.int_lane(raw, shape, lane);
                self.store_element(element, memory, place);
            }
        }
    }

    /// A value in the lanes of memory's dtype; narrow ones are in the low bits of 32-bit lanes.
    fn narrowed(&mut self, value: Val, ty: Type, memory: DType) -> Result<Parts, CodegenError> {
        let parts = self.parts(value)?;
        let Some(dtype) = ty.dtype() else {
            return match memory {
                DType::Bool => self.numbers_of_mask(&parts, ty),
                _ => Err(self.bug(format!("a mask stored as {memory}"))),
            };
        };
        match memory {
            _ if memory.bytes() >= 4 => self.convert_lanes(&parts, dtype, memory, ty.lanes),
            DType::F16 | DType::BF16 if dtype == DType::F32 => self.rounded_to_half(&parts, memory, ty),
            _ if is_half(memory) || memory == DType::Bool => {
                Err(self.bug(format!("a store of {ty} as {memory}")))
            }
            _ if dtype.is_float() => {
                let wide = self.convert_lanes(&parts, dtype, DType::I32, ty.lanes)?;
                self.clamped(&wide, memory, ty.lanes)
            }
            _ => {
                let wide = self.convert_lanes(&parts, dtype, DType::I32, ty.lanes)?;
                self.wrapped_to_four_bits(&wide, memory, ty.lanes)
            }
        }
    }

    /// 4-bit integers have bytes of their own in memory, extended from their bits.
    fn wrapped_to_four_bits(&mut self, x: &Parts, memory: DType, lanes: u16) -> Result<Parts, CodegenError> {
        let shape = self.shape(Type::vector(DType::I32, lanes))?;
        match memory {
            DType::I4 => Ok(x
                .iter()
                .map(|x| {
                    let up = self.b.def(Op::ShliI32, shape.width, &[(*x).into(), 28i64.into()]);
                    self.b.def(Op::SariI32, shape.width, &[up.into(), 28i64.into()])
                })
                .collect()),
            DType::U4 => {
                let mask = self.uniform(15, &shape);
                Ok(x.iter()
                    .map(|x| self.b.def(Op::BitAnd, shape.width, &[(*x).into(), mask.into()]))
                    .collect())
            }
            _ => Ok(x.clone()),
        }
    }

    /// 32-bit integers limited to the range of a narrower dtype.
    fn clamped(&mut self, x: &Parts, to: DType, lanes: u16) -> Result<Parts, CodegenError> {
        let shape = self.shape(Type::vector(DType::I32, lanes))?;
        let (low, high) = to.int_range().unwrap_or((0, 0));
        let (low, high) = (self.uniform(low as u64, &shape), self.uniform(high as u64, &shape));
        Ok(x.iter()
            .map(|x| {
                let above = self.b.def(Op::MaxsI32, shape.width, &[(*x).into(), low.into()]);
                self.b.def(Op::MinsI32, shape.width, &[above.into(), high.into()])
            })
            .collect())
    }
}
