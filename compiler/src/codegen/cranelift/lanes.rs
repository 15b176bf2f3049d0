//! Parts and their lanes: taking vectors apart and putting them together.

use super::function::Translator;
use super::shape::{Parts, Shape};
use crate::codegen::CodegenError;
use crate::kernel::{Type, Val};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value, types};
use smallvec::SmallVec;

/// The lanes of a vector as scalars.
pub(super) type Lanes = SmallVec<[Value; 16]>;

impl Translator<'_, '_> {
    /// Applies an operation to each part.
    pub fn map(&mut self, x: &Parts, mut each: impl FnMut(&mut Self, Value) -> Value) -> Parts {
        x.iter().map(|part| each(self, *part)).collect()
    }

    /// Applies an operation to each pair of parts.
    pub fn zip(
        &mut self,
        x: &Parts,
        y: &Parts,
        mut each: impl FnMut(&mut Self, Value, Value) -> Value,
    ) -> Parts {
        x.iter().zip(y).map(|(x, y)| each(self, *x, *y)).collect()
    }

    /// The same bits as another type of equally wide lanes, or as a scalar of equal width.
    pub fn cast(&mut self, value: Value, to: ir::Type) -> Value {
        match self.builder.func.dfg.value_type(value) == to {
            true => value,
            false => self.ins().bitcast(to, MemFlagsData::new(), value),
        }
    }

    /// The same bits as a vector with lanes of another width, as if stored and loaded again.
    pub fn reinterpret(&mut self, value: Value, to: ir::Type) -> Value {
        let flags = self.machine.lane_order();
        match self.builder.func.dfg.value_type(value) == to {
            true => value,
            false => self.ins().bitcast(to, flags, value),
        }
    }

    /// One lane of parts, as a scalar of the lane's type; a lane of a mask is all ones or zero.
    pub fn lane(&mut self, parts: &Parts, shape: &Shape, lane: usize) -> Value {
        let (part, place) = shape.place(lane);
        match shape.is_vector() {
            true => self.ins().extractlane(parts[part], place as u8),
            false => parts[part],
        }
    }

    /// All lanes of parts.
    pub fn lanes(&mut self, parts: &Parts, shape: &Shape) -> Lanes {
        (0..shape.lanes).map(|lane| self.lane(parts, shape, lane)).collect()
    }

    /// Parts from their lanes.
    pub fn join_lanes(&mut self, lanes: &[Value], shape: &Shape) -> Parts {
        if !shape.is_vector() {
            return lanes.into();
        }
        lanes
            .chunks(shape.part_lanes)
            .map(|lanes| {
                let mut part = self.ins().scalar_to_vector(shape.part, lanes[0]);
                for (place, lane) in lanes.iter().enumerate().skip(1) {
                    part = self.ins().insertlane(part, *lane, place as u8);
                }
                part
            })
            .collect()
    }

    /// A scalar in all lanes. The scalar has the lane's type.
    pub fn splat_lane(&mut self, scalar: Value, shape: &Shape) -> Parts {
        let part = match shape.is_vector() {
            true => self.ins().splat(shape.part, scalar),
            false => scalar,
        };
        SmallVec::from_elem(part, shape.parts)
    }

    /// A scalar mask as a lane of a mask: all ones or zero.
    pub fn mask_lane(&mut self, truth: Value, shape: &Shape) -> Value {
        match shape.is_vector() {
            true => self.ins().bmask(shape.lane, truth),
            false => truth,
        }
    }

    /// A lane of a mask as a scalar mask.
    pub fn truth(&mut self, lane: Value) -> Value {
        match self.builder.func.dfg.value_type(lane) {
            types::I8 => lane,
            _ => self.ins().icmp_imm_s(IntCC::NotEqual, lane, 0),
        }
    }

    /// `Splat`: a scalar of the kernel IR in all lanes of `ty`.
    pub fn splat(&mut self, x: Val, ty: Type) -> Result<Parts, CodegenError> {
        let shape = self.shape(ty)?;
        let mut scalar = self.scalar(x)?;
        if ty.is_mask() {
            scalar = self.mask_lane(scalar, &shape);
        }
        Ok(self.splat_lane(scalar, &shape))
    }

    /// `Extract`: one lane as a scalar of the kernel IR.
    pub fn extract(&mut self, x: Val, lane: u16) -> Result<Value, CodegenError> {
        let (parts, shape) = (self.parts(x)?, self.shape(self.ty(x))?);
        if usize::from(lane) >= shape.lanes {
            return Err(self.bug(format!("{x} has no lane {lane}")));
        }
        let value = self.lane(&parts, &shape, lane.into());
        Ok(if self.ty(x).is_mask() { self.truth(value) } else { value })
    }

    /// `Insert`: one lane replaced by a scalar of the kernel IR.
    pub fn insert(&mut self, x: Val, y: Val, lane: u16) -> Result<Parts, CodegenError> {
        let (mut parts, shape) = (self.parts(x)?, self.shape(self.ty(x))?);
        if usize::from(lane) >= shape.lanes {
            return Err(self.bug(format!("{x} has no lane {lane}")));
        }
        let mut scalar = self.scalar(y)?;
        if self.ty(x).is_mask() {
            scalar = self.mask_lane(scalar, &shape);
        }
        let (part, place) = shape.place(lane.into());
        parts[part] = match shape.is_vector() {
            true => self.ins().insertlane(parts[part], scalar, place as u8),
            false => scalar,
        };
        Ok(parts)
    }
}
