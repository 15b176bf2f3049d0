//! How elements are held in registers.

use crate::kernel::{BufferId, Compare, KernelBuilder, Spread, Type, Val};
use graven_ir::{DType, DTypeClass, Dim};

/// The type that holds elements of `dtype` in `lanes` lanes:
///
/// | dtype | register |
/// |---|---|
/// | f64 f32 i64 u64 i32 u32 | itself |
/// | f16 bf16 | f32 |
/// | i4 i8 i16 u4 u8 u16 | i32, always within the range of the dtype |
/// | bool | a mask: of 32-bit elements in vectors |
pub fn register_type(dtype: DType, lanes: u16) -> Type {
    match dtype {
        DType::Bool => Type::vector(DType::I32, lanes).mask(),
        DType::I4 | DType::I8 | DType::I16 | DType::U4 | DType::U8 | DType::U16 => {
            Type::vector(DType::I32, lanes)
        }
        DType::F16 | DType::BF16 => Type::vector(DType::F32, lanes),
        _ => Type::vector(dtype, lanes),
    }
}

/// The most lanes that `dtype` has in vectors of `vector_bytes` bytes. A computation that mixes dtypes takes the smallest of theirs.
pub fn register_lanes(dtype: DType, vector_bytes: u16) -> u16 {
    let bytes = register_type(dtype, 1).dtype().map_or(4, DType::bytes);
    (vector_bytes / bytes as u16).max(1)
}

/// Loads elements of a buffer into a register of its [`register_type`]. Storing needs no counterpart: [`KernelBuilder::store`] takes
/// such values as they are.
pub fn load(
    b: &mut KernelBuilder,
    buffer: BufferId,
    element: &Dim,
    lanes: u16,
    spread: Spread,
    mask: Option<Val>,
) -> Val {
    let dtype = b.buffer_dtype(buffer);
    if dtype != DType::Bool {
        return b.load(buffer, element, register_type(dtype, lanes), spread, mask);
    }
    let ty = Type::vector(DType::I32, lanes);
    let number = b.load(buffer, element, ty, spread, mask);
    let zero = b.int(0, ty);
    b.compare(Compare::Ne, number, zero)
}

/// Brings an i32 that overflowed the range of a narrow integer dtype back into it by wrap-around; other dtypes stay.
pub(super) fn wrap(b: &mut KernelBuilder, dtype: DType, x: Val) -> Val {
    use crate::kernel::Binary::{And, ShiftLeft, ShiftRight};
    if !dtype.is_int() || dtype.bits() >= 32 {
        return x;
    }
    let ty = b.ty(x);
    if dtype.class() == DTypeClass::Unsigned {
        let ones = b.int((1 << dtype.bits()) - 1, ty);
        return b.binary(And, x, ones);
    }
    let distance = b.int(i64::from(32 - dtype.bits()), ty);
    let moved = b.binary(ShiftLeft, x, distance);
    b.binary(ShiftRight, moved, distance)
}
