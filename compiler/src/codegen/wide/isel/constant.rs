//! Constants, and operands that stay in memory.

use super::super::inst::{Op, Width};
use super::super::vcode::Mem;
use super::Isel;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Element, KernelOp, Number, Stmt, Type, Val};
use graven_ir::DType;
use regalloc2::VReg;
use smallvec::{SmallVec, smallvec};

impl Isel<'_> {
    /// The same number in all lanes.
    pub fn constant(&mut self, number: Number, ty: Type) -> Result<Parts, CodegenError> {
        if ty.is_mask() {
            return self.mask_constant(number != Number::Int(0), ty);
        }
        let bits = self.bits_of(number, ty)?;
        if ty.lanes > 1 {
            let shape = self.shape(ty)?;
            let part = self.uniform(bits, &shape);
            return Ok(SmallVec::from_elem(part, shape.parts));
        }
        Ok(smallvec![match ty.dtype() {
            Some(DType::F32) => self.uniform(bits, &SCALAR32),
            Some(DType::F64) => self.uniform(bits, &SCALAR64),
            Some(DType::I64 | DType::U64) => self.int(bits as i64),
            _ => self.int32(bits as i64),
        }])
    }

    fn bits_of(&self, number: Number, ty: Type) -> Result<u64, CodegenError> {
        let bits = ty.dtype().and_then(|dtype| number_bits(dtype, number));
        bits.ok_or_else(|| self.bug(format!("{number:?} is no constant of type {ty}")))
    }

    fn mask_constant(&mut self, set: bool, ty: Type) -> Result<Parts, CodegenError> {
        if ty.lanes == 1 {
            return Ok(smallvec![self.int32(set.into())]);
        }
        let shape = self.shape(ty)?;
        let part = if self.level.avx512 {
            let ones = self.int32(if set { 0xffff } else { 0 });
            self.b.def(Op::IntToMask, Width::X, &[ones.into()])
        } else {
            self.uniform(if set { u64::MAX } else { 0 }, &shape)
        };
        Ok(SmallVec::from_elem(part, shape.parts))
    }

    /// A 64-bit integer.
    pub fn int(&mut self, value: i64) -> VReg {
        match i32::try_from(value) {
            Ok(small) if small >= 0 => self.b.def(Op::IntImm, Width::W32, &[value.into()]),
            Ok(_) => self.b.def(Op::IntImm, Width::W64, &[value.into()]),
            Err(_) => self.b.def(Op::IntImm64, Width::W64, &[value.into()]),
        }
    }

    /// A 32-bit integer.
    pub fn int32(&mut self, value: i64) -> VReg {
        self.b.def(Op::IntImm, Width::W32, &[value.into()])
    }

    /// A vector with the low bits in all lanes.
    pub fn uniform(&mut self, bits: u64, shape: &Shape) -> VReg {
        let low = bits << (64 - 8 * shape.bytes) >> (64 - 8 * shape.bytes);
        let bytes = &bits.to_le_bytes()[..shape.bytes];
        if low == 0 {
            return self.zero();
        }
        let mem = Mem::constant(self.b.constants.insert(bytes));
        let op = if shape.bytes == 4 { Op::LoadBroadcast32 } else { Op::LoadBroadcast64 };
        self.b.def(op, shape.width, &[mem.into()])
    }

    /// A vector of zeros, of any width.
    pub fn zero(&mut self) -> VReg {
        self.b.zero()
    }

    /// A float in all lanes.
    pub fn uniform_float(&mut self, value: f64, shape: &Shape) -> VReg {
        let bits = if shape.bytes == 4 { u64::from((value as f32).to_bits()) } else { value.to_bits() };
        self.uniform(bits, shape)
    }

    /// A part whose lanes have bits that depend on their number in the whole.
    pub fn lanes_constant(&mut self, shape: &Shape, bits: impl Fn(usize) -> u64, part: usize) -> VReg {
        let mem = self.lanes_in_memory(shape, bits, part);
        self.b.def(Op::Load, shape.width, &[mem.into()])
    }

    /// The same, in memory.
    pub fn lanes_in_memory(&mut self, shape: &Shape, bits: impl Fn(usize) -> u64, part: usize) -> Mem {
        let first = part * shape.part_lanes();
        let lanes = first..first + shape.part_lanes();
        let bytes: Vec<u8> =
            lanes.flat_map(|lane| bits(lane).to_le_bytes().into_iter().take(shape.bytes)).collect();
        Mem::constant(self.b.constants.insert(&bytes))
    }

    /// `LaneIds`: lane i holds i.
    pub fn lane_ids(&mut self, dtype: DType, lanes: u16) -> Result<Parts, CodegenError> {
        let ty = Type::vector(dtype, lanes);
        if lanes == 1 {
            let number = if dtype.is_float() { Number::float(0.0) } else { Number::Int(0) };
            return self.constant(number, ty);
        }
        let shape = self.shape(ty)?;
        let number = |lane: usize| match dtype.is_float() {
            true => number_bits(dtype, Number::float(lane as f64)).unwrap_or(0),
            false => lane as u64,
        };
        Ok((0..shape.parts).map(|part| self.lanes_constant(&shape, number, part)).collect())
    }

    /// The memory that an instruction can take instead of a part of a value.
    pub fn foldable(
        &mut self,
        op: Op,
        width: Width,
        value: Val,
        part: usize,
    ) -> Result<Option<Mem>, CodegenError> {
        let ty = self.ty(value);
        let element = usize::from(op.row().element);
        let broadcasts = self.level.avx512 && ty.dtype().is_some_and(|dtype| dtype.bytes() == element);
        match self.uses.definition(value) {
            Some(Stmt::Op { op: KernelOp::Constant(number), .. }) if !ty.is_mask() => {
                self.constant_operand(*number, ty, width, broadcasts)
            }
            Some(Stmt::Op { op: KernelOp::Splat { .. }, args, .. }) if broadcasts => {
                let inner = args[0];
                let free = self.uses.is_foldable(value) && self.uses.is_foldable(inner);
                Ok(self.folded[inner].filter(|_| free).map(|mem| Mem { broadcast: true, ..mem }))
            }
            Some(Stmt::Load { .. }) if self.uses.is_foldable(value) => {
                let mem = self.folded[value].filter(|mem| !mem.broadcast || broadcasts);
                let step = if mem.is_some_and(|mem| mem.broadcast) { 0 } else { width.bytes() };
                Ok(mem.map(|mem| mem.advanced((part * step) as i32)))
            }
            _ => Ok(None),
        }
    }

    /// A constant as a memory operand; not for zero, which is had for nothing in a register.
    fn constant_operand(
        &mut self,
        number: Number,
        ty: Type,
        width: Width,
        broadcasts: bool,
    ) -> Result<Option<Mem>, CodegenError> {
        let bits = self.bits_of(number, ty)?;
        let size = ty.dtype().map_or(0, DType::bytes);
        if bits == 0 || !matches!(size, 4 | 8) {
            return Ok(None);
        }
        let bytes = &bits.to_le_bytes()[..size];
        let id = match ty.lanes {
            1 => self.b.constants.insert(bytes),
            _ if broadcasts => self.b.constants.insert(bytes),
            _ => self.b.constants.insert(&bytes.repeat(width.bytes() / size)),
        };
        Ok(Some(Mem { broadcast: broadcasts && ty.lanes > 1, ..Mem::constant(id) }))
    }
}

/// The lowest lane of a vector register.
pub(super) const SCALAR32: Shape = Shape { width: Width::X, bytes: 4, parts: 1, lanes: 4 };
/// The same with 64 bits.
pub(super) const SCALAR64: Shape = Shape { width: Width::X, bytes: 8, parts: 1, lanes: 2 };

/// The bits of a number in a register of the dtype, sign-extended if it is a signed integer.
pub(super) fn number_bits(dtype: DType, number: Number) -> Option<u64> {
    match number {
        Number::Float(bits) => {
            let value = f64::from_bits(bits);
            match dtype {
                DType::F64 => Some(bits),
                DType::F32 => Some((value as f32).to_bits().into()),
                DType::F16 => Some(half::f16::from_f64(value).to_bits().into()),
                DType::BF16 => Some(half::bf16::from_f64(value).to_bits().into()),
                _ => None,
            }
        }
        Number::Int(_) if dtype.is_float() => None,
        Number::Int(value) => Some(value as u64),
    }
}

/// Whether the element is a mask.
pub(super) fn mask_bits(ty: Type) -> Option<u8> {
    match ty.element {
        Element::Mask { bits } => Some(bits),
        Element::Number(_) => None,
    }
}
