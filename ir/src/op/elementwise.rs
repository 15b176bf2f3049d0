//! Elementwise functions, one row each.

use serde::{Deserialize, Serialize};

macro_rules! functions {
    ($(#[$doc:meta])* $name:ident { $($(#[$row_doc:meta])* $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$row_doc])* $variant,)* }

        impl $name {
            /// Every function.
            pub const ALL: &[$name] = &[$($name::$variant),*];
            /// The names in the text form, for messages.
            pub const NAMES: &str = concat!("one of", $(" `", $text, "`"),*);

            /// The name in the text form.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}
pub(crate) use functions;

functions! {
    /// Functions of one element. The result has the operand's dtype unless a row says otherwise.
    UnaryOp {
        /// −x; integers wrap.
        Neg "neg",
        /// |x|; the smallest signed integer stays.
        Abs "abs",
        /// −1, 0 or 1 (+0 for −0); NaN stays.
        Sign "sign",
        /// Bitwise complement of integers, logical negation of bool.
        Not "not",
        /// Largest integer ≤ x (floats).
        Floor "floor",
        /// Smallest integer ≥ x (floats).
        Ceil "ceil",
        /// Nearest integer, ties to even (floats).
        Round "round",
        /// Integer part (floats).
        Trunc "trunc",
        /// 1 ÷ x (floats).
        Reciprocal "reciprocal",
        /// √x (floats).
        Sqrt "sqrt",
        /// 1 ÷ √x (floats).
        Rsqrt "rsqrt",
        /// eˣ (floats).
        Exp "exp",
        /// eˣ − 1, accurate near 0 (floats).
        Expm1 "expm1",
        /// Natural logarithm (floats).
        Log "log",
        /// ln(1 + x), accurate near 0 (floats).
        Log1p "log1p",
        /// Sine of radians (floats).
        Sin "sin",
        /// Cosine of radians (floats).
        Cos "cos",
        /// Tangent of radians (floats).
        Tan "tan",
        /// Inverse sine (floats).
        Asin "asin",
        /// Inverse cosine (floats).
        Acos "acos",
        /// Inverse tangent (floats).
        Atan "atan",
        /// Hyperbolic sine (floats).
        Sinh "sinh",
        /// Hyperbolic cosine (floats).
        Cosh "cosh",
        /// Hyperbolic tangent (floats).
        Tanh "tanh",
        /// Inverse hyperbolic sine (floats).
        Asinh "asinh",
        /// Inverse hyperbolic cosine (floats).
        Acosh "acosh",
        /// Inverse hyperbolic tangent (floats).
        Atanh "atanh",
        /// Error function 2/√π · ∫₀ˣ e^(−t²) dt (floats).
        Erf "erf",
        /// 1 ÷ (1 + e⁻ˣ) (floats).
        Sigmoid "sigmoid",
        /// Whether x is NaN (floats); the result is bool.
        IsNan "is_nan",
        /// Whether x is ±∞ (floats); the result is bool.
        IsInf "is_inf",
        /// Number of set bits (integers).
        PopCount "popcount",
    }
}

functions! {
    /// Functions of two elements of the same dtype.
    BinaryOp {
        /// x + y; integers wrap; not for bool.
        Add "add",
        /// x − y; integers wrap; not for bool.
        Sub "sub",
        /// x · y; integers wrap; not for bool.
        Mul "mul",
        /// x ÷ y; integers truncate towards zero, x ÷ 0 = 0, and the smallest signed value ÷ −1 wraps; not for bool.
        Div "div",
        /// Remainder with the sign of x, x − y·trunc(x ÷ y); integer x rem 0 = 0; not for bool.
        Rem "rem",
        /// Remainder with the sign of y, x − y·floor(x ÷ y), which a zero has too; integer x mod 0 = 0; not for bool.
        Mod "mod",
        /// xʸ with IEEE 754 `pow` cases; integer powers wrap, a negative integer exponent gives trunc(xʸ), 0 for x = 0; not for bool.
        Pow "pow",
        /// The larger; NaN if either is NaN, +0 of the two zeros (`maximum` of IEEE 754-2019).
        Max "max",
        /// The smaller; NaN if either is NaN, −0 of the two zeros (`minimum` of IEEE 754-2019).
        Min "min",
        /// Bitwise and (integers, bool).
        And "and",
        /// Bitwise or (integers, bool).
        Or "or",
        /// Bitwise exclusive or (integers, bool).
        Xor "xor",
        /// x · 2ʸ, the bits shifted out lost; 0 where y is outside 0..bits (integers).
        ShiftLeft "shl",
        /// x shifted right by y bits, sign-extending signed x; 0 (or −1 for negative x) where y is outside 0..bits (integers).
        ShiftRight "shr",
        /// The angle of the point (y, x) = (first, second) in radians (floats).
        Atan2 "atan2",
    }
}

functions! {
    /// Comparisons of two elements of the same dtype; the result is bool. With NaN all are false but `ne`.
    CompareOp {
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

impl UnaryOp {
    /// Whether the result is bool whatever the operand is.
    pub const fn is_predicate(self) -> bool {
        matches!(self, UnaryOp::IsNan | UnaryOp::IsInf)
    }
}
