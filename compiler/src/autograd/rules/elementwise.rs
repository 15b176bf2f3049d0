//! Functions of elements.

use super::{OperandCotangents, Site};
use crate::autograd::GradError;
use crate::autograd::calculus::{
    add, div, equal, full_like, mul, neg, scale, shift, splat_constant, square, sub, sum, unreduce,
    where_or_zero,
};
use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, GraphBuilder, Op, UnaryOp, ValueId};
use smallvec::smallvec;
use std::f64::consts::FRAC_2_SQRT_PI;

type Cotangents = Result<OperandCotangents, GradError>;

/// g · f′(x). |x|′ is 0 at 0; step functions have derivative 0 everywhere.
pub(super) fn unary(b: &mut GraphBuilder<'_>, site: Site<'_>, op: UnaryOp, g: ValueId) -> Cotangents {
    let (x, y) = (site.operand(0), site.result());
    Ok(smallvec![unary_cotangent(b, op, x, y, g)?])
}

fn unary_cotangent(
    b: &mut GraphBuilder<'_>,
    op: UnaryOp,
    x: ValueId,
    y: ValueId,
    g: ValueId,
) -> Result<Option<ValueId>, InferError> {
    let factor = match op {
        UnaryOp::Neg => return neg(b, g).map(Some),
        UnaryOp::Log => return div(b, g, x).map(Some),
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc => return Ok(None),
        UnaryOp::Not | UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::PopCount => return Ok(None),
        UnaryOp::Log1p => {
            let divisor = shift(b, x, 1.0)?;
            return div(b, g, divisor).map(Some);
        }
        UnaryOp::Sqrt => {
            let half = scale(b, g, 0.5)?;
            return div(b, half, y).map(Some);
        }
        UnaryOp::Atan => {
            let square = square(b, x)?;
            let divisor = shift(b, square, 1.0)?;
            return div(b, g, divisor).map(Some);
        }
        UnaryOp::Atanh => {
            let divisor = one_minus_square(b, x)?;
            return div(b, g, divisor).map(Some);
        }
        UnaryOp::Abs => b.unary(UnaryOp::Sign, x)?,
        UnaryOp::Reciprocal => {
            let square = square(b, y)?;
            neg(b, square)?
        }
        UnaryOp::Rsqrt => {
            let square = square(b, y)?;
            let cube = mul(b, square, y)?;
            scale(b, cube, -0.5)?
        }
        UnaryOp::Exp => y,
        UnaryOp::Expm1 => shift(b, y, 1.0)?,
        UnaryOp::Sin => b.unary(UnaryOp::Cos, x)?,
        UnaryOp::Cos => {
            let sine = b.unary(UnaryOp::Sin, x)?;
            neg(b, sine)?
        }
        UnaryOp::Tan => {
            let square = square(b, y)?;
            shift(b, square, 1.0)?
        }
        UnaryOp::Asin => {
            let cosine = one_minus_square(b, x)?;
            b.unary(UnaryOp::Rsqrt, cosine)?
        }
        UnaryOp::Acos => {
            let sine = one_minus_square(b, x)?;
            let inverse = b.unary(UnaryOp::Rsqrt, sine)?;
            neg(b, inverse)?
        }
        UnaryOp::Sinh => b.unary(UnaryOp::Cosh, x)?,
        UnaryOp::Cosh => b.unary(UnaryOp::Sinh, x)?,
        UnaryOp::Tanh => one_minus_square(b, y)?,
        UnaryOp::Asinh => {
            let square = square(b, x)?;
            let sum = shift(b, square, 1.0)?;
            b.unary(UnaryOp::Rsqrt, sum)?
        }
        UnaryOp::Acosh => {
            // x² − 1 loses all digits near 1; the product of the factors does not.
            let (below, above) = (shift(b, x, -1.0)?, shift(b, x, 1.0)?);
            let product = mul(b, below, above)?;
            b.unary(UnaryOp::Rsqrt, product)?
        }
        UnaryOp::Erf => {
            let square = square(b, x)?;
            let exponent = neg(b, square)?;
            let bell = b.unary(UnaryOp::Exp, exponent)?;
            scale(b, bell, FRAC_2_SQRT_PI)?
        }
        UnaryOp::Sigmoid => {
            let complement = neg(b, y)?;
            let complement = shift(b, complement, 1.0)?;
            mul(b, y, complement)?
        }
    };
    mul(b, g, factor).map(Some)
}

