//! Functions of elements: operands of equal shapes, dtype classes as the rows of `UnaryOp` and `BinaryOp` say.

use super::{Rule, check};
use crate::{BinaryOp, DType, TensorType, UnaryOp};

pub fn unary(function: UnaryOp, operands: &[&TensorType]) -> Rule {
    use UnaryOp::*;
    let [x] = check::operands(operands)?;
    match function {
        Neg | Abs | Sign => check::numeric("the operand", x)?,
        Not if x.dtype.is_float() => {
            return Err(format!("the operand must be of an integer type or bool, not {x}"));
        }
        Not => {}
        PopCount => check::integer("the operand", x)?,
        Floor | Ceil | Round | Trunc | Reciprocal | Sqrt | Rsqrt | Exp | Expm1 | Log | Log1p | Sin | Cos
        | Tan | Asin | Acos | Atan | Sinh | Cosh | Tanh | Asinh | Acosh | Atanh | Erf | Sigmoid | IsNan
        | IsInf => check::float("the operand", x)?,
    }
    match function.is_predicate() {
        true => Ok(x.with_dtype(DType::Bool)),
        false => Ok(x.clone()),
    }
}

fn pair<'a>(operands: &[&'a TensorType]) -> Result<&'a TensorType, String> {
    let [x, y] = check::operands(operands)?;
    match x == y {
        true => Ok(x),
        false => Err(format!("the operands must have equal types but have {x} and {y}")),
    }
}

pub fn binary(function: BinaryOp, operands: &[&TensorType]) -> Rule {
    use BinaryOp::*;
    let x = pair(operands)?;
    match function {
        Add | Sub | Mul | Div | Rem | Mod | Pow => check::numeric("the operands", x)?,
        Max | Min => {}
        And | Or | Xor if x.dtype.is_float() => {
            return Err(format!("the operands must be of an integer type or bool, not {x}"));
        }
        And | Or | Xor => {}
        ShiftLeft | ShiftRight => check::integer("the operands", x)?,
        Atan2 => check::float("the operands", x)?,
    }
    Ok(x.clone())
}

pub fn compare(operands: &[&TensorType]) -> Rule {
    Ok(pair(operands)?.with_dtype(DType::Bool))
}

pub fn select(operands: &[&TensorType]) -> Rule {
    let [condition, x, y] = check::operands(operands)?;
    let x = pair(&[x, y])?;
    check::is_type("the condition", condition, &x.with_dtype(DType::Bool))?;
    Ok(x.clone())
}

pub fn cast(to: DType, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    Ok(x.with_dtype(to))
}

pub fn bitcast(to: DType, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    match (x.dtype.bits(), to.bits()) {
        (from_bits, to_bits) if from_bits == to_bits => Ok(x.with_dtype(to)),
        (from_bits, to_bits) => {
            Err(format!("{} has {from_bits} bits per element but {to} has {to_bits}", x.dtype))
        }
    }
}

/// Scale and zero point are both scalars or both vectors along `axis` of `x`.
fn quantization_shape(
    axis: usize,
    x: &TensorType,
    scale: &TensorType,
    zero_point: &TensorType,
) -> Result<(), String> {
    check::float("the scale", scale)?;
    check::same_shape("the shapes of scale and zero point", &scale.shape, &zero_point.shape)?;
    match scale.shape.as_slice() {
        [] => Ok(()),
        [extent] => {
            check::axis("axis", axis, x)?;
            check::same_extent("the extents of the scale and of the axis", extent, &x.shape[axis])
        }
        _ => Err(format!("the scale must be a scalar or a vector, not {scale}")),
    }
}

pub fn quantize(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x, scale, zero_point] = check::operands(operands)?;
    check::float("the operand", x)?;
    check::integer("the zero point", zero_point)?;
    check::same_dtype("the types of operand and scale", x.dtype, scale.dtype)?;
    quantization_shape(axis, x, scale, zero_point)?;
    Ok(x.with_dtype(zero_point.dtype))
}

