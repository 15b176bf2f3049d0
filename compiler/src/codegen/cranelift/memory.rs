//! Loads and stores.
//!
//! A vector that lies contiguously is one access per part. Everything else is one access per lane. A lane that the mask clears must not be touched: its
//! access goes to memory of our own instead, which takes no branch. Dtypes narrower than 32 bits are widened to 32-bit lanes on the way.

use super::function::Translator;
use super::shape::{Parts, Shape, is_half, scalar_type};
use crate::codegen::CodegenError;
use crate::kernel::{Address, Spread, Type, Val};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value, types};
use graven_ir::{DType, DTypeClass};
use smallvec::{SmallVec, smallvec};

/// Accesses never trap; vectors may be unaligned.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// An address: a pointer and an offset in bytes.
#[derive(Clone, Copy)]
struct Pointer {
    base: Value,
    offset: i32,
}

impl Translator<'_, '_> {
    /// A load of type `ty`.
    pub fn load(
        &mut self,
        ty: Type,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<Parts, CodegenError> {
        let memory = self.kernel.buffers[address.buffer].dtype;
        let raw_dtype = register_dtype(memory, ty.lanes);
        let raw_type = Type::vector(raw_dtype, ty.lanes);
        let raw_shape = self.shape(raw_type)?;
        let raw = match (spread, mask) {
            (Spread::Contiguous, None) if self.whole_parts(memory, &raw_shape) => {
                self.load_contiguous(memory, &raw_shape, address)?
            }
            (Spread::Broadcast, mask) if ty.lanes > 1 => {
                self.load_broadcast(memory, &raw_shape, address, mask)?
            }
            _ => self.load_lanes(memory, &raw_shape, address, spread, mask)?,
        };
        let (raw, from) = match ty.lanes > 1 && is_half(memory) {
            true => {
                (self.map(&raw, |t, bits| t.half_to_f32(bits, memory)), Type::vector(DType::F32, ty.lanes))
            }
            false => (raw, raw_type),
        };
        let result = match ty.dtype() {
            Some(dtype) => self.convert_parts(&raw, from, dtype)?,
            None => self.mask_from_numbers(&raw, from, ty)?,
        };
        match mask {
            Some(mask) => self.masked(&result, mask),
            None => Ok(result),
        }
    }

    /// Zero where the mask is clear.
    fn masked(&mut self, x: &Parts, mask: Val) -> Result<Parts, CodegenError> {
        let mask = self.parts(mask)?;
        if mask.len() != x.len() {
            return Err(self.bug("the mask of a load has other lanes than the result"));
        }
        Ok(self.zip(&mask, x, |t, mask, x| t.keep(mask, x)))
    }

    /// Whether all parts can be loaded or stored as wholes.
    fn whole_parts(&self, memory: DType, shape: &Shape) -> bool {
        shape.is_vector() && (shape.lanes >= shape.part_lanes || memory.bytes() >= 4)
    }

    fn load_contiguous(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
    ) -> Result<Parts, CodegenError> {
        let pointer = self.pointer(address, memory)?;
        let stride = (shape.part_lanes * memory.bytes()) as i64;
        (0..shape.parts)
            .map(|part| {
                let Pointer { base, offset } = self.advance(pointer, part as i64 * stride)?;
                Ok(match memory.bytes() {
                    1 => {
                        let bits = self.ins().load(types::I32, flags(), base, offset);
                        self.widen_bytes(bits, types::I32X4, memory)
                    }
                    2 => {
                        let bits = self.ins().load(types::I64, flags(), base, offset);
                        self.widen_bytes(bits, types::I64X2, memory)
                    }
                    _ if shape.lanes < shape.part_lanes => {
                        let half = self.ins().load(types::F64, flags(), base, offset);
                        let part = self.ins().scalar_to_vector(types::F64X2, half);
                        self.reinterpret(part, shape.part)
                    }
                    _ => self.ins().load(shape.part, flags(), base, offset),
                })
            })
            .collect()
    }

    /// The narrow elements in the bytes of a scalar, in memory order, as 32-bit lanes.
    fn widen_bytes(&mut self, bits: Value, vector: ir::Type, memory: DType) -> Value {
        let mut lanes = self.ins().scalar_to_vector(vector, bits);
        lanes = self.reinterpret(lanes, if memory.bytes() == 1 { types::I8X16 } else { types::I16X8 });
        let signed = memory.class() == DTypeClass::Signed;
        while self.builder.func.dfg.value_type(lanes) != types::I32X4 {
            lanes = match signed {
                true => self.ins().swiden_low(lanes),
                false => self.ins().uwiden_low(lanes),
            };
        }
        lanes
    }

    fn load_broadcast(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
        mask: Option<Val>,
    ) -> Result<Parts, CodegenError> {
        let mut pointer = self.pointer(address, memory)?;
        if let Some(mask) = mask {
            let any = self.any(mask)?;
            pointer = self.if_set(any, pointer, self.readable());
        }
        let element = self.load_element(memory, shape, pointer);
        Ok(self.splat_lane(element, shape))
    }

    fn load_lanes(
        &mut self,
        memory: DType,
        shape: &Shape,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<Parts, CodegenError> {
        let readable = self.readable();
        let pointers = self.lane_pointers(memory, shape.lanes, address, spread, mask, readable)?;
        let lanes: SmallVec<[Value; 16]> =
            pointers.into_iter().map(|pointer| self.load_element(memory, shape, pointer)).collect();
        Ok(self.join_lanes(&lanes, shape))
    }

    /// One element, widened to the lane's type.
    fn load_element(&mut self, memory: DType, shape: &Shape, pointer: Pointer) -> Value {
        let flags = flags().with_aligned();
        let element = self.ins().load(scalar_type(memory), flags, pointer.base, pointer.offset);
        match scalar_type(memory) == shape.lane {
            true => element,
            false => self.extend(element, memory, shape.lane),
        }
    }

    /// Numbers of a bool buffer as a mask.
    fn mask_from_numbers(&mut self, raw: &Parts, from: Type, to: Type) -> Result<Parts, CodegenError> {
        use cranelift_codegen::ir::condcodes::IntCC;
        let mask = self.map(raw, |t, part| {
            let zero = t.uniform(t.builder.func.dfg.value_type(part), 0);
            t.ins().icmp(IntCC::NotEqual, part, zero)
        });
        match to.element {
            crate::kernel::types::Element::Mask { bits } => self.mask_for_bits(&mask, from.mask(), bits),
            crate::kernel::types::Element::Number(_) => Ok(mask),
        }
    }

    /// A store.
    pub fn store(
        &mut self,
        value: Val,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
    ) -> Result<(), CodegenError> {
        let memory = self.kernel.buffers[address.buffer].dtype;
        let ty = self.ty(value);
        let parts = self.parts(value)?;
        let raw = self.narrowed(&parts, ty, memory)?;
        let shape = self.shape(Type::vector(register_dtype(memory, ty.lanes), ty.lanes))?;
        match (spread, mask) {
            (Spread::Broadcast, _) => Err(self.bug("a store can't broadcast")),
            (Spread::Contiguous, None) if self.whole_parts(memory, &shape) => {
                self.store_contiguous(&raw, memory, &shape, address)
            }
            _ => {
                let writable = self.writable();
                let pointers = self.lane_pointers(memory, shape.lanes, address, spread, mask, writable)?;
                for (lane, pointer) in pointers.into_iter().enumerate() {
                    let element = self.lane(&raw, &shape, lane);
                    let element = match scalar_type(memory) == shape.lane {
                        true => element,
                        false => self.ins().ireduce(scalar_type(memory), element),
                    };
                    let flags = flags().with_aligned();
                    self.ins().store(flags, element, pointer.base, pointer.offset);
                }
                Ok(())
            }
        }
    }

    /// A value converted to the dtype of memory; narrow ones are in the low bits of 32-bit lanes.
    fn narrowed(&mut self, x: &Parts, ty: Type, memory: DType) -> Result<Parts, CodegenError> {
        if ty.lanes == 1 || memory.bytes() >= 4 {
            return self.convert_parts(x, ty, memory);
        }
        if is_half(memory) && !matches!(ty.dtype(), Some(DType::F32)) {
            return self.halves_by_lane(x, ty, memory);
        }
        if is_half(memory) {
            return Ok(self.map(x, |t, x| t.f32_to_half(x, memory)));
        }
        if ty.is_float() && memory != DType::Bool {
            let wide = self.convert_parts(x, ty, DType::I32)?;
            return Ok(self.map(&wide, |t, x| t.clamp(x, memory)));
        }
        if memory == DType::Bool && !ty.is_mask() {
            return self.bools(x, ty);
        }
        let wide = self.convert_parts(x, ty, DType::I32)?;
        Ok(match memory {
            DType::I4 => self.map(&wide, |t, x| {
                let by = t.int(28);
                let shifted = t.ins().ishl(x, by);
                t.ins().sshr(shifted, by)
            }),
            DType::U4 => self.map(&wide, |t, x| {
                let mask = t.uniform(t.builder.func.dfg.value_type(x), 15);
                t.ins().band(x, mask)
            }),
            _ => wide,
        })
    }

    fn halves_by_lane(&mut self, x: &Parts, ty: Type, memory: DType) -> Result<Parts, CodegenError> {
        let (x, dtype) = match ty.dtype() {
            Some(dtype) => (x.clone(), dtype),
            None => (self.convert_parts(x, ty, DType::I32)?, DType::I32),
        };
        let source = self.shape(Type::vector(dtype, ty.lanes))?;
        let target = self.shape(Type::vector(DType::I32, ty.lanes))?;
        let lanes: SmallVec<[Value; 16]> = self
            .lanes(&x, &source)
            .into_iter()
            .map(|lane| {
                let half = self.convert_scalar(lane, dtype, memory);
                self.ins().uextend(types::I32, half)
            })
            .collect();
        Ok(self.join_lanes(&lanes, &target))
    }

    /// Numbers as 0 and 1.
    fn bools(&mut self, x: &Parts, ty: Type) -> Result<Parts, CodegenError> {
        use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
        let mask = self.map(x, |t, part| {
            let zero = t.uniform(t.builder.func.dfg.value_type(part), 0);
            match ty.is_float() {
                true => t.ins().fcmp(FloatCC::NotEqual, part, zero),
                false => t.ins().icmp(IntCC::NotEqual, part, zero),
            }
        });
        self.convert_parts(&mask, ty.mask(), DType::I32)
    }

    fn store_contiguous(
        &mut self,
        raw: &Parts,
        memory: DType,
        shape: &Shape,
        address: &Address,
    ) -> Result<(), CodegenError> {
        let pointer = self.pointer(address, memory)?;
        let stride = (shape.part_lanes * memory.bytes()) as i64;
        for (index, part) in raw.iter().enumerate() {
            let Pointer { base, offset } = self.advance(pointer, index as i64 * stride)?;
            let value = match memory.bytes() {
                1 | 2 => self.pack(*part, memory.bytes()),
                _ if shape.lanes < shape.part_lanes => {
                    let part = self.reinterpret(*part, types::F64X2);
                    self.ins().extractlane(part, 0)
                }
                _ => *part,
            };
            self.ins().store(flags(), value, base, offset);
        }
        Ok(())
    }

    /// The low bytes of 32-bit lanes, next to each other in a scalar. The narrowing instructions saturate, so the lanes are brought into range first.
    fn pack(&mut self, part: Value, bytes: usize) -> Value {
        if bytes == 1 {
            let low = self.uniform(types::I32X4, 0xff);
            let part = self.ins().band(part, low);
            let words = self.ins().snarrow(part, part);
            let packed = self.ins().unarrow(words, words);
            let packed = self.reinterpret(packed, types::I32X4);
            return self.ins().extractlane(packed, 0);
        }
        let by = self.int(16);
        let shifted = self.ins().ishl(part, by);
        let part = self.ins().sshr(shifted, by);
        let packed = self.ins().snarrow(part, part);
        let packed = self.reinterpret(packed, types::I64X2);
        self.ins().extractlane(packed, 0)
    }

    /// The address of each lane; `elsewhere` for those that the mask clears.
    fn lane_pointers(
        &mut self,
        memory: DType,
        lanes: usize,
        address: &Address,
        spread: &Spread,
        mask: Option<Val>,
        elsewhere: Value,
    ) -> Result<SmallVec<[Pointer; 16]>, CodegenError> {
        let first = self.pointer(address, memory)?;
        let bytes = memory.bytes() as i64;
        let mut pointers: SmallVec<[Pointer; 16]> = match spread {
            Spread::Contiguous => {
                (0..lanes).map(|lane| self.advance(first, lane as i64 * bytes)).collect::<Result<_, _>>()?
            }
            Spread::Strided(stride) => (0..lanes)
                .map(|lane| self.advance(first, stride.saturating_mul(lane as i64 * bytes)))
                .collect::<Result<_, _>>()?,
            Spread::Broadcast => smallvec![first; lanes],
            Spread::Gathered(indices) => self.gathered(first, memory, *indices)?,
        };
        if pointers.len() != lanes {
            return Err(self.bug("the indices of a gather have other lanes than its value"));
        }
        if let Some(mask) = mask {
            let (parts, shape) = (self.parts(mask)?, self.shape(self.ty(mask))?);
            if shape.lanes != lanes {
                return Err(self.bug("a mask has other lanes than what it masks"));
            }
            let truths = self.lane_truths(&parts, &shape);
            for (pointer, truth) in pointers.iter_mut().zip(truths) {
                *pointer = self.if_set(truth, *pointer, elsewhere);
            }
        }
        Ok(pointers)
    }

    fn gathered(
        &mut self,
        first: Pointer,
        memory: DType,
        indices: Val,
    ) -> Result<SmallVec<[Pointer; 16]>, CodegenError> {
        let (parts, shape) = (self.parts(indices)?, self.shape(self.ty(indices))?);
        let dtype = self.ty(indices).dtype().filter(|dtype| dtype.is_int());
        let dtype = dtype.ok_or_else(|| self.bug("the indices of a gather are integers"))?;
        let lanes = self.lanes(&parts, &shape);
        Ok(lanes
            .into_iter()
            .map(|index| {
                let index = self.extend(index, dtype, types::I64);
                Pointer { base: self.indexed(first.base, index, memory), ..first }
            })
            .collect())
    }

    /// The pointer where the condition is not 0, else one to `elsewhere`.
    fn if_set(&mut self, condition: Value, pointer: Pointer, elsewhere: Value) -> Pointer {
        let address = self.ins().iadd_imm_s(pointer.base, i64::from(pointer.offset));
        Pointer { base: self.ins().select(condition, address, elsewhere), offset: 0 }
    }

    /// Where an address points.
    fn pointer(&mut self, address: &Address, memory: DType) -> Result<Pointer, CodegenError> {
        let base = self.base(address.buffer)?;
        let bytes = memory.bytes() as i64;
        let constant = self.constant_index(address.index);
        if let Some(index) = constant {
            let offset = index.wrapping_add(address.offset).wrapping_mul(bytes);
            return self.advance(Pointer { base, offset: 0 }, offset);
        }
        let key = (address.buffer, address.index);
        let base = match self.pointers.get(&key) {
            Some(pointer) => *pointer,
            None => {
                let index = self.scalar(address.index)?;
                let pointer = self.indexed(base, index, memory);
                self.pointers.insert(key, pointer);
                self.new_pointers.push(key);
                pointer
            }
        };
        self.advance(Pointer { base, offset: 0 }, address.offset.wrapping_mul(bytes))
    }

    fn indexed(&mut self, base: Value, index: Value, memory: DType) -> Value {
        let shift = memory.bytes().trailing_zeros();
        let distance = match shift {
            0 => index,
            _ => self.ins().ishl_imm_u(index, i64::from(shift)),
        };
        self.ins().iadd(base, distance)
    }

    /// A pointer some bytes further on.
    fn advance(&mut self, pointer: Pointer, bytes: i64) -> Result<Pointer, CodegenError> {
        let offset =
            i64::from(pointer.offset).checked_add(bytes).ok_or_else(|| self.bug("an address overflows"))?;
        // Room for the lanes of a vector and of their parts.
        if offset.unsigned_abs() < 1 << 30 {
            return Ok(Pointer { offset: offset as i32, ..pointer });
        }
        Ok(Pointer { base: self.ins().iadd_imm_s(pointer.base, offset), offset: 0 })
    }
}

/// The dtype of the register that elements of memory are brought into: vectors have no lanes below 32 bits.
fn register_dtype(memory: DType, lanes: u16) -> DType {
    match memory.bytes() {
        1 | 2 if lanes > 1 => DType::I32,
        _ => memory,
    }
}
