//! Types of the kernel IR: scalars and vectors of one element type, and masks.

use graven_ir::DType;
use std::fmt;

/// The element of a register value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// A number. In vectors only dtypes of 4 and 8 bytes occur; narrower ones are widened when loaded.
    Number(DType),
    /// The truth of a comparison, lane by lane. `bits` is the width of the compared elements, so that a backend may keep
    /// it as a vector of that width; scalars have 8.
    Mask {
        /// Width of the compared elements: 8 for scalars, else 32 or 64.
        bits: u8,
    },
}

/// The type of a register value. One lane is a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What each lane holds.
    pub element: Element,
    /// Number of lanes: a power of two.
    pub lanes: u16,
}

impl Type {
    /// The type of indices and loop variables.
    pub const INDEX: Type = Type::scalar(DType::I64);
    /// The type of a scalar truth value.
    pub const TRUTH: Type = Type { element: Element::Mask { bits: 8 }, lanes: 1 };

    /// A number in a register.
    pub const fn scalar(dtype: DType) -> Type {
        Type::vector(dtype, 1)
    }

    /// `lanes` numbers in a register.
    pub const fn vector(dtype: DType, lanes: u16) -> Type {
        Type { element: Element::Number(dtype), lanes }
    }

    /// The type of a comparison of two values of this type.
    pub const fn mask(self) -> Type {
        let bits = match (self.lanes, self.element) {
            (1, _) => 8,
            (_, Element::Number(dtype)) => dtype.bytes() as u8 * 8,
            (_, Element::Mask { bits }) => bits,
        };
        Type { element: Element::Mask { bits }, lanes: self.lanes }
    }

    /// The dtype of a number; `None` for masks.
    pub const fn dtype(self) -> Option<DType> {
        match self.element {
            Element::Number(dtype) => Some(dtype),
            Element::Mask { .. } => None,
        }
    }

    /// The same element in another number of lanes; the mask of a scalar has 8 bits.
    pub const fn with_lanes(self, lanes: u16) -> Type {
        match self.element {
            Element::Mask { .. } if lanes == 1 => Type::TRUTH,
            element => Type { element, lanes },
        }
    }

    /// Whether the lanes are floats.
    pub const fn is_float(self) -> bool {
        matches!(self.dtype(), Some(dtype) if dtype.is_float())
    }

    /// Whether this is a mask or scalar truth value.
    pub const fn is_mask(self) -> bool {
        matches!(self.element, Element::Mask { .. })
    }
}

/// `f32`, `f32x8`, `mask32x8`, `mask`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Element::Number(dtype) => write!(f, "{dtype}")?,
            Element::Mask { .. } if self.lanes == 1 => f.write_str("mask")?,
            Element::Mask { bits } => write!(f, "mask{bits}")?,
        }
        match self.lanes {
            1 => Ok(()),
            lanes => write!(f, "x{lanes}"),
        }
    }
}
