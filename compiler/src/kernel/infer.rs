//! Types of operations: which operands they take, and what they give.

use super::ops::{Binary, Horizontal, KernelOp, Number, Unary};
use super::types::{Element, Type};
use graven_ir::DType;

/// Why operands don't fit an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Too many or too few.
    #[error("`{op}` takes {expected} operands, not {found}")]
    Count {
        /// The operation.
        op: &'static str,
        /// How many it takes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Operands of wrong types.
    #[error("`{op}` takes {expected}, not {}", list(found))]
    Operands {
        /// The operation.
        op: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: Vec<Type>,
    },
    /// The result can't have the type.
    #[error("`{op}` gives {expected}, not {found}")]
    Result {
        /// The operation.
        op: &'static str,
        /// What it gives.
        expected: String,
        /// The type of its result.
        found: Type,
    },
}

fn list(types: &[Type]) -> String {
    types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ")
}

impl KernelOp {
    /// The name in the text form; a reduction's has the function behind it.
    pub fn name(&self) -> &'static str {
        match self {
            KernelOp::Constant(_) => "constant",
            KernelOp::Unary(op) => op.name(),
            KernelOp::Binary(op) => op.name(),
            KernelOp::Compare(op) => op.name(),
            KernelOp::Fma => "fma",
            KernelOp::Select => "select",
            KernelOp::Convert(_) => "convert",
            KernelOp::Bitcast(_) => "bitcast",
            KernelOp::ConvertMask { .. } => "convert_mask",
            KernelOp::Splat { .. } => "splat",
            KernelOp::Extract { .. } => "extract",
            KernelOp::Insert { .. } => "insert",
            KernelOp::Shuffle { .. } => "shuffle",
            KernelOp::Reduce(_) => "reduce",
            KernelOp::Any => "any",
            KernelOp::TailMask { .. } => "tail_mask",
            KernelOp::LaneIds { .. } => "lane_ids",
        }
    }

    /// Number of operands.
    pub fn operand_count(&self) -> usize {
        match self {
            KernelOp::Constant(_) | KernelOp::LaneIds { .. } => 0,
            KernelOp::Unary(_)
            | KernelOp::Convert(_)
            | KernelOp::Bitcast(_)
            | KernelOp::ConvertMask { .. }
            | KernelOp::Splat { .. }
            | KernelOp::Extract { .. }
            | KernelOp::Reduce(_)
            | KernelOp::Any
            | KernelOp::TailMask { .. } => 1,
            KernelOp::Binary(_)
            | KernelOp::Compare(_)
            | KernelOp::Insert { .. }
            | KernelOp::Shuffle { .. } => 2,
            KernelOp::Fma | KernelOp::Select => 3,
        }
    }

    /// The type of the result. `declared` is the type that the result has; only a constant's is free, all others follow from the operation
    /// and its operands.
    pub fn result_type(&self, operands: &[Type], declared: Type) -> Result<Type, TypeError> {
        let (op, expected) = (self.name(), self.operand_count());
        if operands.len() != expected {
            return Err(TypeError::Count { op, expected, found: operands.len() });
        }
        let wrong = |expected| TypeError::Operands { op, expected, found: operands.to_vec() };
        match (self, operands) {
            (KernelOp::Constant(number), _) => constant_type(*number, declared),
            (KernelOp::Unary(op), [x]) => unary_type(*op, *x).map_err(wrong),
            (KernelOp::Binary(op), [x, y]) => binary_type(*op, *x, *y).map_err(wrong),
            (KernelOp::Compare(_), [x, y]) => {
                let fits = x == y && is_arithmetic(*x);
                if fits { Ok(x.mask()) } else { Err(wrong("two numbers of one type")) }
            }
            (KernelOp::Fma, [x, y, z]) => {
                let fits = x == y && y == z && is_float(*x);
                if fits { Ok(*x) } else { Err(wrong("three f32 or f64 values of one type")) }
            }
            (KernelOp::Select, [mask, x, y]) => {
                let fits = x == y && *mask == x.mask();
                if fits { Ok(*x) } else { Err(wrong("a mask and two values of the mask's lanes and width")) }
            }
            _ => self.conversion_type(operands).map_err(wrong),
        }
    }

    /// Operations that change the type or move lanes.
    fn conversion_type(&self, operands: &[Type]) -> Result<Type, &'static str> {
        match (self, operands) {
            (KernelOp::Convert(to), [x]) => match x.element {
                Element::Number(_) => Ok(Type::vector(*to, x.lanes)),
                Element::Mask { .. } if x.lanes == 1 => Ok(Type::scalar(*to)),
                Element::Mask { .. } => Err("numbers or a scalar mask"),
            },
            (KernelOp::Bitcast(to), [x]) => match x.dtype() {
                Some(from) if from.bytes() == to.bytes() => Ok(Type::vector(*to, x.lanes)),
                _ => Err("numbers of the result's size"),
            },
            (KernelOp::ConvertMask { bits }, [x]) if x.is_mask() && (x.lanes > 1) == (*bits > 8) => {
                Ok(Type { element: Element::Mask { bits: *bits }, lanes: x.lanes })
            }
            (KernelOp::ConvertMask { .. }, _) => Err("a mask of more than one lane"),
            (KernelOp::Splat { lanes }, [x]) if x.lanes == 1 && *lanes > 1 && !x.is_mask() => {
                Ok(x.with_lanes(*lanes))
            }
            (KernelOp::Splat { .. }, _) => Err("a scalar number, for more than one lane"),
            (KernelOp::Extract { lane }, [x]) if *lane < x.lanes => Ok(x.with_lanes(1)),
            (KernelOp::Extract { .. }, _) => Err("a value that has the lane"),
            (KernelOp::Insert { lane }, [x, y]) if *lane < x.lanes && *y == x.with_lanes(1) => Ok(*x),
            (KernelOp::Insert { .. }, _) => Err("a value that has the lane, and a scalar of its element"),
            (KernelOp::Shuffle { lanes }, [x, y]) => shuffle_type(lanes, *x, *y),
            (KernelOp::Reduce(op), [x]) => match op {
                Horizontal::Add | Horizontal::Mul | Horizontal::Min | Horizontal::Max
                    if x.lanes > 1 && is_arithmetic(*x) =>
                {
                    Ok(x.with_lanes(1))
                }
                _ => Err("numbers in more than one lane"),
            },
            (KernelOp::Any, [x]) if x.is_mask() && x.lanes > 1 => Ok(Type::TRUTH),
            (KernelOp::Any, _) => Err("a mask of more than one lane"),
            (KernelOp::TailMask { bits, lanes }, [x]) if *x == Type::INDEX => {
                Ok(Type { element: Element::Mask { bits: *bits }, lanes: *lanes })
            }
            (KernelOp::TailMask { .. }, _) => Err("an index"),
            (KernelOp::LaneIds { dtype, lanes }, _) => Ok(Type::vector(*dtype, *lanes)),
            _ => Err("other operands"),
        }
    }
}

