//! Loads and stores.
//!
//! Neighbouring elements are one access per part, masked where there is a mask; everything else is one access per lane. Elements narrower than 32 bits are widened
//! to 32-bit lanes on the way, and narrowed when stored.

use super::super::inst::{Op, Width};
use super::super::vcode::{In, Mem};
use super::Isel;
use super::shape::{Parts, Shape, is_half, is_signed};
use crate::codegen::CodegenError;
use crate::kernel::{Address, Spread, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::smallvec;

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
            if mask.is_some() || matches!(spread, Spread::Gathered(_)) {
                return Err(self.unsupported("a masked or gathered load of a scalar"));
            }
            let mem = self.address(address)?;
            return self.load_scalar(result, ty, memory, mem);
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
        let value = match memory {
            DType::F32 => self.b.def(Op::LoadScalar32, Width::X, &[mem.into()]),
            DType::F64 => self.b.def(Op::LoadScalar64, Width::X, &[mem.into()]),
            DType::I64 | DType::U64 => self.b.def(Op::IntLoad, Width::W64, &[mem.into()]),
            DType::I32 | DType::U32 => self.b.def(Op::IntLoad, Width::W32, &[mem.into()]),
            DType::I8 | DType::I4 => self.b.def(Op::IntLoadI8, Width::W32, &[mem.into()]),
            DType::U8 | DType::U4 | DType::Bool => self.b.def(Op::IntLoadU8, Width::W32, &[mem.into()]),
            DType::I16 => self.b.def(Op::IntLoadI16, Width::W32, &[mem.into()]),
            DType::U16 | DType::F16 | DType::BF16 => self.b.def(Op::IntLoadU16, Width::W32, &[mem.into()]),
        };
        match ty.dtype() {
            Some(dtype) if dtype == memory => {
                if matches!(memory, DType::F32 | DType::F64) {
                    self.folded[result] = Some(mem);
                }
                Ok(smallvec![value])
            }
            Some(dtype) => Ok(smallvec![self.convert_scalar(value, memory, dtype)?]),
            None => Ok(smallvec![self.truth(value)]),
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

    /// A mask whose lanes are those of a vector in memory, clear where the vector has no lanes.
    fn memory_mask(&mut self, mask: Val, shape: &Shape) -> Result<Parts, CodegenError> {
        let ty = self.ty(mask);
        if usize::from(ty.lanes) != shape.lanes {
            return Err(self.bug("a mask has other lanes than what it masks"));
        }
        let masks = self.parts(mask)?;
        let masks = self.resized_mask(&masks, ty, shape.bytes as u8 * 8)?;
        Ok(if shape.is_partial() { smallvec![self.used_lanes(masks[0], shape)] } else { masks })
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

    /// Where each lane is.
    fn lane_places(
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
                    let base = super::super::vcode::Base::Reg(pointer);
                    places.push(Mem { base, index: Some((index, bytes as u8)), disp: 0, broadcast: false });
                }
            }
        }
        if places.len() != shape.lanes {
            return Err(self.bug("the indices of a gather have other lanes than its value"));
        }
        if let Some(mask) = mask {
            self.b.uses_frame = true;
            let frame =
                Mem { base: super::super::vcode::Base::Frame, index: None, disp: 0, broadcast: false };
            let elsewhere = self.b.def(Op::IntLea, Width::W64, &[frame.into()]);
            for (place, bits) in places.iter_mut().zip(self.lane_bits(mask)?) {
                let pointer = self.b.def(Op::IntLea, Width::W64, &[(*place).into()]);
                let (bits, lane) = bits;
                let bit = 1i64 << lane;
                let bit = self.b.def(Op::IntAndImm, Width::W32, &[bits.into(), bit.into()]);
                self.b.effect(Op::IntTest, Width::W32, &[bit.into(), bit.into()], None);
                let pointer = self.b.select(super::super::inst::Cond::NotEqual, pointer, elsewhere);
                *place = Mem::at(pointer, 0);
            }
        }
        Ok(places)
    }

    /// The lanes of an integer vector as 64-bit scalars.
    fn lane_indices(&mut self, indices: Val) -> Result<Vec<VReg>, CodegenError> {
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
            if mask.is_some() || matches!(spread, Spread::Gathered(_)) {
                return Err(self.unsupported("a masked or scattered store of a scalar"));
            }
            return self.store_scalar(value, ty, memory, address);
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

    fn store_scalar(
        &mut self,
        value: Val,
        ty: Type,
        memory: DType,
        address: &Address,
    ) -> Result<(), CodegenError> {
        let register = self.scalar(value)?;
        let register = match ty.dtype() {
            Some(dtype) if dtype != memory => self.convert_scalar(register, dtype, memory)?,
            _ => register,
        };
        let mem = self.address(address)?;
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
                Err(self.unsupported(format!("a store of {ty} as {memory}")))
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

/// The dtype of the lanes that elements of memory are brought into; narrow unsigned ones fit.
fn lane_dtype(memory: DType) -> DType {
    if memory.bytes() < 4 { DType::I32 } else { memory }
}

/// The load that widens elements to 32-bit lanes.
fn widening(memory: DType) -> Option<Op> {
    match (memory.bytes(), is_signed(memory)) {
        (1, true) => Some(Op::I8ToI32),
        (1, false) => Some(Op::U8ToU32),
        (2, true) => Some(Op::I16ToI32),
        (2, false) => Some(Op::U16ToU32),
        _ => None,
    }
}
