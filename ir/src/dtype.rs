//! Element types.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $bytes:literal $class:ident;)*) => {
        /// The element type of a tensor.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum DType { $($(#[$doc])* $variant,)* }

        impl DType {
            /// Every element type.
            pub const ALL: &[DType] = &[$(DType::$variant),*];

            /// The name in the text form, such as `f32`.
            pub const fn name(self) -> &'static str {
                match self { $(DType::$variant => $name),* }
            }

            /// Bytes that one element takes in a buffer. 4-bit integers take a byte each.
            pub const fn bytes(self) -> usize {
                match self { $(DType::$variant => $bytes),* }
            }

            /// Float, signed, unsigned or bool.
            pub const fn class(self) -> DTypeClass {
                match self { $(DType::$variant => DTypeClass::$class),* }
            }
        }
    };
}

dtypes! {
    /// Truth value, one byte, 0 or 1.
    Bool "bool" 1 Bool;
    /// 4-bit signed integer, stored sign-extended in a byte.
    I4 "i4" 1 Signed;
    /// 8-bit signed integer.
    I8 "i8" 1 Signed;
    /// 16-bit signed integer.
    I16 "i16" 2 Signed;
    /// 32-bit signed integer.
    I32 "i32" 4 Signed;
    /// 64-bit signed integer.
    I64 "i64" 8 Signed;
    /// 4-bit unsigned integer, stored zero-extended in a byte.
    U4 "u4" 1 Unsigned;
    /// 8-bit unsigned integer.
    U8 "u8" 1 Unsigned;
    /// 16-bit unsigned integer.
    U16 "u16" 2 Unsigned;
    /// 32-bit unsigned integer.
    U32 "u32" 4 Unsigned;
    /// 64-bit unsigned integer.
    U64 "u64" 8 Unsigned;
    /// IEEE 754 binary16.
    F16 "f16" 2 Float;
    /// bfloat16: the upper half of an f32.
    BF16 "bf16" 2 Float;
    /// IEEE 754 binary32.
    F32 "f32" 4 Float;
    /// IEEE 754 binary64.
    F64 "f64" 8 Float;
}

/// The kinds of element types that operations distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DTypeClass {
    /// Truth values.
    Bool,
    /// Two's complement integers.
    Signed,
    /// Unsigned integers.
    Unsigned,
    /// Floating-point numbers.
    Float,
}

impl DType {
    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), DTypeClass::Float)
    }

    /// Whether this is a signed or unsigned integer type; bool is not.
    pub const fn is_int(self) -> bool {
        matches!(self.class(), DTypeClass::Signed | DTypeClass::Unsigned)
    }

    /// Value bits: 4 for `i4` and `u4`, 1 for bool, the storage size for the rest.
    pub const fn bits(self) -> u32 {
        match self {
            DType::Bool => 1,
            DType::I4 | DType::U4 => 4,
            other => other.bytes() as u32 * 8,
        }
    }

    /// The smallest and largest value of an integer type or bool; `None` for floats.
    pub const fn int_range(self) -> Option<(i128, i128)> {
        let bits = self.bits();
        match self.class() {
            DTypeClass::Bool => Some((0, 1)),
            DTypeClass::Signed => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
            DTypeClass::Unsigned => Some((0, (1 << bits) - 1)),
            DTypeClass::Float => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no element type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no element type")]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(text: &str) -> Result<DType, UnknownDType> {
        DType::ALL.iter().copied().find(|dtype| dtype.name() == text).ok_or_else(|| UnknownDType(text.into()))
    }
}