pub fn dequantize(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x, scale, zero_point] = check::operands(operands)?;
    check::integer("the operand", x)?;
    check::same_dtype("the types of operand and zero point", x.dtype, zero_point.dtype)?;
    quantization_shape(axis, x, scale, zero_point)?;
    Ok(x.with_dtype(scale.dtype))
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{BinaryOp, CompareOp, DType, DTypeClass, Op, UnaryOp};

    /// Which of bool, integers and floats the function takes; both integer classes behave alike.
    fn accepted(op: Op, operands: usize) -> (bool, bool, bool) {
        let takes = |dtype: DType| {
            let x = ty(dtype, [n(), d(3)]);
            let types = vec![&x; operands];
            match crate::infer::infer(&crate::Constants::new(), &op, &types, &[]) {
                Ok(results) => {
                    assert_eq!(results.len(), 1);
                    assert_eq!(results[0].shape, x.shape);
                    true
                }
                Err(error) => {
                    assert!(error.reason.contains("not "), "{error}");
                    false
                }
            }
        };
        let all = |class| {
            let mut of_class =
                DType::ALL.iter().filter(|dtype| dtype.class() == class).map(|dtype| takes(*dtype));
            let first = of_class.next().unwrap();
            assert!(of_class.all(|other| other == first), "{op:?}");
            first
        };
        assert_eq!(all(DTypeClass::Signed), all(DTypeClass::Unsigned), "{op:?}");
        (all(DTypeClass::Bool), all(DTypeClass::Signed), all(DTypeClass::Float))
    }

    #[test]
    fn unary_functions_take_their_classes() {
        for function in UnaryOp::ALL {
            let expected = match function {
                UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign => (false, true, true),
                UnaryOp::Not => (true, true, false),
                UnaryOp::PopCount => (false, true, false),
                _ => (false, false, true),
            };
            assert_eq!(accepted(Op::Unary(*function), 1), expected, "{function:?}");
        }
        good(Op::Unary(UnaryOp::IsNan), &[&f32s([2])], bools([2]));
        good(Op::Unary(UnaryOp::IsInf), &[&f32s([2])], bools([2]));
        good(Op::Unary(UnaryOp::Exp), &[&f32s([2])], f32s([2]));
        bad(Op::Unary(UnaryOp::Exp), &[&i64s([2])], "the operand must be of a float type, not i64[2]");
        bad(Op::Unary(UnaryOp::Exp), &[], "takes 1 operands, not 0");
    }

    #[test]
    fn binary_functions_take_their_classes() {
        for function in BinaryOp::ALL {
            let expected = match function {
                BinaryOp::Max | BinaryOp::Min => (true, true, true),
                BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => (true, true, false),
                BinaryOp::ShiftLeft | BinaryOp::ShiftRight => (false, true, false),
                BinaryOp::Atan2 => (false, false, true),
                _ => (false, true, true),
            };
            assert_eq!(accepted(Op::Binary(*function), 2), expected, "{function:?}");
        }
        let add = Op::Binary(BinaryOp::Add);
        good(add.clone(), &[&f32s([2]), &f32s([2])], f32s([2]));
        bad(add.clone(), &[&f32s([2]), &f32s([3])], "equal types but have f32[2] and f32[3]");
        bad(add.clone(), &[&f32s([2]), &i64s([2])], "equal types but have f32[2] and i64[2]");
        bad(add, &[&f32s([2])], "takes 2 operands, not 1");
    }

    #[test]
    fn comparisons_give_bool() {
        for function in CompareOp::ALL {
            assert_eq!(accepted(Op::Compare(*function), 2), (true, true, true));
        }
        good(Op::Compare(CompareOp::Lt), &[&f32s([2]), &f32s([2])], bools([2]));
        bad(Op::Compare(CompareOp::Lt), &[&f32s([2]), &f32s([])], "equal types");
    }

    #[test]
    fn select_needs_a_bool_of_the_same_shape() {
        good(Op::Select, &[&bools([2]), &f32s([2]), &f32s([2])], f32s([2]));
        bad(Op::Select, &[&bools([]), &f32s([2]), &f32s([2])], "the condition must be bool[2], not bool[]");
        bad(Op::Select, &[&i64s([2]), &f32s([2]), &f32s([2])], "the condition must be bool[2], not i64[2]");
        bad(Op::Select, &[&bools([2]), &f32s([2]), &i64s([2])], "equal types");
    }

    #[test]
    fn casts_change_the_dtype() {
        for from in DType::ALL {
            for to in DType::ALL {
                good(Op::Cast { to: *to }, &[&ty(*from, [n()])], ty(*to, [n()]));
            }
        }
        bad(Op::Cast { to: DType::F32 }, &[], "takes 1 operands");
        good(Op::Bitcast { to: DType::U32 }, &[&f32s([2])], ty(DType::U32, [2]));
        good(Op::Bitcast { to: DType::U4 }, &[&ty(DType::I4, [2])], ty(DType::U4, [2]));
        bad(Op::Bitcast { to: DType::U16 }, &[&f32s([2])], "f32 has 32 bits per element but u16 has 16");
        bad(Op::Bitcast { to: DType::Bool }, &[&ty(DType::U8, [2])], "u8 has 8 bits");
    }

    #[test]
    fn quantization_along_an_axis_or_as_a_whole() {
        let (u8s, x) = (ty(DType::U8, [2]), f32s([5, 2]));
        let op = |axis| Op::Quantize { axis };
        good(op(1), &[&x, &f32s([2]), &u8s], ty(DType::U8, [5, 2]));
        good(op(9), &[&x, &f32s([]), &ty::<i64, 0>(DType::I8, [])], ty(DType::I8, [5, 2]));
        bad(op(0), &[&x, &f32s([2]), &u8s], "must be equal but are 2 and 5");
        bad(op(2), &[&x, &f32s([2]), &u8s], "axis 2 is not below the rank");
        bad(op(1), &[&x, &f32s([2]), &ty(DType::U8, [1])], "shapes of scale and zero point");
        bad(op(1), &[&x, &ty(DType::F16, [2]), &u8s], "types of operand and scale must be equal");
        bad(op(1), &[&x, &f32s([2]), &f32s([2])], "the zero point must be of an integer type");
        bad(op(1), &[&i64s([5, 2]), &f32s([2]), &u8s], "the operand must be of a float type");
        bad(op(1), &[&x, &f32s([5, 2]), &ty(DType::U8, [5, 2])], "must be a scalar or a vector");

        let op = |axis| Op::Dequantize { axis };
        let q = ty(DType::I8, [5, 2]);
        good(op(1), &[&q, &ty(DType::F16, [2]), &ty(DType::I8, [2])], ty(DType::F16, [5, 2]));
        bad(op(1), &[&q, &f32s([2]), &u8s], "must be equal but are i8 and u8");
        bad(op(1), &[&q, &i64s([2]), &ty(DType::I8, [2])], "the scale must be of a float type");
        bad(op(1), &[&x, &f32s([2]), &f32s([2])], "the operand must be of an integer type");
    }
}
