//! The machine instructions: one row each, with the encodings for every width and the operands in the order of the assembler.
//!
//! A row's *form* has one letter per operand. The first operand is the result unless its letter says otherwise:
//!
//! | letter | operand |
//! |---|---|
//! | `V` `H` `P` `Q` `X` | vector register: of the row's width, half of it (at least 128 bits), 128, 256, 128 bits |
//! | `R` `S` | vector register that is read: 128, 256 bits |
//! | `A` `B` `C` | vector register or memory: of the row's width, half, a quarter of it |
//! | `W` | vector register of the row's width in an immediate |
//! | `T` | result of the row's width that is also the first input |
//! | `K` | mask register |
//! | `N` `O` | general register of the row's width; `O` or memory |
//! | `g` `G` `a` `b` | general register of 32 or 64 bits; `a`, `b` or memory |
//! | `h` `w` | general register that is read: 8, 16 bits |
//! | `n` `x` | general, 128-bit register that is read, also as the first operand |
//! | `t` | general result that is also the first input |
//! | `M` `I` | memory, immediate |
//! | `D` `E` `F` | operands in fixed registers: division, high product, sign extension |

#[macro_use]
mod rows;
mod table;

pub use iced_x86::Code;
pub use rows::Row;
pub use table::Op;

use regalloc2::RegClass;

/// The width of an instruction's vectors; of general registers 32 (`X`) or 64 bits (`Y`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 128 bits, also of scalars.
    X,
    /// 256 bits.
    Y,
    /// 512 bits.
    Z,
}

impl Width {
    /// 32-bit general registers.
    pub const W32: Width = Width::X;
    /// 64-bit general registers.
    pub const W64: Width = Width::Y;

    /// Bytes of a vector.
    pub fn bytes(self) -> usize {
        16 << self as usize
    }

    /// The width of a vector of so many bytes.
    pub fn of_bytes(bytes: usize) -> Width {
        match bytes {
            0..=16 => Width::X,
            17..=32 => Width::Y,
            _ => Width::Z,
        }
    }

    /// Half of it, at least 128 bits.
    pub fn half(self) -> Width {
        if self == Width::Z { Width::Y } else { Width::X }
    }
}

/// What is known of a letter of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Vector registers.
    Vector(Width),
    /// Mask registers.
    Mask,
    /// General registers with their bits.
    General(u8),
    /// Memory only.
    Memory,
    /// An immediate.
    Immediate,
}

/// The register file of an operand.
pub fn file(letter: u8, width: Width) -> File {
    let general = if width == Width::W64 { 64 } else { 32 };
    match letter {
        b'V' | b'A' | b'T' | b'W' => File::Vector(width),
        b'H' | b'B' => File::Vector(width.half()),
        b'C' | b'P' | b'X' | b'R' | b'x' => File::Vector(Width::X),
        b'Q' | b'S' => File::Vector(Width::Y),
        b'K' => File::Mask,
        b'g' | b'a' => File::General(32),
        b'G' | b'b' => File::General(64),
        b'h' => File::General(8),
        b'w' => File::General(16),
        b'I' => File::Immediate,
        b'M' => File::Memory,
        _ => File::General(general),
    }
}

/// What the first operand of a form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// A new value.
    New(RegClass),
    /// A new value in the register of the first input.
    Tied(RegClass),
    /// No result: the operand is read, or is memory.
    None,
}

/// The result of a form.
pub fn result(form: &str) -> Result {
    match form.as_bytes()[0] {
        b'T' => Result::Tied(RegClass::Float),
        b't' => Result::Tied(RegClass::Int),
        b'K' => Result::New(RegClass::Vector),
        b'N' | b'g' | b'G' => Result::New(RegClass::Int),
        b'V' | b'H' | b'P' | b'Q' | b'X' => Result::New(RegClass::Float),
        _ => Result::None,
    }
}

/// A condition of the flags, in the order of its code in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cond {
    /// Unsigned <.
    Below = 2,
    /// Unsigned ≥.
    NotBelow = 3,
    /// =.
    Equal = 4,
    /// ≠.
    NotEqual = 5,
    /// Unsigned ≤.
    NotAbove = 6,
    /// Unsigned >.
    Above = 7,
    /// Unordered.
    Parity = 10,
    /// Ordered.
    NotParity = 11,
    /// Signed <.
    Less = 12,
    /// Signed ≥.
    NotLess = 13,
    /// Signed ≤.
    NotGreater = 14,
    /// Signed >.
    Greater = 15,
}

impl Cond {
    /// The opposite.
    pub fn negated(self) -> Cond {
        match self {
            Cond::Below => Cond::NotBelow,
            Cond::NotBelow => Cond::Below,
            Cond::Equal => Cond::NotEqual,
            Cond::NotEqual => Cond::Equal,
            Cond::NotAbove => Cond::Above,
            Cond::Above => Cond::NotAbove,
            Cond::Parity => Cond::NotParity,
            Cond::NotParity => Cond::Parity,
            Cond::Less => Cond::NotLess,
            Cond::NotLess => Cond::Less,
            Cond::NotGreater => Cond::Greater,
            Cond::Greater => Cond::NotGreater,
        }
    }

    /// `jcc rel32`.
    pub fn jump(self) -> Code {
        match self {
            Cond::Below => Code::Jb_rel32_64,
            Cond::NotBelow => Code::Jae_rel32_64,
            Cond::Equal => Code::Je_rel32_64,
            Cond::NotEqual => Code::Jne_rel32_64,
            Cond::NotAbove => Code::Jbe_rel32_64,
            Cond::Above => Code::Ja_rel32_64,
            Cond::Parity => Code::Jp_rel32_64,
            Cond::NotParity => Code::Jnp_rel32_64,
            Cond::Less => Code::Jl_rel32_64,
            Cond::NotLess => Code::Jge_rel32_64,
            Cond::NotGreater => Code::Jle_rel32_64,
            Cond::Greater => Code::Jg_rel32_64,
        }
    }

    /// `setcc r8`.
    pub fn set(self) -> Code {
        match self {
            Cond::Below => Code::Setb_rm8,
            Cond::NotBelow => Code::Setae_rm8,
            Cond::Equal => Code::Sete_rm8,
            Cond::NotEqual => Code::Setne_rm8,
            Cond::NotAbove => Code::Setbe_rm8,
            Cond::Above => Code::Seta_rm8,
            Cond::Parity => Code::Setp_rm8,
            Cond::NotParity => Code::Setnp_rm8,
            Cond::Less => Code::Setl_rm8,
            Cond::NotLess => Code::Setge_rm8,
            Cond::NotGreater => Code::Setle_rm8,
            Cond::Greater => Code::Setg_rm8,
        }
    }

    /// `cmovcc r64, r64`.
    pub fn select(self) -> Code {
        match self {
            Cond::Below => Code::Cmovb_r64_rm64,
            Cond::NotBelow => Code::Cmovae_r64_rm64,
            Cond::Equal => Code::Cmove_r64_rm64,
            Cond::NotEqual => Code::Cmovne_r64_rm64,
            Cond::NotAbove => Code::Cmovbe_r64_rm64,
            Cond::Above => Code::Cmova_r64_rm64,
            Cond::Parity => Code::Cmovp_r64_rm64,
            Cond::NotParity => Code::Cmovnp_r64_rm64,
            Cond::Less => Code::Cmovl_r64_rm64,
            Cond::NotLess => Code::Cmovge_r64_rm64,
            Cond::NotGreater => Code::Cmovle_r64_rm64,
            Cond::Greater => Code::Cmovg_r64_rm64,
        }
    }
}
