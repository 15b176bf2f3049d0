//! Named ops with a decomposition, and custom calls.

use super::{ResultTypes, Rule, check};
use crate::{DType, Dim, Shape, TensorType};

pub fn softmax(axis: usize, operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::float("the operand", x)?;
    check::axis("axis", axis, x)?;
    Ok(x.clone())
}

/// Normalisation over the dimensions from `axis` on, with up to `affine` operands of their shape.
pub fn norm(axis: usize, affine: usize, operands: &[&TensorType]) -> Rule {
    check::operand_range(operands, 1, affine + 1)?;
    let (x, affine) = (operands[0], &operands[1..]);
    check::float("the operand", x)?;
    check::axis("axis", axis, x)?;
    let expected = TensorType { dtype: x.dtype, shape: x.shape[axis..].into() };
    for (what, ty) in ["the scale", "the bias"].iter().zip(affine) {
        check::is_type(what, ty, &expected)?;
    }
    Ok(x.clone())
}

pub fn activation(operands: &[&TensorType]) -> Rule {
    let [x] = check::operands(operands)?;
    check::float("the operand", x)?;
    Ok(x.clone())
}

pub fn attention(operands: &[&TensorType]) -> Rule {
    check::operand_range(operands, 3, 4)?;
    let (q, k, v) = (operands[0], operands[1], operands[2]);
    check::float("the queries", q)?;
    let rank = q.rank();
    let matrix = rank.checked_sub(2);
    let Some(batch) = matrix.filter(|_| k.rank() == rank && v.rank() == rank) else {
        return Err(format!("the ranks of {q}, {k} and {v} must be equal and at least 2"));
    };
    let (l, s, head) = (&q.shape[rank - 2], &k.shape[rank - 2], &q.shape[rank - 1]);
    let with_batch = |a: &Dim, b: &Dim| {
        let shape: Shape = q.shape[..batch].iter().chain([a, b]).cloned().collect();
        TensorType { dtype: q.dtype, shape }
    };
    check::is_type("the keys", k, &with_batch(s, head))?;
    check::is_type("the values", v, &with_batch(s, &v.shape[rank - 1]))?;
    if let Some(mask) = operands.get(3) {
        check::is_type("the mask", mask, &with_batch(l, s))?;
    }
    Ok(with_batch(l, &v.shape[rank - 1]))
}

pub fn custom_call(dtypes: &[DType], shapes: &[Vec<Dim>]) -> Result<ResultTypes, String> {
    if dtypes.len() != shapes.len() {
        return Err(format!("lists {} element types but {} shapes", dtypes.len(), shapes.len()));
    }
    let types = dtypes.iter().zip(shapes);
    Ok(types.map(|(dtype, shape)| TensorType { dtype: *dtype, shape: shape.as_slice().into() }).collect())
}

#[cfg(test)]
mod tests {
    use crate::infer::testing::*;
    use crate::{DType, Dim, Op, Real};

    #[test]
    fn softmax_keeps_the_type() {
        for op in [Op::Softmax { axis: 1 }, Op::LogSoftmax { axis: 1 }] {
            let x = ty(DType::F16, [n(), d(3)]);
            good(op.clone(), &[&x], x.clone());
            bad(op.clone(), &[&f32s([3])], "axis 1 is not below the rank");
            bad(op.clone(), &[&i64s([2, 3])], "must be of a float type");
            bad(op, &[], "takes 1 operands");
        }
    }

    #[test]
    fn norms_take_scales_of_the_normalised_shape() {
        let layer = |axis| Op::LayerNorm { axis, epsilon: Real::from(1e-5) };
        let rms = |axis| Op::RmsNorm { axis, epsilon: Real::from(1e-5) };
        let x = ty(DType::F32, [n(), d(3), d(4)]);
        good(layer(1), &[&x], x.clone());
        good(layer(1), &[&x, &f32s([3, 4]), &f32s([3, 4])], x.clone());
        good(layer(2), &[&x, &f32s([4])], x.clone());
        good(rms(2), &[&x, &f32s([4])], x.clone());
        bad(rms(2), &[&x, &f32s([4]), &f32s([4])], "takes 1 to 2 operands, not 3");
        bad(layer(2), &[], "takes 1 to 3 operands, not 0");
        bad(layer(2), &[&x, &f32s([3])], "the scale must be f32[4], not f32[3]");
        bad(layer(2), &[&x, &f32s([4]), &f32s([1])], "the bias must be f32[4], not f32[1]");
        bad(layer(2), &[&x, &ty(DType::F16, [4])], "the scale must be f32[4], not f16[4]");
        bad(layer(3), &[&x], "axis 3 is not below the rank");
        bad(layer(0), &[&i64s([3])], "must be of a float type");
    }

    #[test]
    fn activations_take_floats() {
        for op in [Op::Gelu { tanh: true }, Op::Silu] {
            good(op.clone(), &[&f32s([3])], f32s([3]));
            bad(op.clone(), &[&i64s([3])], "must be of a float type");
            bad(op, &[&f32s([3]), &f32s([3])], "takes 1 operands, not 2");
        }
    }

    #[test]
    fn attention_shapes() {
        let op = Op::Attention { scale: Real::from(0.5), causal: false };
        let f = |shape: [Dim; 3]| ty(DType::F32, shape);
        let (q, k, v) = (f([n(), d(5), d(4)]), f([n(), d(7), d(4)]), f([n(), d(7), d(6)]));
        let mask = f([n(), d(5), d(7)]);
        good(op.clone(), &[&q, &k, &v], f([n(), d(5), d(6)]));
        good(op.clone(), &[&q, &k, &v, &mask], f([n(), d(5), d(6)]));
        good(op.clone(), &[&f32s([5, 4]), &f32s([7, 4]), &f32s([7, 6])], f32s([5, 6]));
        bad(op.clone(), &[&q, &v, &v], "the keys must be f32[N, 7, 4], not f32[N, 7, 6]");
        bad(op.clone(), &[&q, &k, &q], "the values must be f32[N, 7, 4], not f32[N, 5, 4]");
        bad(op.clone(), &[&q, &k, &v, &q], "the mask must be f32[N, 5, 7], not f32[N, 5, 4]");
        bad(op.clone(), &[&q, &k], "takes 3 to 4 operands, not 2");
        bad(op.clone(), &[&f32s([4]), &f32s([4]), &f32s([4])], "must be equal and at least 2");
        bad(op.clone(), &[&q, &f32s([7, 4]), &v], "must be equal and at least 2");
        bad(op, &[&i64s([5, 4]), &i64s([7, 4]), &i64s([7, 6])], "the queries must be of a float type");
    }

    #[test]
    fn custom_calls_state_their_results() {
        let op = |dtypes: &[DType], shapes: &[&[Dim]]| Op::CustomCall {
            target: "f".into(),
            dtypes: dtypes.to_vec(),
            shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        };
        let two = op(&[DType::F32, DType::I64], &[&[d(2)], &[]]);
        good_all(two, &[&f32s([9])], &[], &[f32s([2]), i64s([])]);
        good_all(op(&[], &[]), &[], &[], &[]);
        bad(op(&[DType::F32], &[]), &[], "lists 1 element types but 0 shapes");
        bad(op(&[DType::F32], &[&[d(-1)]]), &[], "negative extent -1");
    }
}