/// Floats that registers compute with: halves are only converted, moved and selected.
fn is_float(x: Type) -> bool {
    matches!(x.dtype(), Some(DType::F32 | DType::F64))
}

fn is_int(x: Type) -> bool {
    x.dtype().is_some_and(DType::is_int)
}

fn is_arithmetic(x: Type) -> bool {
    is_float(x) || is_int(x)
}

fn unary_type(op: Unary, x: Type) -> Result<Type, &'static str> {
    let (fits, expected) = match op {
        Unary::Neg | Unary::Abs => (is_arithmetic(x), "numbers (f32, f64 or integers)"),
        Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round => (is_float(x), "f32 or f64"),
        Unary::Not => (is_int(x) || x.is_mask(), "integers or masks"),
        Unary::PopCount => (is_int(x) && x.lanes == 1, "a scalar integer"),
    };
    if fits { Ok(x) } else { Err(expected) }
}

fn binary_type(op: Binary, x: Type, y: Type) -> Result<Type, &'static str> {
    let (fits, expected) = match op {
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Min | Binary::Max => {
            (is_arithmetic(x), "two numbers (f32, f64 or integers) of one type")
        }
        Binary::Div => {
            (is_float(x) || (is_int(x) && x.lanes == 1), "two floats or scalar integers of one type")
        }
        Binary::Rem => (is_int(x) && x.lanes == 1, "two scalar integers of one type"),
        Binary::And | Binary::Or | Binary::Xor => {
            (is_int(x) || x.is_mask(), "two values of integers or masks of one type")
        }
        Binary::ShiftLeft | Binary::ShiftRight => (is_int(x), "two integers of one type"),
    };
    if fits && x == y { Ok(x) } else { Err(expected) }
}

fn shuffle_type(lanes: &[u16], x: Type, y: Type) -> Result<Type, &'static str> {
    let fits = x == y && x.lanes > 1 && lanes.len() > 1;
    let inside = lanes.iter().all(|lane| u32::from(*lane) < 2 * u32::from(x.lanes));
    match u16::try_from(lanes.len()) {
        Ok(count) if fits && inside => Ok(x.with_lanes(count)),
        _ => Err("two values of one type with more than one lane, and lanes within them"),
    }
}

/// The declared type, if it holds the number exactly.
fn constant_type(number: Number, declared: Type) -> Result<Type, TypeError> {
    let fits = match (number, declared.dtype()) {
        (Number::Int(value), None) => value == 0 || value == 1,
        (Number::Int(_), Some(DType::I64 | DType::U64)) => true,
        (Number::Int(value), Some(dtype)) => {
            dtype.is_int()
                && dtype.int_range().is_some_and(|(low, high)| (low..=high).contains(&value.into()))
        }
        (Number::Float(bits), Some(dtype)) => is_exact(f64::from_bits(bits), dtype),
        (Number::Float(_), None) => false,
    };
    let expected = || match number {
        Number::Int(value) => format!("an integer type that holds {value}"),
        Number::Float(bits) => format!("a float type that holds {} exactly", f64::from_bits(bits)),
    };
    match fits {
        true => Ok(declared),
        false => Err(TypeError::Result { op: "constant", expected: expected(), found: declared }),
    }
}

fn is_exact(value: f64, dtype: DType) -> bool {
    let rounded = match dtype {
        DType::F64 => value,
        DType::F32 => f64::from(value as f32),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        _ => return false,
    };
    rounded == value || value.is_nan()
}
