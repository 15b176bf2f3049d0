//! Deferred tensors against the interpreter, on tensors of more than one piece.

use graven_ir::deferred::PIECE;
use graven_ir::interp::evaluate_op;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, Tensor, UnaryOp};

/// Elements that differ from their neighbours in every dimension.
fn numbers(shape: &[usize]) -> Tensor {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|n: usize| (n * 37 % 1013) as f32 - 300.0).collect();
    Tensor::from_f32s(shape.to_vec(), &values).unwrap()
}

fn dims(values: &[i64]) -> Vec<Dim> {
    values.iter().copied().map(Dim::from).collect()
}

/// A value both ways: deferred, and by the interpreter.
#[derive(Clone)]
struct Both {
    deferred: Tensor,
    plain: Tensor,
}

impl Both {
    fn of(tensor: Tensor) -> Both {
        Both { deferred: tensor.clone(), plain: tensor }
    }

    fn op(op: Op, operands: &[&Both]) -> Both {
        let deferred: Vec<Tensor> = operands.iter().map(|both| both.deferred.clone()).collect();
        let plain: Vec<Tensor> = operands.iter().map(|both| both.plain.clone()).collect();
        let both = Both {
            deferred: Tensor::deferred(op.clone(), &deferred).unwrap(),
            plain: evaluate_op(&op, &plain).unwrap().remove(0),
        };
        assert_eq!(both.deferred.ty(), both.plain.ty());
        assert!(both.deferred.is_deferred());
        assert_eq!(both.deferred.to_bytes(), both.plain.to_bytes(), "{op:?}");
        both
    }
}

#[test]
fn every_kind_of_op() {
    let x = Both::of(numbers(&[5, 61, 77]));
    let bias = Both::of(numbers(&[1, 61, 1]));
    let zero = Both::of(Tensor::scalar(DType::F32, 0.5));
    let repeated = Both::op(Op::Broadcast { shape: dims(&[5, 61, 77]), dimensions: vec![0, 1, 2] }, &[&bias]);
    for function in [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Max] {
        Both::op(Op::Binary(function), &[&x, &repeated]);
    }
    let sum = Both::op(Op::Binary(BinaryOp::Add), &[&x, &repeated]);
    let root = Both::op(Op::Unary(UnaryOp::Sqrt), &[&sum]);
    let larger = Both::op(Op::Compare(CompareOp::Gt), &[&root, &repeated]);
    Both::op(Op::Select, &[&larger, &sum, &x]);
    Both::op(Op::Cast { to: DType::F16 }, &[&sum]);
    let turned = Both::op(Op::Transpose { permutation: vec![2, 0, 1] }, &[&sum]);
    let flat = Both::op(Op::Reshape { shape: dims(&[7, 11 * 5 * 61]) }, &[&turned]);
    let slice = Op::Slice { start: dims(&[1, 3]), limit: dims(&[7, 3000]), stride: vec![2, 5] };
    Both::op(slice, &[&flat]);
    let reversed = Both::op(Op::Reverse { axes: vec![0, 2] }, &[&turned]);
    Both::op(Op::Concat { axis: 1 }, &[&turned, &reversed]);
    let pad = Op::Pad { low: dims(&[1, -2, 0]), high: dims(&[0, 1, 2]), interior: vec![0, 0, 1] };
    Both::op(pad, &[&reversed, &zero]);
}

#[test]
fn empty_and_scalar() {
    let empty = Both::of(numbers(&[3, 0]));
    Both::op(Op::Transpose { permutation: vec![1, 0] }, &[&empty]);
    let scalar = Both::of(numbers(&[]));
    let double = Both::op(Op::Binary(BinaryOp::Add), &[&scalar, &scalar]);
    Both::op(Op::Broadcast { shape: dims(&[3, PIECE as i64]), dimensions: vec![] }, &[&double]);
}

#[test]
fn long_chains_are_computed_on_the_way() {
    let mut x = Both::of(numbers(&[3, 4]));
    // Without an end to the recursion this would be 2²⁰⁰ evaluations.
    for _ in 0..200 {
        x = Both::op(Op::Binary(BinaryOp::Sub), &[&x, &x]);
    }
}

#[test]
fn data_dependent_ops_are_refused() {
    let indices = Tensor::from_i64s(&[0, 1]);
    assert!(Tensor::deferred(Op::Gather { axis: 0 }, &[numbers(&[3]), indices]).is_err());
    assert!(Tensor::deferred(Op::Binary(BinaryOp::Add), &[numbers(&[3]), numbers(&[4])]).is_err());
}
