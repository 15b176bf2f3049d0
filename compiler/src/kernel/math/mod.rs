//! The graph's elementwise functions as operations of kernels, for any number of lanes and every dtype.
//!
//! **Registers.** [`register_type`] says how elements are held: f16 and bf16 as f32, narrow integers as i32 within their range, bool as a
//! mask. All functions here take and give values in that form, with the graph's dtype as an argument where the register doesn't tell it.
//! Computing on f16 and bf16 keeps the precision of f32 until a value is stored or [`cast`].
//!
//! **Accuracy.** Functions of f32 are within 2 units in the last place of the exact result, those of f64 within 3, over all arguments,
//! denormals, infinities and NaN included; the tests say which are better. They need the default floating-point environment
//! (round to nearest, no flushing of denormals).
//!
//! **Cost.** Each function's doc counts its operations, constants not included, with a fused multiply-add; without one every multiply-add is two.
//! None branches, but for the reduction of large arguments in sin, cos and tan (|x| > 8192, in f64 > 2²³), which is skipped where no lane needs it,
//! and loops in float remainders and integer powers.
//!
//! **Sources.** Polynomials are minimax fits made by `coefficients.py`; each file names the sources of its methods.
//!
//! * [`registers`](register_type): how elements are held
//! * `exponential`, `logarithm`, `hyperbolic`, `circular` with `reduction`, `inverse`, `error_function`, `power`: functions of floats, over `float`
//! * `rounding`, `remainder`: exact functions of floats
//! * `integer`: integers
//! * `conversion`: casts and bitcasts

mod circular;
mod coefficients;
mod conversion;
mod error_function;
mod exponential;
mod float;
mod hyperbolic;
mod integer;
mod inverse;
mod logarithm;
mod power;
mod reduction;
mod registers;
mod remainder;
mod rounding;

#[cfg(test)]
mod tests;

pub use conversion::{bitcast, cast};
pub use registers::{load, register_lanes, register_type};

use super::{Binary, Compare, KernelBuilder, Number, Unary, Val};
use float::FloatMath;
use graven_ir::{BinaryOp, CompareOp, DType, UnaryOp};

/// A function of elements of `dtype`. The result has that dtype, or bool for predicates. Functions that the dtype doesn't have, which the graph's
/// verifier rejects, give the operand.
pub fn unary(b: &mut KernelBuilder, op: UnaryOp, dtype: DType, x: Val) -> Val {
    if dtype == DType::Bool {
        return if op == UnaryOp::Not { b.unary(Unary::Not, x) } else { x };
    }
    if !dtype.is_float() {
        return integer::unary(b, op, dtype, x).unwrap_or(x);
    }
    let mut m = FloatMath::of(b, x);
    match op {
        UnaryOp::Neg => b.unary(Unary::Neg, x),
        UnaryOp::Abs => b.unary(Unary::Abs, x),
        UnaryOp::Sign => sign(&mut m, x),
        UnaryOp::Floor => rounding::round(b, Unary::Floor, x),
        UnaryOp::Ceil => rounding::round(b, Unary::Ceil, x),
        UnaryOp::Round => rounding::round(b, Unary::Round, x),
        UnaryOp::Trunc => rounding::round(b, Unary::Trunc, x),
        UnaryOp::Reciprocal => reciprocal(&mut m, x),
        UnaryOp::Sqrt => m.sqrt(x),
        UnaryOp::Rsqrt => {
            let root = m.sqrt(x);
            reciprocal(&mut m, root)
        }
        UnaryOp::Exp => m.exp(x),
        UnaryOp::Expm1 => m.expm1(x),
        UnaryOp::Log => m.log(x),
        UnaryOp::Log1p => m.log1p(x),
        UnaryOp::Sin => m.sin(x),
        UnaryOp::Cos => m.cos(x),
        UnaryOp::Tan => m.tan(x),
        UnaryOp::Asin => m.asin(x),
        UnaryOp::Acos => m.acos(x),
        UnaryOp::Atan => m.atan(x),
        UnaryOp::Sinh => m.sinh(x),
        UnaryOp::Cosh => m.cosh(x),
        UnaryOp::Tanh => m.tanh(x),
        UnaryOp::Asinh => m.asinh(x),
        UnaryOp::Acosh => m.acosh(x),
        UnaryOp::Atanh => m.atanh(x),
        UnaryOp::Erf => m.erf(x),
        UnaryOp::Sigmoid => m.sigmoid(x),
        UnaryOp::IsNan => compare_registers(b, Compare::Ne, x, x),
        UnaryOp::IsInf => {
            let (magnitude, infinity) = (m.abs(x), m.c(f64::INFINITY));
            compare_registers(b, Compare::Eq, magnitude, infinity)
        }
        UnaryOp::Not | UnaryOp::PopCount => x,
    }
}

/// eˣ for x ≤ 0, as in softmax after the maximum is subtracted: cheaper than [`UnaryOp::Exp`] by 3 operations, and never denormal: results below 2⁻¹²⁵ (f64:
/// 2⁻¹⁰²¹) are 0. Floats only.
pub fn exp_nonpositive(b: &mut KernelBuilder, x: Val) -> Val {
    FloatMath::of(b, x).exp_nonpositive(x)
}

