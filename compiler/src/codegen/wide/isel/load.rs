//! Loads.

use super::super::inst::{Op, Width};
use super::super::vcode::{In, Mem};
use super::Isel;
use super::memory::{lane_dtype, widening};
use super::shape::{Parts, Shape, is_signed};
use crate::codegen::CodegenError;
use crate::kernel::{Address, Spread, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

/// Elements between neighbours up to which whole vectors are loaded and picked from.
const MOST_SPACED: i64 = 4;

impl Isel<'_> {
    /// `Load`.
    pub fn load(
        &mut self,
        result: Val,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<Parts, CodegenError> {
        let ty = self.ty(result);
        let memory = self.kernel.buffers[address.buffer].dtype;
        if ty.lanes == 1 {
            return match mask {
                None => {
                    let mem = self.scalar_place(memory, address, spread)?;
                    self.load_scalar(result, ty, memory, mem)
                }
                Some(mask) => self.load_masked_scalar(ty, address, spread, mask),
            };
        }
        let shape = self.shape(Type::vector(lane_dtype(memory), ty.lanes))?;
        let raw = match (spread, mask) {
            (Spread::Contiguous, None) => {
                let mem = self.address(address)?;
                if ty.dtype() == Some(memory) && memory.bytes() >= 4 && !shape.is_partial() {
                    self.folded[result] = Some(mem);
                }
                self.load_neighbours(memory, &shape, mem)
            }
            (Spread::Contiguous, Some(mask)) => self.load_masked(memory, &shape, address, mask)?,
            (Spread::Broadcast, None) => {
                let mem = self.address(address)?;
                if ty.dtype() == Some(memory) && memory.bytes() >= 4 {
                    self.folded[result] = Some(Mem { broadcast: true, ..mem });
                }
                let part = self.load_broadcast(memory, &shape, mem);
                Parts::from_elem(part, shape.parts)
            }
            (Spread::Strided(stride @ 2..=MOST_SPACED), None)
                if memory.bytes() == 4 && !shape.is_partial() =>
            {
                let mem = self.address(address)?;
                self.load_spaced(&shape, mem, *stride as usize)
            }
            _ => self.load_lanes(memory, &shape, address, spread, mask)?,
        };
        self.converted_from_memory(raw, memory, ty)
    }

    /// Lanes as they were loaded, as the type of the result.
    fn converted_from_memory(&mut self, raw: Parts, memory: DType, ty: Type) -> Result<Parts, CodegenError> {
        let (raw, from) = match memory {
            DType::F16 | DType::BF16 => (self.widened_halves(raw, memory, ty)?, DType::F32),
            _ => (raw, lane_dtype(memory)),
        };
        match ty.dtype() {
            Some(dtype) => self.convert_lanes(&raw, from, dtype, ty.lanes),
            None => self.mask_of_numbers(&raw, Type::vector(from, ty.lanes), ty),
        }
    }

    /// Halves as zero-extended 32-bit lanes, as f32.
    fn widened_halves(&mut self, raw: Parts, memory: DType, ty: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(Type::vector(DType::F32, ty.lanes))?;
        if memory == DType::BF16 {
            return Ok(raw
                .iter()
                .map(|x| self.b.def(Op::ShliI32, shape.width, &[(*x).into(), 16i64.into()]))
                .collect());
        }
        raw.iter()
            .map(|x| {
                let words = self.narrowed_words(*x, &shape)?;
                Ok(self.b.def(Op::F16ToF32, shape.width, &[words.into()]))
            })
            .collect()
    }

    fn load_scalar(&mut self, result: Val, ty: Type, memory: DType, mem: Mem) -> Result<Parts, CodegenError> {
        let value = self.load_element(memory, mem);
        if matches!(memory, DType::F32 | DType::F64) && ty.dtype() == Some(memory) {
            self.folded[result] = Some(mem);
        }
        Ok(smallvec![self.scalar_from_memory(value, memory, ty)?])
    }

    /// What a clear mask leaves out is 0, and is read from memory of our own.
    fn load_masked_scalar(
        &mut self,
        ty: Type,
        address: &Address,
        spread: &Spread,
        mask: Val,
    ) -> Result<Parts, CodegenError> {
        let memory = self.kernel.buffers[address.buffer].dtype;
        let place = self.scalar_place(memory, address, spread)?;
        let place = self.masked_place(place, mask)?;
        let value = self.load_element(memory, place);
        let value = self.scalar_from_memory(value, memory, ty)?;
        Ok(smallvec![match ty.dtype() {
            Some(dtype @ (DType::F32 | DType::F64)) => {
                let (truth, zero) = (self.scalar(mask)?, self.zero());
                self.select_float(truth, value, zero, dtype == DType::F64)
            }
            _ => {
                let zero = self.int(0);
                let cond = self.condition(mask)?;
                self.b.select(cond, value, zero)
            }
        }])
    }

    /// An element as a scalar of memory's dtype.
    fn load_element(&mut self, memory: DType, mem: Mem) -> VReg {
        match memory {
            DType::F32 => self.b.def(Op::LoadScalar32, Width::X, &[mem.into()]),
            DType::F64 => self.b.def(Op::LoadScalar64, Width::X, &[mem.into()]),
            DType::I64 | DType::U64 => self.b.def(Op::IntLoad, Width::W64, &[mem.into()]),
            DType::I32 | DType::U32 => self.b.def(Op::IntLoad, Width::W32, &[mem.into()]),
            DType::I8 | DType::I4 => self.b.def(Op::IntLoadI8, Width::W32, &[mem.into()]),
            DType::U8 | DType::U4 | DType::Bool => self.b.def(Op::IntLoadU8, Width::W32, &[mem.into()]),
            DType::I16 => self.b.def(Op::IntLoadI16, Width::W32, &[mem.into()]),
            DType::U16 | DType::F16 | DType::BF16 => self.b.def(Op::IntLoadU16, Width::W32, &[mem.into()]),
        }
    }

    fn scalar_from_memory(&mut self, value: VReg, memory: DType, ty: Type) -> Result<VReg, CodegenError> {
        match ty.dtype() {
            Some(dtype) => self.convert_scalar(value, memory, dtype),
            None => Ok(self.truth(value)),
        }
    }

    fn load_neighbours(&mut self, memory: DType, shape: &Shape, mem: Mem) -> Parts {
        let step = (shape.part_lanes() * memory.bytes()) as i64;
        (0..shape.parts)
            .map(|part| {
                let mem = self.further(mem, part as i64 * step);
                self.load_part(memory, shape, mem)
            })
            .collect()
    }

    fn load_part(&mut self, memory: DType, shape: &Shape, mem: Mem) -> VReg {
        let bytes = shape.lanes.min(shape.part_lanes()) * memory.bytes();
        if shape.is_partial() {
            // The few bytes first, then as if they had been there with others.
            let low = match bytes {
                8 => self.b.def(Op::LoadScalar64, Width::X, &[mem.into()]),
                4 => self.b.def(Op::LoadScalar32, Width::X, &[mem.into()]),
                _ => {
                    let bits = self.b.def(Op::IntLoadU16, Width::W32, &[mem.into()]);
                    self.b.def(Op::IntToVector32, Width::X, &[bits.into()])
                }
            };
            return match widening(memory) {
                Some(op) => self.b.def(op, shape.width, &[low.into()]),
                None => low,
            };
        }
        let op = widening(memory).unwrap_or(Op::Load);
        self.b.def(op, shape.width, &[mem.into()])
    }

    fn load_broadcast(&mut self, memory: DType, shape: &Shape, mem: Mem) -> VReg {
        match memory.bytes() {
            4 => self.b.def(Op::LoadBroadcast32, shape.width, &[mem.into()]),
            8 => self.b.def(Op::LoadBroadcast64, shape.width, &[mem.into()]),
            _ => {
                let element = self.load_narrow(memory, mem);
                self.splat_int32(element, shape)
            }
        }
    }

    fn load_narrow(&mut self, memory: DType, mem: Mem) -> VReg {
        let op = match (memory.bytes(), is_signed(memory)) {
            (1, true) => Op::IntLoadI8,
            (1, false) => Op::IntLoadU8,
            (_, true) => Op::IntLoadI16,
            (_, false) => Op::IntLoadU16,
        };
        self.b.def(op, Width::W32, &[mem.into()])
    }

    /// Neighbours of which a mask chooses some; the others are 0.
    fn load_masked(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
        mask: Val,
    ) -> Result<Parts, CodegenError> {
        let masks = self.memory_mask(mask, shape)?;
        let whole = memory.bytes() >= 4;
        if !self.level.avx512 && !whole {
            return self.load_lanes(memory, shape, address, &Spread::Contiguous, Some(mask));
        }
        let mem = self.address(address)?;
        let step = (shape.part_lanes() * memory.bytes()) as i64;
        let mut parts = Parts::new();
        for (part, mask) in masks.iter().enumerate() {
            let mem = self.further(mem, part as i64 * step);
            parts.push(if self.level.avx512 {
                let op = match (widening(memory), shape.bytes) {
                    (Some(op), _) => op,
                    (None, 4) => Op::Load,
                    (None, _) => Op::Load64,
                };
                self.b.masked_def(op, shape.width, &[mem.into()], Some(*mask))
            } else {
                let op = if shape.bytes == 4 { Op::MaskedLoadF32 } else { Op::MaskedLoadF64 };
                self.b.def(op, shape.width, &[(*mask).into(), mem.into()])
            });
        }
        Ok(parts)
    }

    /// Lane by lane; a lane that the mask clears reads memory of our own instead, and is 0.
    fn load_lanes(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<Parts, CodegenError> {
        let places = self.lane_places(memory, shape, address, spread, mask)?;
        let mut parts = Parts::new();
        for lanes in places.chunks(shape.part_lanes()) {
            parts.push(self.gather(memory, shape, lanes));
        }
        match mask {
            Some(mask) => {
                let ty = self.ty(mask);
                let masks = self.parts(mask)?;
                let masks = self.resized_mask(&masks, ty, shape.bytes as u8 * 8)?;
                Ok(parts.iter().zip(masks).map(|(x, mask)| self.keep(mask, *x, shape)).collect())
            }
            None => Ok(parts),
        }
    }

    /// Elements at places as the lanes of a part.
    fn gather(&mut self, memory: DType, shape: &Shape, places: &[Mem]) -> VReg {
        let quarter = 16 / shape.bytes;
        let blocks: Vec<VReg> = places
            .chunks(quarter)
            .map(|places| {
                let mut block = match memory.bytes() {
                    8 => self.b.def(Op::LoadScalar64, Width::X, &[places[0].into()]),
                    4 => self.b.def(Op::LoadScalar32, Width::X, &[places[0].into()]),
                    _ => {
                        let element = self.load_narrow(memory, places[0]);
                        self.b.def(Op::IntToVector32, Width::X, &[element.into()])
                    }
                };
                for (lane, place) in places.iter().enumerate().skip(1) {
                    let element: In = match memory.bytes() {
                        4 | 8 => (*place).into(),
                        _ => self.load_narrow(memory, *place).into(),
                    };
                    block = match memory.bytes() {
                        8 => self.b.def(
                            Op::InsertI64,
                            Width::X,
                            &[block.into(), element, (lane as i64).into()],
                        ),
                        _ => self.b.def(
                            Op::InsertI32,
                            Width::X,
                            &[block.into(), element, (lane as i64).into()],
                        ),
                    };
                }
                block
            })
            .collect();
        self.join_blocks(&blocks, shape.width)
    }
}
