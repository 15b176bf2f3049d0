//! Elementwise functions and casts.

use super::EvalErrorKind;
use super::values::{Array, Number};
use crate::element::encode_int;
use crate::{BinaryOp, CompareOp, DType, Tensor, UnaryOp};
use std::cmp::Ordering;

/// A function of one element.
pub(super) fn unary(op: UnaryOp, x: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let dtype = x.dtype();
    if !dtype.is_float() {
        let values = i128::decode(x).into_iter().map(|x| integer_unary(op, dtype, x));
        let values: Option<Vec<i128>> = values.collect();
        return result.encode(&values.ok_or_else(|| not_defined(op.name(), dtype))?);
    }
    let function = float_unary(op).ok_or_else(|| not_defined(op.name(), dtype))?;
    let mut values = f64::decode(x);
    values.iter_mut().for_each(|x| *x = function(*x));
    result.encode(&values)
}

/// Our bug: inference admits a dtype on which the function has no meaning.
fn not_defined(op: &str, dtype: DType) -> EvalErrorKind {
    EvalErrorKind::Internal(format!("`{op}` is not defined for {dtype}"))
}

fn integer_unary(op: UnaryOp, dtype: DType, x: i128) -> Option<i128> {
    Some(match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => x.signum(),
        UnaryOp::Not if dtype == DType::Bool => 1 - x,
        UnaryOp::Not => !x,
        UnaryOp::PopCount => i128::from((x & ((1 << dtype.bits()) - 1)).count_ones()),
        _ => return None,
    })
}

fn float_unary(op: UnaryOp) -> Option<fn(f64) -> f64> {
    Some(match op {
        UnaryOp::Neg => |x| -x,
        UnaryOp::Abs => f64::abs,
        UnaryOp::Sign => |x| match x == 0.0 || x.is_nan() {
            true => x + 0.0,
            false => x.signum(),
        },
        UnaryOp::Floor => f64::floor,
        UnaryOp::Ceil => f64::ceil,
        UnaryOp::Round => f64::round_ties_even,
        UnaryOp::Trunc => f64::trunc,
        UnaryOp::Reciprocal => |x| 1.0 / x,
        UnaryOp::Sqrt => f64::sqrt,
        UnaryOp::Rsqrt => |x| 1.0 / x.sqrt(),
        UnaryOp::Exp => libm::exp,
        UnaryOp::Expm1 => libm::expm1,
        UnaryOp::Log => libm::log,
        UnaryOp::Log1p => libm::log1p,
        UnaryOp::Sin => libm::sin,
        UnaryOp::Cos => libm::cos,
        UnaryOp::Tan => libm::tan,
        UnaryOp::Asin => libm::asin,
        UnaryOp::Acos => libm::acos,
        UnaryOp::Atan => libm::atan,
        UnaryOp::Sinh => libm::sinh,
        UnaryOp::Cosh => libm::cosh,
        UnaryOp::Tanh => libm::tanh,
        UnaryOp::Asinh => libm::asinh,
        UnaryOp::Acosh => libm::acosh,
        UnaryOp::Atanh => libm::atanh,
        UnaryOp::Erf => libm::erf,
        UnaryOp::Sigmoid => sigmoid,
        UnaryOp::IsNan => |x| f64::from(x.is_nan()),
        UnaryOp::IsInf => |x| f64::from(x.is_infinite()),
        UnaryOp::Not | UnaryOp::PopCount => return None,
    })
}

/// 1 ÷ (1 + e⁻ˣ) without an infinite intermediate, so that large negative x keep their digits.
pub(super) fn sigmoid(x: f64) -> f64 {
    match x < 0.0 {
        true => libm::exp(x) / (1.0 + libm::exp(x)),
        false => 1.0 / (1.0 + libm::exp(-x)),
    }
}

/// A function of two elements.
pub(super) fn binary(op: BinaryOp, x: &Tensor, y: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let dtype = x.dtype();
    if !dtype.is_float() {
        let pairs = i128::decode(x).into_iter().zip(i128::decode(y));
        let values: Option<Vec<i128>> = pairs.map(|(x, y)| integer_binary(op, dtype, x, y)).collect();
        return result.encode(&values.ok_or_else(|| not_defined(op.name(), dtype))?);
    }
    let function = float_binary(op).ok_or_else(|| not_defined(op.name(), dtype))?;
    let mut values = f64::decode(x);
    values.iter_mut().zip(f64::decode(y)).for_each(|(x, y)| *x = function(*x, y));
    result.encode(&values)
}

