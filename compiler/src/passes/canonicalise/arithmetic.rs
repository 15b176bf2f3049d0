//! Cheaper functions of elements. All but what a rule states otherwise are exact, NaN, infinities and signed zeros included.

use super::facts::{definition, is_never_negative, operand_of, repeated};
use crate::accuracy::Accuracy;
use crate::passes::PassError;
use graven_ir::{BinaryOp, CompareOp, DType, GraphBuilder, Node, Op, ReduceOp, UnaryOp, ValueId};

type Rewritten = Result<Option<ValueId>, PassError>;

/// −(−x), ¬¬x, |−x|, functions that do nothing the second time.
pub fn unary(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Unary(op), [x]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let source = inner.operands.first().copied();
    let value = match (op, &inner.op, source) {
        (UnaryOp::Neg, Op::Unary(UnaryOp::Neg), Some(source))
        | (UnaryOp::Not, Op::Unary(UnaryOp::Not), Some(source)) => source,
        (UnaryOp::Abs, Op::Unary(UnaryOp::Neg), Some(source)) => builder.unary(UnaryOp::Abs, source)?,
        (UnaryOp::Abs | UnaryOp::Sign, Op::Unary(same), _) if same == op => *x,
        (
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc,
            Op::Unary(UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc),
            _,
        ) => *x,
        (UnaryOp::Not, Op::Compare(CompareOp::Eq), _) => {
            let operands = inner.operands.clone();
            builder.op(Op::Compare(CompareOp::Ne), &operands)?
        }
        (UnaryOp::Not, Op::Compare(CompareOp::Ne), _) => {
            let operands = inner.operands.clone();
            builder.op(Op::Compare(CompareOp::Eq), &operands)?
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// x + (−y) = x − y, x − (−y) = x + y, (−x)(−y) = xy, 1 ÷ x as reciprocal.
pub fn signs(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Binary(op), [x, y]) = (&node.op, operands) else { return Ok(None) };
    let negated = |builder: &GraphBuilder, value| operand_of(builder, value, UnaryOp::Neg);
    let value = match (op, negated(builder, *x), negated(builder, *y)) {
        (BinaryOp::Add, _, Some(y)) => builder.op(Op::Binary(BinaryOp::Sub), &[*x, y])?,
        (BinaryOp::Add, Some(x), None) => builder.op(Op::Binary(BinaryOp::Sub), &[*y, x])?,
        (BinaryOp::Sub, _, Some(y)) => builder.op(Op::Binary(BinaryOp::Add), &[*x, y])?,
        (BinaryOp::Mul | BinaryOp::Div, Some(x), Some(y)) if builder.dtype(x).is_float() => {
            builder.op(node.op.clone(), &[x, y])?
        }
        (BinaryOp::Div, ..) if builder.dtype(*x).is_float() && repeated(builder, *x) == Some(1.0) => {
            builder.unary(UnaryOp::Reciprocal, *y)?
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Constants go to the right of commutative functions, so that other rules look there only.
pub fn constant_right(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Binary(op), [x, y]) = (&node.op, operands) else { return Ok(None) };
    let commutative = matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Mul
            | BinaryOp::Max
            | BinaryOp::Min
            | BinaryOp::And
            | BinaryOp::Or
            | BinaryOp::Xor
    );
    match commutative && is_constant(builder, *x) && !is_constant(builder, *y) {
        true => Ok(Some(builder.op(node.op.clone(), &[*y, *x])?)),
        false => Ok(None),
    }
}

/// A constant, or one that is repeated.
fn is_constant(builder: &GraphBuilder, value: ValueId) -> bool {
    match definition(builder, value) {
        Some(node) if matches!(node.op, Op::Broadcast { .. }) => {
            builder.constant_value(node.operands[0]).is_some()
        }
        _ => builder.constant_value(value).is_some(),
    }
}

/// Powers with small constant exponents. x² is exact; x³ = x·x·x rounds twice and is left out where nothing may be reassociated;
/// roots are taken only of what is never negative, since (−0)^½ = +0 and (−∞)^½ = ∞.
pub fn power(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId], accuracy: Accuracy) -> Rewritten {
    let (Op::Binary(BinaryOp::Pow), [x, y]) = (&node.op, operands) else { return Ok(None) };
    let Some(exponent) = repeated(builder, *y) else { return Ok(None) };
    let float = builder.dtype(*x).is_float();
    let root = float && is_never_negative(builder, *x);
    let value = if exponent == 2.0 {
        builder.binary(BinaryOp::Mul, *x, *x)?
    } else if exponent == 3.0 && (!float || accuracy.reassociates()) {
        let square = builder.binary(BinaryOp::Mul, *x, *x)?;
        builder.binary(BinaryOp::Mul, square, *x)?
    } else if exponent == -1.0 && float {
        builder.unary(UnaryOp::Reciprocal, *x)?
    } else if exponent == 0.5 && root {
        builder.unary(UnaryOp::Sqrt, *x)?
    } else if exponent == -0.5 && root {
        builder.unary(UnaryOp::Rsqrt, *x)?
    } else {
        return Ok(None);
    };
    Ok(Some(value))
}

/// Whether multiplying by 1 ÷ `divisor` gives the same as dividing by it: powers of two whose reciprocal is a normal number too.
fn has_exact_reciprocal(dtype: DType, divisor: f64) -> bool {
    let exponents = match dtype {
        DType::F16 => -14..=14,
        DType::BF16 | DType::F32 => -126..=126,
        _ => -1022..=1022,
    };
    let mantissa = divisor.to_bits() & ((1 << 52) - 1);
    let exponent = ((divisor.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    mantissa == 0 && exponents.contains(&exponent)
}

/// Division by a power of two is a multiplication. So is, with one rounding more, division by any constant at `fast`, and division of many elements by one sum or
/// root (softmax, norms) unless nothing may be reassociated. Other divisors may be scales of a quantisation, where one rounding more decides ties.
pub fn division(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
    accuracy: Accuracy,
) -> Rewritten {
    let (Op::Binary(BinaryOp::Div), [x, y]) = (&node.op, operands) else { return Ok(None) };
    let dtype = builder.dtype(*x);
    if !dtype.is_float() {
        return Ok(None);
    }
    if let Some(divisor) = repeated(builder, *y) {
        let fast = accuracy == Accuracy::Fast && divisor.is_normal() && (1.0 / divisor).is_normal();
        return match fast || has_exact_reciprocal(dtype, divisor) {
            true => Ok(Some(builder.binary_scalar(BinaryOp::Mul, *x, 1.0 / divisor)?)),
            false => Ok(None),
        };
    }
    let Some(inner) = definition(builder, *y) else { return Ok(None) };
    let Op::Broadcast { .. } = inner.op else { return Ok(None) };
    let (op, source) = (inner.op.clone(), inner.operands[0]);
    let constant = builder.constant_value(source).is_some();
    let spread = repetitions(builder, &op, source) >= 2;
    let wide = matches!(dtype, DType::F32 | DType::F64);
    if constant || !spread || !wide || !accuracy.reassociates() || !is_sum_or_root(builder, source) {
        return Ok(None);
    }
    let reciprocal = builder.unary(UnaryOp::Reciprocal, source)?;
    let factor = builder.op(op, &[reciprocal])?;
    Ok(Some(builder.op(Op::Binary(BinaryOp::Mul), &[*x, factor])?))
}

/// Whether a value is a sum over axes or a square root, perhaps reshaped.
fn is_sum_or_root(builder: &GraphBuilder, value: ValueId) -> bool {
    let mut value = value;
    while let Some(node) = definition(builder, value) {
        match &node.op {
            Op::Reshape { .. } => value = node.operands[0],
            Op::Reduce { combine: ReduceOp::Sum, .. } | Op::Unary(UnaryOp::Sqrt) => return true,
            _ => return false,
        }
    }
    false
}

/// How often a broadcast reads each element at least.
fn repetitions(builder: &GraphBuilder, op: &Op, source: ValueId) -> i64 {
    let Op::Broadcast { shape, dimensions } = op else { return 1 };
    let own = &builder.ty(source).shape;
    let kept = |axis: usize| {
        dimensions.iter().position(|to| *to == axis).is_some_and(|from| own[from] == shape[axis])
    };
    let repeated = (0..shape.len()).filter(|axis| !kept(*axis)).map(|axis| shape[axis].lower().max(0));
    repeated.fold(1, i64::saturating_mul)
}

/// 1 ÷ √x is one function.
pub fn reciprocal_root(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Unary(UnaryOp::Reciprocal), [x]) = (&node.op, operands) else { return Ok(None) };
    // Halves round the root before they divide.
    if !matches!(builder.dtype(*x), DType::F32 | DType::F64) {
        return Ok(None);
    }
    match operand_of(builder, *x, UnaryOp::Sqrt) {
        Some(source) => Ok(Some(builder.unary(UnaryOp::Rsqrt, source)?)),
        None => Ok(None),
    }
}

/// max(max(x, a), b) = max(x, max(a, b)) for constants, and the same for minima, so that two of them make a clamp.
pub fn bounds(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Binary(op @ (BinaryOp::Max | BinaryOp::Min)), [x, y]) = (&node.op, operands) else {
        return Ok(None);
    };
    if x == y {
        return Ok(Some(*x));
    }
    let Some(inner) = definition(builder, *x).filter(|inner| inner.op == node.op) else { return Ok(None) };
    let (source, first) = (inner.operands[0], inner.operands[1]);
    let exact = builder.dtype(*x).bits() <= 32 || builder.dtype(*x).is_float();
    match (repeated(builder, first), repeated(builder, *y)) {
        (Some(a), Some(b)) if exact && !a.is_nan() && !b.is_nan() => {
            let larger = if a == b { b.is_sign_negative() && !a.is_sign_negative() } else { a > b };
            let bound = if larger == (*op == BinaryOp::Max) { first } else { *y };
            Ok(Some(builder.op(node.op.clone(), &[source, bound])?))
        }
        _ => Ok(None),
    }
}

/// What holds for every element whatever it is: only integers and bool, since NaN differs from itself and ∞ − ∞ is not 0.
pub fn same_operands(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let [x, y] = operands else { return Ok(None) };
    if x != y || builder.dtype(*x).is_float() {
        return Ok(None);
    }
    let value = match node.op {
        Op::Binary(BinaryOp::And | BinaryOp::Or) => return Ok(Some(*x)),
        Op::Binary(BinaryOp::Sub | BinaryOp::Xor) => 0.0,
        Op::Compare(CompareOp::Eq | CompareOp::Le | CompareOp::Ge) => 1.0,
        Op::Compare(CompareOp::Ne | CompareOp::Lt | CompareOp::Gt) => 0.0,
        _ => return Ok(None),
    };
    let shape = builder.shape(*x);
    let dtype = if matches!(node.op, Op::Compare(_)) { DType::Bool } else { builder.dtype(*x) };
    let scalar = builder.scalar(dtype, value)?;
    Ok(Some(builder.broadcast_to(scalar, &shape)?))
}

/// x · 0 = 0 and x ∧ false = false, for integers and bool.
pub fn absorbing(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Binary(op), [x, y]) = (&node.op, operands) else { return Ok(None) };
    if builder.dtype(*x).is_float() {
        return Ok(None);
    }
    let boolean = builder.dtype(*x) == DType::Bool;
    match (op, repeated(builder, *y)) {
        (BinaryOp::Mul | BinaryOp::And, Some(0.0)) => Ok(Some(*y)),
        (BinaryOp::Or, Some(1.0)) if boolean => Ok(Some(*y)),
        _ => Ok(None),
    }
}

/// Whether every value of `from` is a value of `to`.
fn holds(to: DType, from: DType) -> bool {
    let digits = |dtype: DType| match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    };
    match (from.is_float(), to.is_float()) {
        _ if from == to || from == DType::Bool => true,
        (true, true) => to.bits() > from.bits() && !(from == DType::BF16 && to == DType::F16),
        (true, false) => false,
        (false, true) => {
            let signed = from.int_range().is_some_and(|(lowest, _)| lowest < 0);
            to != DType::F16 && from.bits() - u32::from(signed) <= digits(to) || from.bits() <= 8
        }
        (false, false) => match (from.int_range(), to.int_range()) {
            (Some((low, high)), Some((lowest, highest))) => lowest <= low && high <= highest,
            _ => false,
        },
    }
}

/// A cast of a cast that lost nothing is one cast.
pub fn cast_chain(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Cast { to }, [x]) = (&node.op, operands) else { return Ok(None) };
    let Some(inner) = definition(builder, *x) else { return Ok(None) };
    let Op::Cast { to: middle } = inner.op else { return Ok(None) };
    let source = inner.operands[0];
    let from = builder.dtype(source);
    // Integers wrap when they are cast to integers, and saturate when they come as floats.
    let same_way = from.is_float() || !middle.is_float() || to.is_float() || holds(*to, from);
    let four_bits = [from, middle, *to].iter().any(|dtype| dtype.bits() == 4);
    match holds(middle, from) && same_way && !four_bits {
        true => Ok(Some(builder.cast(source, *to)?)),
        false => Ok(None),
    }
}

/// select(¬c, x, y) = select(c, y, x).
pub fn negated_select(builder: &mut GraphBuilder, node: &Node, operands: &[ValueId]) -> Rewritten {
    let (Op::Select, [condition, x, y]) = (&node.op, operands) else { return Ok(None) };
    match operand_of(builder, *condition, UnaryOp::Not) {
        Some(condition) => Ok(Some(builder.op(Op::Select, &[condition, *y, *x])?)),
        None => Ok(None),
    }
}