/// 1 − x², as (1 − x)(1 + x).
fn one_minus_square(b: &mut GraphBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    let above = shift(b, x, 1.0)?;
    let negative = neg(b, x)?;
    let below = shift(b, negative, 1.0)?;
    mul(b, below, above)
}

/// g · ∂f ÷ ∂x and g · ∂f ÷ ∂y.
pub(super) fn binary(b: &mut GraphBuilder<'_>, site: Site<'_>, op: BinaryOp, g: ValueId) -> Cotangents {
    let mut cotangents: OperandCotangents = smallvec![None; 2];
    if site.wants(0) {
        cotangents[0] = first(b, site, op, g)?;
    }
    if site.wants(1) {
        cotangents[1] = second(b, site, op, g)?;
    }
    Ok(cotangents)
}

fn first(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    op: BinaryOp,
    g: ValueId,
) -> Result<Option<ValueId>, InferError> {
    let (x, y) = (site.operand(0), site.operand(1));
    Ok(Some(match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Rem | BinaryOp::Mod => g,
        BinaryOp::Mul => mul(b, g, y)?,
        BinaryOp::Div => div(b, g, y)?,
        BinaryOp::Pow => power_base(b, [x, y], g)?,
        BinaryOp::Max | BinaryOp::Min => extremum(b, op, [x, y], g)?,
        BinaryOp::Atan2 => {
            let factor = over_square_sum(b, y, [x, y])?;
            mul(b, g, factor)?
        }
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            return Ok(None);
        }
    }))
}

fn second(
    b: &mut GraphBuilder<'_>,
    site: Site<'_>,
    op: BinaryOp,
    g: ValueId,
) -> Result<Option<ValueId>, InferError> {
    let (x, y) = (site.operand(0), site.operand(1));
    Ok(Some(match op {
        BinaryOp::Add => g,
        BinaryOp::Sub => neg(b, g)?,
        BinaryOp::Mul => mul(b, g, x)?,
        BinaryOp::Div => {
            let quotient = div(b, site.result(), y)?;
            let product = mul(b, g, quotient)?;
            neg(b, product)?
        }
        BinaryOp::Rem | BinaryOp::Mod => {
            let whole = if op == BinaryOp::Rem { UnaryOp::Trunc } else { UnaryOp::Floor };
            let quotient = div(b, x, y)?;
            let quotient = b.unary(whole, quotient)?;
            let product = mul(b, g, quotient)?;
            neg(b, product)?
        }
        BinaryOp::Pow => power_exponent(b, [x, y], site.result(), g)?,
        BinaryOp::Max | BinaryOp::Min => extremum(b, op, [y, x], g)?,
        BinaryOp::Atan2 => {
            let factor = over_square_sum(b, x, [x, y])?;
            let product = mul(b, g, factor)?;
            neg(b, product)?
        }
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            return Ok(None);
        }
    }))
}

/// g · y · x^(y − 1), and 0 where y is 0, also at x = 0.
fn power_base(b: &mut GraphBuilder<'_>, [x, y]: [ValueId; 2], g: ValueId) -> Result<ValueId, InferError> {
    let zero = full_like(b, y, 0.0)?;
    let constant = equal(b, y, zero)?;
    let exponent = shift(b, y, -1.0)?;
    let power = b.binary(BinaryOp::Pow, x, exponent)?;
    let derivative = mul(b, y, power)?;
    let derivative = b.op(Op::Select, &[constant, zero, derivative])?;
    mul(b, g, derivative)
}