fn integer_binary(op: BinaryOp, dtype: DType, x: i128, y: i128) -> Option<i128> {
    let bits = i128::from(dtype.bits());
    Some(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x.wrapping_mul(y),
        BinaryOp::Div => x.checked_div(y).unwrap_or(0),
        BinaryOp::Rem => x.checked_rem(y).unwrap_or(0),
        BinaryOp::Mod => x.checked_rem(y).map_or(0, |r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
        BinaryOp::Pow => integer_power(x, y),
        BinaryOp::Max => x.max(y),
        BinaryOp::Min => x.min(y),
        BinaryOp::And => x & y,
        BinaryOp::Or => x | y,
        BinaryOp::Xor => x ^ y,
        BinaryOp::ShiftLeft if (0..bits).contains(&y) => x << y,
        BinaryOp::ShiftLeft => 0,
        BinaryOp::ShiftRight if (0..bits).contains(&y) => x >> y,
        BinaryOp::ShiftRight => -i128::from(x < 0),
        BinaryOp::Atan2 => return None,
    })
}

/// xʸ; the low 64 bits are right although the product wraps. A negative exponent gives trunc(xʸ), and 0 for x = 0.
fn integer_power(x: i128, y: i128) -> i128 {
    let odd = y & 1 == 1;
    if y < 0 {
        return match x {
            1 => 1,
            -1 => 1 - 2 * i128::from(odd),
            _ => 0,
        };
    }
    let (mut power, mut square, mut exponent) = (1i128, x, y);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        exponent >>= 1;
    }
    power
}

fn float_binary(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |x, y| x + y,
        BinaryOp::Sub => |x, y| x - y,
        BinaryOp::Mul => |x, y| x * y,
        BinaryOp::Div => |x, y| x / y,
        // Rust's remainder is C's exact fmod.
        BinaryOp::Rem => |x, y| x % y,
        BinaryOp::Mod => floor_mod,
        BinaryOp::Pow => libm::pow,
        BinaryOp::Max => Number::maximum,
        BinaryOp::Min => Number::minimum,
        BinaryOp::Atan2 => libm::atan2,
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            return None;
        }
    })
}

/// x − y·floor(x ÷ y) as Python's `%` defines it: the sign is that of y, for a zero result too.
fn floor_mod(x: f64, y: f64) -> f64 {
    let remainder = x % y;
    if remainder == 0.0 {
        return 0f64.copysign(y);
    }
    match (remainder < 0.0) != (y < 0.0) {
        true => remainder + y,
        false => remainder,
    }
}

/// A comparison.
pub(super) fn compare<N: Number>(
    op: CompareOp,
    x: &Tensor,
    y: &Tensor,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let holds: fn(Ordering) -> bool = match op {
        CompareOp::Eq => Ordering::is_eq,
        CompareOp::Ne => Ordering::is_ne,
        CompareOp::Lt => Ordering::is_lt,
        CompareOp::Le => Ordering::is_le,
        CompareOp::Gt => Ordering::is_gt,
        CompareOp::Ge => Ordering::is_ge,
    };
    let pairs = N::decode(x).into_iter().zip(N::decode(y));
    let compared = pairs.map(|(x, y)| match x.is_nan() || y.is_nan() {
        true => op == CompareOp::Ne,
        false => holds(x.order(y)),
    });
    result.tensor(compared.map(u8::from).collect())
}

/// x where the condition holds, else y.
pub(super) fn select(
    condition: &Tensor,
    x: &Tensor,
    y: &Tensor,
    result: &Array,
) -> Result<Tensor, EvalErrorKind> {
    let size = x.dtype().bytes();
    let pairs = x.data().chunks_exact(size).zip(y.data().chunks_exact(size));
    let chosen = condition.data().iter().zip(pairs).map(|(c, (x, y))| if *c != 0 { x } else { y });
    result.tensor(chosen.flatten().copied().collect())
}

/// Conversion by value.
pub(super) fn cast(x: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    match x.dtype().is_float() {
        true => result.encode(&f64::decode(x)),
        // Integers to floats are rounded once here, by way of neither f64 nor f32.
        false => {
            let values = i128::decode(x);
            result.tensor(values.iter().flat_map(|value| encode_int(result.dtype, *value)).collect())
        }
    }
}

/// The same bits as another dtype. Four-bit integers keep the upper half of their byte sign- or zero-extended.
pub(super) fn bitcast(x: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    match x.dtype().is_float() || result.dtype.is_float() {
        true => result.tensor(x.data().clone()),
        false => result.encode(&i128::decode(x)),
    }
}
