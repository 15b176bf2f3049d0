//! How values are held in registers.
//!
//! A scalar integer is in a general register, sign- or zero-extended from its dtype to 32 bits; so are halves, by their bits, and truth values as 0 or 1.
//! A scalar float is in the lowest lane of a vector register. A vector is in one or more *parts*: registers of its own width if it is at most that of the
//! target, else of the target's width; the unused lanes of a part below 128 bits are undefined. The mask of a vector has a part for each of the
//! vector's: with AVX-512 a mask register, else a vector register of ones and zeros.

use super::super::inst::Width;
use super::Isel;
use crate::codegen::CodegenError;
use crate::kernel::{Element, Type};
use graven_ir::{DType, DTypeClass};
use regalloc2::{RegClass, VReg};
use smallvec::SmallVec;

/// The registers that hold a value.
pub(super) type Parts = SmallVec<[VReg; 2]>;

/// The form of the parts of a vector type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The width of each part.
    pub width: Width,
    /// Bytes of a lane: 4 or 8.
    pub bytes: usize,
    /// Number of parts.
    pub parts: usize,
    /// Lanes of the whole.
    pub lanes: usize,
}

impl Shape {
    /// Lanes of a part, used or not.
    pub fn part_lanes(&self) -> usize {
        self.width.bytes() / self.bytes
    }

    /// The part and the lane in it that hold a lane of the whole.
    pub fn place(&self, lane: usize) -> (usize, usize) {
        (lane / self.part_lanes(), lane % self.part_lanes())
    }

    /// Whether a part has lanes that are not used.
    pub fn is_partial(&self) -> bool {
        self.lanes < self.part_lanes()
    }
}

/// Whether the dtype is f16 or bf16.
pub(super) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Whether the dtype is a signed integer.
pub(super) fn is_signed(dtype: DType) -> bool {
    dtype.class() == DTypeClass::Signed
}

impl Isel<'_> {
    /// The shape of a vector type.
    pub fn shape(&self, ty: Type) -> Result<Shape, CodegenError> {
        let bytes = match ty.element {
            Element::Number(dtype) => dtype.bytes(),
            Element::Mask { bits } => usize::from(bits) / 8,
        };
        let lanes = usize::from(ty.lanes);
        if lanes < 2 || !lanes.is_power_of_two() || !matches!(bytes, 4 | 8) {
            return Err(self.bug(format!("there are no vectors of type {ty}")));
        }
        let native = self.level.width().bytes();
        let width = Width::of_bytes((lanes * bytes).min(native));
        Ok(Shape { width, bytes, parts: (lanes * bytes).div_ceil(native), lanes })
    }

    /// The class and number of registers of a type.
    pub fn registers(&self, ty: Type) -> Result<(RegClass, usize), CodegenError> {
        if ty.lanes == 1 {
            let float = matches!(ty.dtype(), Some(DType::F32 | DType::F64));
            return Ok((if float { RegClass::Float } else { RegClass::Int }, 1));
        }
        let class = if ty.is_mask() && self.level.avx512 { RegClass::Vector } else { RegClass::Float };
        Ok((class, self.shape(ty)?.parts))
    }
}