/// 1 ÷ x.
fn reciprocal(m: &mut FloatMath<'_>, x: Val) -> Val {
    let one = m.c(1.0);
    m.div(one, x)
}

/// −1, 0 or 1; NaN stays: 4 operations.
fn sign(m: &mut FloatMath<'_>, x: Val) -> Val {
    let (is_above, is_below) = (m.compare_c(Compare::Gt, x, 0.0), m.compare_c(Compare::Lt, x, 0.0));
    let (one, minus_one) = (m.c(1.0), m.c(-1.0));
    let result = m.select(is_below, minus_one, x);
    m.select(is_above, one, result)
}

/// A function of two elements of `dtype`.
pub fn binary(b: &mut KernelBuilder, op: BinaryOp, dtype: DType, x: Val, y: Val) -> Val {
    if dtype == DType::Bool {
        return bool_binary(b, op, x, y);
    }
    if !dtype.is_float() {
        return integer::binary(b, op, dtype, x, y).unwrap_or(x);
    }
    match op {
        BinaryOp::Add => b.add(x, y),
        BinaryOp::Sub => b.sub(x, y),
        BinaryOp::Mul => b.mul(x, y),
        BinaryOp::Div => b.binary(Binary::Div, x, y),
        BinaryOp::Rem => FloatMath::of(b, x).rem(x, y),
        BinaryOp::Mod => FloatMath::of(b, x).floor_mod(x, y),
        BinaryOp::Pow => FloatMath::of(b, x).pow(x, y),
        BinaryOp::Max => extremum(b, Binary::Max, x, y),
        BinaryOp::Min => extremum(b, Binary::Min, x, y),
        BinaryOp::Atan2 => FloatMath::of(b, x).atan2(x, y),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => x,
    }
}

/// The larger or smaller float, NaN if either is NaN: one operation where an operand is a constant other than NaN, else 3. The operation
/// gives its second operand where either is NaN, so the constant goes first.
fn extremum(b: &mut KernelBuilder, op: Binary, x: Val, y: Val) -> Val {
    let is_number =
        |value| matches!(b.known(value), Some(Number::Float(bits)) if !f64::from_bits(bits).is_nan());
    if is_number(x) {
        return b.binary(op, x, y);
    }
    if is_number(y) {
        return b.binary(op, y, x);
    }
    let result = b.binary(op, x, y);
    let is_nan = b.compare(Compare::Ne, x, x);
    b.select(is_nan, x, result)
}

fn bool_binary(b: &mut KernelBuilder, op: BinaryOp, x: Val, y: Val) -> Val {
    match op {
        BinaryOp::And | BinaryOp::Min => b.binary(Binary::And, x, y),
        BinaryOp::Or | BinaryOp::Max => b.binary(Binary::Or, x, y),
        BinaryOp::Xor => b.binary(Binary::Xor, x, y),
        _ => x,
    }
}

/// A comparison of two elements of `dtype`; the result is bool.
pub fn compare(b: &mut KernelBuilder, op: CompareOp, dtype: DType, x: Val, y: Val) -> Val {
    if dtype == DType::Bool {
        return bool_compare(b, op, x, y);
    }
    let op = match op {
        CompareOp::Eq => Compare::Eq,
        CompareOp::Ne => Compare::Ne,
        CompareOp::Lt => Compare::Lt,
        CompareOp::Le => Compare::Le,
        CompareOp::Gt => Compare::Gt,
        CompareOp::Ge => Compare::Ge,
    };
    compare_registers(b, op, x, y)
}

/// A comparison whose mask has the form of a bool.
fn compare_registers(b: &mut KernelBuilder, op: Compare, x: Val, y: Val) -> Val {
    let mask = b.compare(op, x, y);
    let like = register_type(DType::I32, b.ty(x).lanes);
    b.convert_mask(mask, like)
}

/// false < true.
fn bool_compare(b: &mut KernelBuilder, op: CompareOp, x: Val, y: Val) -> Val {
    let (op, x, y) = match op {
        CompareOp::Eq => {
            let differs = b.binary(Binary::Xor, x, y);
            return b.unary(Unary::Not, differs);
        }
        CompareOp::Ne => return b.binary(Binary::Xor, x, y),
        CompareOp::Lt => (Binary::And, y, x),
        CompareOp::Gt => (Binary::And, x, y),
        CompareOp::Le => (Binary::Or, y, x),
        CompareOp::Ge => (Binary::Or, x, y),
    };
    let not = b.unary(Unary::Not, y);
    b.binary(op, x, not)
}

/// x where the bool `condition` holds, else y; x and y of one dtype.
pub fn select(b: &mut KernelBuilder, condition: Val, x: Val, y: Val) -> Val {
    let like = b.ty(x);
    let mask = b.convert_mask(condition, like);
    b.select(mask, x, y)
}
