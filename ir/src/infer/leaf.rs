//! Leaves: constants, extents, iota, random bits.

use super::{Rule, check};
use crate::{ConstantId, Constants, DType, Dim, TensorType};

pub fn constant(constants: &Constants, id: ConstantId, operands: &[&TensorType]) -> Rule {
    check::operands::<0>(operands)?;
    match constants.get(id) {
        Some(constant) => Ok(constant.tensor.ty()),
        None => Err(format!("the module has no constant {id}")),
    }
}

pub fn extent(dim: &Dim, operands: &[&TensorType]) -> Rule {
    check::operands::<0>(operands)?;
    check::simple(dim)?;
    Ok(TensorType::scalar(DType::I64))
}

pub fn iota(shape: &[Dim], axis: usize, dtype: DType, operands: &[&TensorType]) -> Rule {
    check::operands::<0>(operands)?;
    let ty = TensorType { dtype, shape: shape.into() };
    check::numeric("the elements", &ty)?;
    check::axis("axis", axis, &ty)?;
    Ok(ty)
}

pub fn random_bits(shape: &[Dim], operands: &[&TensorType]) -> Rule {
    let [key] = check::operands(operands)?;
    check::is_type("the key", key, &TensorType::new(DType::U64, [2i64]))?;
    check::tensor(DType::U32, shape)
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{Constant, ConstantId, Constants, DType, Dim, MAX_ELEMENTS, Op, Tensor};

    #[test]
    fn constants_have_the_type_of_their_tensor() {
        let mut constants = Constants::new();
        let id = constants.push(Constant { name: "w".into(), tensor: Tensor::from_i64s(&[1, 2, 3]) });
        let types = crate::infer::infer(&constants, &Op::Constant { id }, &[], &[]).unwrap();
        assert_eq!(types.as_slice(), [i64s([3])]);
        bad(Op::Constant { id: ConstantId::from_u32(0) }, &[], "no constant @0");
        let error = crate::infer::infer(&constants, &Op::Constant { id }, &[&f32s([1])], &[]).unwrap_err();
        assert_eq!(error.to_string(), "`constant`: takes 0 operands, not 1");
    }

    #[test]
    fn extents_are_i64_scalars() {
        good(Op::Extent { dim: n() * 2 }, &[], i64s::<0>([]));
        bad(Op::Extent { dim: n() }, &[&f32s([1])], "takes 0 operands, not 1");
    }

    #[test]
    fn iota_counts_along_an_axis() {
        let iota = |shape: &[Dim], axis, dtype| Op::Iota { shape: shape.to_vec(), axis, dtype };
        good(iota(&[n(), d(3)], 1, DType::F16), &[], ty(DType::F16, [n(), d(3)]));
        bad(iota(&[d(3)], 1, DType::I32), &[], "axis 1 is not below the rank of i32[3]");
        bad(iota(&[d(3)], 0, DType::Bool), &[], "must be numbers, not bool[3]");
        bad(iota(&[d(-3)], 0, DType::I32), &[], "negative extent -3");
        bad(iota(&[d(MAX_ELEMENTS), d(2)], 0, DType::I32), &[], "may have more than");
        bad(iota(&[d(i64::MAX), d(i64::MAX)], 0, DType::I32), &[], "may have more than");
    }

    #[test]
    fn random_bits_need_a_key() {
        let op = Op::RandomBits { shape: vec![n(), d(4)] };
        good(op.clone(), &[&ty(DType::U64, [2])], ty(DType::U32, [n(), d(4)]));
        bad(op.clone(), &[&ty(DType::U64, [3])], "the key must be u64[2], not u64[3]");
        bad(op.clone(), &[&i64s([2])], "the key must be u64[2], not i64[2]");
        bad(op, &[], "takes 1 operands, not 0");
    }
}
