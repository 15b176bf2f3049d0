//! The operations on register values. All are lane-wise unless a row says otherwise.

use graven_ir::DType;

macro_rules! functions {
    ($(#[$doc:meta])* $name:ident { $($(#[$row_doc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$row_doc])* $variant,)* }

        impl $name {
            /// Every function.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

functions! {
    /// Functions of one value; the result has the operand's type.
    Unary {
        /// −x (floats: the sign bit flips; integers wrap).
        Neg "neg",
        /// |x| (floats: the sign bit clears; integers wrap).
        Abs "abs",
        /// √x, correctly rounded (floats).
        Sqrt "sqrt",
        /// Largest integer ≤ x (floats).
        Floor "floor",
        /// Smallest integer ≥ x (floats).
        Ceil "ceil",
        /// Integer part (floats).
        Trunc "trunc",
        /// Nearest integer, ties to even (floats).
        Round "round",
        /// Bitwise complement (integers), negation (masks).
        Not "not",
        /// Number of set bits (scalar integers).
        PopCount "popcount",
    }
}

functions! {
    /// Functions of two values of one type; the result has that type.
    Binary {
        /// x + y; integers wrap.
        Add "add",
        /// x − y; integers wrap.
        Sub "sub",
        /// x · y; integers wrap.
        Mul "mul",
        /// x ÷ y (floats); truncated (scalar integers; y ≠ 0, and not the smallest ÷ −1: the lowering guards it).
        Div "div",
        /// Remainder of the truncated division (scalar integers; y ≠ 0, and not the smallest rem −1).
        Rem "rem",
        /// `x < y ? x : y`, so y where either is NaN.
        Min "min",
        /// `x > y ? x : y`, so y where either is NaN.
        Max "max",
        /// Bitwise and (integers, masks).
        And "and",
        /// Bitwise or (integers, masks).
        Or "or",
        /// Bitwise exclusive or (integers, masks).
        Xor "xor",
        /// x · 2ʸ, 0 ≤ y < bits (integers).
        ShiftLeft "shl",
        /// x shifted right, 0 ≤ y < bits, sign-extending signed x (integers).
        ShiftRight "shr",
    }
}

functions! {
    /// Comparisons of two values of one type; the result is its mask. With NaN all are false but `ne`.
    Compare {
        /// x = y.
        Eq "eq",
        /// x ≠ y.
        Ne "ne",
        /// x < y.
        Lt "lt",
        /// x ≤ y.
        Le "le",
        /// x > y.
        Gt "gt",
        /// x ≥ y.
        Ge "ge",
    }
}

functions! {
    /// How the lanes of a vector combine to a scalar: pairwise, upper half with lower half, until one is left.
    Horizontal {
        /// Sum.
        Add "add",
        /// Product.
        Mul "mul",
        /// [`Binary::Min`] of lower and upper half.
        Min "min",
        /// [`Binary::Max`] of lower and upper half.
        Max "max",
    }
}

/// An operation on register values: one result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KernelOp {
    /// `() → x`: the same number in all lanes. Floats are given by their f64 bits and are exact in the result's dtype.
    Constant(Number),
    /// `(x) → y`.
    Unary(Unary),
    /// `(x, y) → z`.
    Binary(Binary),
    /// `(x, y) → mask`.
    Compare(Compare),
    /// `(x, y, z) → x·y + z`, rounded once (floats). Kernels for targets without the instruction don't hold it.
    Fma,
    /// `(mask, x, y) → x where the mask is set, else y`. x and y may be masks.
    Select,
    /// `(x) → y`: conversion by value to another dtype in equally many lanes. Float to integer truncates and saturates, NaN
    /// gives 0; integers wrap; to f16 and bf16 rounds to nearest even. A scalar mask converts to 0 or 1 of any dtype.
    Convert(DType),
    /// `(x) → y`: the same bits as a dtype of equal size.
    Bitcast(DType),
    /// `(mask) → mask`: the same truth for elements of another width.
    ConvertMask {
        /// Width of the elements that the result selects.
        bits: u8,
    },
    /// `(x: scalar) → y`: x in all lanes.
    Splat {
        /// Number of lanes.
        lanes: u16,
    },
    /// `(x) → y: scalar`: one lane.
    Extract {
        /// Which.
        lane: u16,
    },
    /// `(x, y: scalar) → z`: x with one lane replaced.
    Insert {
        /// Which.
        lane: u16,
    },
    /// `(x, y) → z`: lane i of the result is lane `lanes[i]` of x, or of y where it is ≥ x's number of lanes.
    Shuffle {
        /// One entry per lane of the result, whose number may differ from the operands'.
        lanes: Box<[u16]>,
    },
    /// `(x) → y: scalar`.
    Reduce(Horizontal),
    /// `(mask) → mask: scalar`: whether any lane is set.
    Any,
    /// `(n: i64 scalar) → mask`: lane i is set where i < n.
    TailMask {
        /// Width of the masked elements.
        bits: u8,
        /// Number of lanes.
        lanes: u16,
    },
    /// `() → x`: lane i holds i, in an integer or float dtype.
    LaneIds {
        /// Element type.
        dtype: DType,
        /// Number of lanes.
        lanes: u16,
    },
}

/// A constant's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// Bits of an f64.
    Float(u64),
    /// An integer or truth value.
    Int(i64),
}

impl Number {
    /// A float constant.
    pub fn float(value: f64) -> Number {
        Number::Float(value.to_bits())
    }
}