/// g · xʸ · ln x, and 0 where x = 0 and y ≥ 0.
fn power_exponent(
    b: &mut GraphBuilder<'_>,
    [x, y]: [ValueId; 2],
    power: ValueId,
    g: ValueId,
) -> Result<ValueId, InferError> {
    let zero = full_like(b, x, 0.0)?;
    let base_is_zero = equal(b, x, zero)?;
    let not_negative = b.compare(CompareOp::Ge, y, zero)?;
    let flat = b.binary(BinaryOp::And, base_is_zero, not_negative)?;
    let one = full_like(b, x, 1.0)?;
    let base = b.op(Op::Select, &[flat, one, x])?;
    let log = b.unary(UnaryOp::Log, base)?;
    let derivative = mul(b, power, log)?;
    mul(b, g, derivative)
}

/// g where x is the larger (smaller) of the two and g ÷ 2 where they are equal. Against a constant, as in ReLU and its bounded forms, nothing where
/// they are equal: the derivative of max(x, 0) at 0 is 0.
fn extremum(
    b: &mut GraphBuilder<'_>,
    op: BinaryOp,
    [x, other]: [ValueId; 2],
    g: ValueId,
) -> Result<ValueId, InferError> {
    let order = if op == BinaryOp::Max { CompareOp::Gt } else { CompareOp::Lt };
    let chosen = b.compare(order, x, other)?;
    let whole = where_or_zero(b, chosen, g)?;
    if splat_constant(b, other).is_some() {
        return Ok(whole);
    }
    let tie = equal(b, x, other)?;
    let half = scale(b, g, 0.5)?;
    b.op(Op::Select, &[tie, half, whole])
}

/// value ÷ (x² + y²).
fn over_square_sum(
    b: &mut GraphBuilder<'_>,
    value: ValueId,
    [x, y]: [ValueId; 2],
) -> Result<ValueId, InferError> {
    let (x, y) = (square(b, x)?, square(b, y)?);
    let divisor = add(b, x, y)?;
    div(b, value, divisor)
}

/// To the side that was taken.
pub(super) fn select(b: &mut GraphBuilder<'_>, site: Site<'_>, g: ValueId) -> Cotangents {
    let condition = site.operand(0);
    let mut cotangents: OperandCotangents = smallvec![None; 3];
    let zero = full_like(b, g, 0.0)?;
    if site.wants(1) {
        cotangents[1] = Some(b.op(Op::Select, &[condition, g, zero])?);
    }
    if site.wants(2) {
        cotangents[2] = Some(b.op(Op::Select, &[condition, zero, g])?);
    }
    Ok(cotangents)
}

/// Between floats: the cotangent in the operand's dtype.
pub(super) fn cast(b: &mut GraphBuilder<'_>, site: Site<'_>, g: ValueId) -> Cotangents {
    Ok(smallvec![Some(b.cast(g, b.dtype(site.operand(0)))?)])
}

/// y · (g − Σ g·y).
pub(super) fn softmax(b: &mut GraphBuilder<'_>, site: Site<'_>, axis: usize, g: ValueId) -> Cotangents {
    let y = site.result();
    let shape = b.shape(y);
    let product = mul(b, g, y)?;
    let total = sum(b, product, &[axis])?;
    let total = unreduce(b, total, &shape, &[axis])?;
    let difference = sub(b, g, total)?;
    Ok(smallvec![Some(mul(b, difference, y)?)])
}

/// g − eʸ · Σ g.
pub(super) fn log_softmax(b: &mut GraphBuilder<'_>, site: Site<'_>, axis: usize, g: ValueId) -> Cotangents {
    let y = site.result();
    let shape = b.shape(y);
    let total = sum(b, g, &[axis])?;
    let total = unreduce(b, total, &shape, &[axis])?;
    let probability = b.unary(UnaryOp::Exp, y)?;
    let product = mul(b, probability, total)?;
    Ok(smallvec![Some(sub(b, g, product)?)])
}
