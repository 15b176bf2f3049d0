//! Element types and their codes.

/// An element type. The discriminants are the stable codes of [`super::Tensor::dtype`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool = 1,
    /// Signed 8-bit integer.
    I8 = 2,
    /// Signed 16-bit integer.
    I16 = 3,
    /// Signed 32-bit integer.
    I32 = 4,
    /// Signed 64-bit integer.
    I64 = 5,
    /// Unsigned 8-bit integer.
    U8 = 6,
    /// Unsigned 16-bit integer.
    U16 = 7,
    /// Unsigned 32-bit integer.
    U32 = 8,
    /// Unsigned 64-bit integer.
    U64 = 9,
    /// IEEE 754 binary16.
    F16 = 10,
    /// The upper half of an IEEE 754 binary32.
    Bf16 = 11,
    /// IEEE 754 binary32.
    F32 = 12,
    /// IEEE 754 binary64.
    F64 = 13,
    /// Signed 4-bit integer, two in a byte, the first in the low half.
    I4 = 14,
    /// Unsigned 4-bit integer, two in a byte, the first in the low half.
    U4 = 15,
}

impl DType {
    /// Every element type, in the order of the codes.
    pub const ALL: [DType; 15] = [
        DType::Bool,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::F16,
        DType::Bf16,
        DType::F32,
        DType::F64,
        DType::I4,
        DType::U4,
    ];

    /// The element type with this code.
    pub fn from_code(code: u32) -> Option<DType> {
        DType::ALL.into_iter().find(|dtype| *dtype as u32 == code)
    }

    /// The name in messages and in the text forms of the compiler's representations.
    pub fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::U16 => "u16",
            DType::U32 => "u32",
            DType::U64 => "u64",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I4 => "i4",
            DType::U4 => "u4",
        }
    }

    /// Bytes that an element takes in a tensor. A 4-bit integer takes one of its own.
    pub fn bytes(self) -> usize {
        match self {
            DType::Bool | DType::I8 | DType::U8 | DType::I4 | DType::U4 => 1,
            DType::I16 | DType::U16 | DType::F16 | DType::Bf16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::U64 | DType::F64 => 8,
        }
    }

    /// Bytes that `elements` elements occupy, or `None` if that exceeds an address.
    pub fn byte_len(self, elements: usize) -> Option<usize> {
        elements.checked_mul(self.bytes()).filter(|bytes| isize::try_from(*bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_round_trip() {
        for (index, dtype) in DType::ALL.into_iter().enumerate() {
            assert_eq!(dtype as usize, index + 1);
            assert_eq!(DType::from_code(dtype as u32), Some(dtype));
        }
        assert_eq!(DType::from_code(0), None);
        assert_eq!(DType::from_code(16), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(DType::U4.byte_len(5), Some(5));
        assert_eq!(DType::Bf16.byte_len(5), Some(10));
        assert_eq!(DType::F64.byte_len(0), Some(0));
        assert_eq!(DType::F64.byte_len(usize::MAX / 8 + 1), None);
        assert_eq!(DType::I16.byte_len(usize::MAX / 2), None);
    }
}
