//! How values of the kernel IR are held in Cranelift's values.
//!
//! A scalar is one value; a scalar mask is an `i8` of 0 or 1. A vector is one or more *parts*: vectors of 128 bits, the last lanes of which are
//! unused if the vector is narrower; what they hold is undefined. A mask of a vector has the parts of its elements, as integers of all ones or zero. On a
//! target without vectors each lane is a part, a scalar.

use super::function::Translator;
use crate::codegen::CodegenError;
use crate::kernel::{Type, types::Element};
use cranelift_codegen::ir::{self, Value, types};
use graven_ir::DType;
use smallvec::SmallVec;

/// The values that hold one value of the kernel IR.
pub(super) type Parts = SmallVec<[Value; 2]>;

/// The form of the parts of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The type of each part.
    pub part: ir::Type,
    /// The type of each lane of a part.
    pub lane: ir::Type,
    /// Lanes of a part, used or not.
    pub part_lanes: usize,
    /// Number of parts.
    pub parts: usize,
    /// Lanes of the whole.
    pub lanes: usize,
}

impl Shape {
    /// Whether the parts are vectors.
    pub fn is_vector(&self) -> bool {
        self.part_lanes > 1
    }

    /// The part and the lane in it that hold a lane of the whole.
    pub fn place(&self, lane: usize) -> (usize, usize) {
        (lane / self.part_lanes, lane % self.part_lanes)
    }
}

/// The type that holds a scalar: halves and 4-bit integers as integers.
pub(super) fn scalar_type(dtype: DType) -> ir::Type {
    match dtype {
        DType::Bool | DType::I4 | DType::U4 | DType::I8 | DType::U8 => types::I8,
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => types::I16,
        DType::I32 | DType::U32 => types::I32,
        DType::I64 | DType::U64 => types::I64,
        DType::F32 => types::F32,
        DType::F64 => types::F64,
    }
}

/// Whether the dtype is f16 or bf16, which are computed with in f32.
pub(super) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

impl Translator<'_, '_> {
    /// The shape of a type.
    pub fn shape(&self, ty: Type) -> Result<Shape, CodegenError> {
        let lane = match ty.element {
            Element::Number(dtype) => scalar_type(dtype),
            Element::Mask { .. } if ty.lanes == 1 => types::I8,
            Element::Mask { bits: 64 } => types::I64,
            // A scalar mask in all lanes, which selects nothing until it is converted, has no width yet.
            Element::Mask { .. } => types::I32,
        };
        if ty.lanes == 1 {
            return Ok(Shape { part: lane, lane, part_lanes: 1, parts: 1, lanes: 1 });
        }
        if lane.bytes() < 4 || !ty.lanes.is_power_of_two() {
            return Err(self.unsupported(format!("a vector of type {ty}")));
        }
        let lanes = usize::from(ty.lanes);
        let part_lanes = usize::from(self.machine.vector_bytes) / lane.bytes() as usize;
        if part_lanes <= 1 {
            let lane = if ty.is_mask() { types::I8 } else { lane };
            return Ok(Shape { part: lane, lane, part_lanes: 1, parts: lanes, lanes });
        }
        let part = lane.by(part_lanes as u32).ok_or_else(|| self.bug(format!("{ty} has no parts")))?;
        Ok(Shape { part, lane, part_lanes, parts: lanes.div_ceil(part_lanes), lanes })
    }
}
