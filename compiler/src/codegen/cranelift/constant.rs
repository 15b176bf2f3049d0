//! Constants.

use super::function::Translator;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Number, Type, types::Element};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type as ClifType, Value, types};
use graven_ir::DType;
use smallvec::SmallVec;

impl Translator<'_, '_> {
    /// The same number in all lanes.
    pub fn constant(&mut self, number: Number, ty: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        let bits = match (ty.element, number) {
            (Element::Number(dtype), number) => number_bits(dtype, number),
            (Element::Mask { .. }, Number::Int(0)) => Some(0),
            (Element::Mask { .. }, Number::Int(_)) if !shape.is_vector() => Some(1),
            (Element::Mask { .. }, Number::Int(_)) => Some(u64::MAX),
            (Element::Mask { .. }, Number::Float(_)) => None,
        };
        let bits = bits.ok_or_else(|| self.bug(format!("{number:?} is no constant of type {ty}")))?;
        let part = self.lanes_constant(&shape, |_| bits, 0);
        Ok(SmallVec::from_elem(part, shape.parts))
    }

    /// `LaneIds`: lane i holds i.
    pub fn lane_ids(&mut self, dtype: DType, lanes: u16) -> Result<Parts, CodegenError> {
        let shape = self.shape(Type::vector(dtype, lanes))?;
        Ok((0..shape.parts)
            .map(|part| self.lanes_constant(&shape, |lane| small_number_bits(dtype, lane), part))
            .collect())
    }

    /// One part whose lanes have bits that depend on their number in the whole.
    pub fn lanes_constant(&mut self, shape: &Shape, bits: impl Fn(usize) -> u64, part: usize) -> Value {
        let first = part * shape.part_lanes;
        if !shape.is_vector() {
            return self.scalar_constant(shape.part, bits(first));
        }
        let bytes = shape.lane.bytes() as usize;
        let data: Vec<u8> = (first..first + shape.part_lanes)
            .flat_map(|lane| bits(lane).to_le_bytes().into_iter().take(bytes))
            .collect();
        self.vector_constant(shape.part, data)
    }

    /// A vector from its bytes, lane 0 first, each lane little-endian.
    pub fn vector_constant(&mut self, ty: ClifType, bytes: Vec<u8>) -> Value {
        let constant = self.builder.func.dfg.constants.insert(ConstantData::from(bytes));
        self.ins().vconst(ty, constant)
    }

    /// A vector or scalar of `ty` with an integer in all lanes, or with a float's bits.
    pub fn uniform(&mut self, ty: ClifType, bits: u64) -> Value {
        if !ty.is_vector() {
            return self.scalar_constant(ty, bits);
        }
        let bytes = ty.lane_type().bytes() as usize;
        let data = bits.to_le_bytes()[..bytes].repeat(ty.lane_count() as usize);
        self.vector_constant(ty, data)
    }

    /// A float in all lanes of `ty`.
    pub fn uniform_float(&mut self, ty: ClifType, value: f64) -> Value {
        let bits = match ty.lane_type() {
            types::F32 => u64::from((value as f32).to_bits()),
            _ => value.to_bits(),
        };
        self.uniform(ty, bits)
    }

    fn scalar_constant(&mut self, ty: ClifType, bits: u64) -> Value {
        match ty {
            types::F32 => self.ins().f32const(f32::from_bits(bits as u32)),
            types::F64 => self.ins().f64const(f64::from_bits(bits)),
            _ => {
                let unused = 64 - ty.bits();
                self.ins().iconst(ty, (bits << unused >> unused) as i64)
            }
        }
    }
}

/// The bits of a number in a register of the dtype, sign-extended if it is a signed integer.
fn number_bits(dtype: DType, number: Number) -> Option<u64> {
    match number {
        Number::Float(bits) => {
            let value = f64::from_bits(bits);
            match dtype {
                DType::F64 => Some(bits),
                DType::F32 => Some((value as f32).to_bits().into()),
                DType::F16 => Some(::half::f16::from_f64(value).to_bits().into()),
                DType::BF16 => Some(::half::bf16::from_f64(value).to_bits().into()),
                _ => None,
            }
        }
        Number::Int(_) if dtype.is_float() => None,
        Number::Int(value) => Some(value as u64),
    }
}

/// The bits of a small integer as a number of the dtype.
fn small_number_bits(dtype: DType, value: usize) -> u64 {
    match dtype.is_float() {
        true => number_bits(dtype, Number::float(value as f64)).unwrap_or(0),
        false => value as u64,
    }
}
