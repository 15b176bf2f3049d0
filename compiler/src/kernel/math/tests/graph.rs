//! Every op on every dtype against the graph interpreter, but for functions of floats that are not exact.

use super::{FEATURES, apply};
use crate::kernel::Val;
use crate::kernel::math::{binary, bitcast, cast, compare, register_lanes, register_type, select, unary};
use graven_ir::element::{decode_float, encode_float, encode_int};
use graven_ir::interp::evaluate_op;
use graven_ir::{BinaryOp, CompareOp, DType, Op, Tensor, UnaryOp};

/// Elements with all corners of the dtype.
fn samples(dtype: DType) -> Vec<u8> {
    match dtype.int_range() {
        Some((low, high)) => {
            let corners = [
                0,
                1,
                2,
                3,
                5,
                7,
                8,
                13,
                31,
                32,
                63,
                64,
                100,
                0x55,
                0x1234,
                0x7654_3210,
                i128::from(u32::MAX),
            ];
            let near = [low, low + 1, high, high - 1, high / 2, high / 3];
            let both = corners.into_iter().flat_map(|x| [x, -x]).chain(near);
            let mut values: Vec<i128> = both.filter(|x| (low..=high).contains(x)).collect();
            values.dedup();
            values.resize(values.len().next_multiple_of(4), 1);
            values.into_iter().flat_map(|x| encode_int(dtype, x)).collect()
        }
        None => {
            let corners = [
                0.0,
                0.5,
                1.0,
                1.5,
                2.5,
                3.0,
                0.3,
                6.02e4,
                65519.0,
                65520.0,
                1e-7,
                6e-8,
                3e-5,
                127.5,
                128.0,
                255.9,
                2e9,
                3e9,
                1e19,
                2e19,
                1e38,
                1e300,
                f64::INFINITY,
            ];
            let odd = [
                f64::NAN,
                5e-324,
                1e-45,
                1e-40,
                8388609.0,
                1.0000001,
                1.0009765625,
                1.00048828126,
                1.00390625,
                1.001953125,
            ];
            corners
                .into_iter()
                .flat_map(|x| [x, -x])
                .chain(odd)
                .flat_map(|x| encode_float(dtype, x))
                .collect()
        }
    }
}

/// All pairs of samples.
fn sample_pairs(dtype: DType) -> (Vec<u8>, Vec<u8>) {
    let samples = samples(dtype);
    let elements: Vec<&[u8]> = samples.chunks_exact(dtype.bytes()).collect();
    let xs = elements.iter().flat_map(|x| elements.iter().flat_map(|_| x.to_vec())).collect();
    let ys = elements.iter().flat_map(|_| elements.iter().flat_map(|y| y.to_vec())).collect();
    (xs, ys)
}

fn padded(dtype: DType, mut bytes: Vec<u8>, lanes: u16) -> Vec<u8> {
    while !(bytes.len() / dtype.bytes()).is_multiple_of(lanes.into()) {
        bytes.extend(encode_int(dtype, 1));
    }
    bytes
}

/// Whether two elements are the same but for the sign of zero and the bits of NaN.
fn same(dtype: DType, x: &[u8], y: &[u8]) -> bool {
    let (a, b) = (decode_float(dtype, x), decode_float(dtype, y));
    x == y || (dtype.is_float() && (a == b || (a.is_nan() && b.is_nan())))
}

/// Compares the kernel of a function with the graph's op, in one lane and in vectors, if the op takes the operands.
fn check(
    op: &Op,
    inputs: &[(DType, Vec<u8>)],
    function: impl Fn(&mut crate::kernel::KernelBuilder, &[Val]) -> Val,
) -> bool {
    for (lanes, features) in [(1, FEATURES[0]), (4, FEATURES[1])] {
        let inputs: Vec<_> =
            inputs.iter().map(|(dtype, bytes)| (*dtype, padded(*dtype, bytes.clone(), lanes))).collect();
        let tensors: Vec<Tensor> = inputs
            .iter()
            .map(|(dtype, bytes)| {
                Tensor::new(*dtype, vec![bytes.len() / dtype.bytes()], bytes.clone()).unwrap()
            })
            .collect();
        let Ok(results) = evaluate_op(op, &tensors) else { return false };
        let (dtype, wanted) = (results[0].dtype(), results[0].data());
        let got = apply(&inputs, dtype, lanes, features, &function);
        let elements = got.chunks_exact(dtype.bytes()).zip(wanted.chunks_exact(dtype.bytes()));
        for (n, (got, wanted)) in elements.enumerate() {
            let operands: Vec<f64> = inputs
                .iter()
                .map(|(dtype, bytes)| decode_float(*dtype, &bytes[n * dtype.bytes()..]))
                .collect();
            assert!(
                same(dtype, got, wanted),
                "{op:?} of {:?} {operands:?}: {got:?}, not {wanted:?}",
                inputs[0].0
            );
        }
    }
    true
}

/// Functions of floats that are rounded correctly, or move bits.
const EXACT: &[UnaryOp] = &[
    UnaryOp::Neg,
    UnaryOp::Abs,
    UnaryOp::Sign,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
    UnaryOp::Trunc,
    UnaryOp::Reciprocal,
    UnaryOp::Sqrt,
    UnaryOp::IsNan,
    UnaryOp::IsInf,
];

#[test]
fn unary_ops() {
    let mut checked = 0;
    for dtype in DType::ALL {
        for op in UnaryOp::ALL.iter().filter(|op| !dtype.is_float() || EXACT.contains(op)) {
            let inputs = [(*dtype, samples(*dtype))];
            checked += usize::from(check(&Op::Unary(*op), &inputs, |b, x| unary(b, *op, *dtype, x[0])));
        }
    }
    assert!(checked > 80, "{checked}");
}

#[test]
fn binary_ops() {
    let mut checked = 0;
    for dtype in DType::ALL {
        for op in BinaryOp::ALL
            .iter()
            .filter(|op| !dtype.is_float() || !matches!(op, BinaryOp::Pow | BinaryOp::Atan2))
        {
            // The remainders of half floats are those of f32.
            let (xs, ys) = sample_pairs(*dtype);
            let inputs = [(*dtype, xs), (*dtype, ys)];
            checked +=
                usize::from(check(&Op::Binary(*op), &inputs, |b, x| binary(b, *op, *dtype, x[0], x[1])));
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn integer_functions_with_constants() {
    for dtype in [DType::I8, DType::U8, DType::I32, DType::U32, DType::I64] {
        for op in [
            BinaryOp::Div,
            BinaryOp::Rem,
            BinaryOp::Mod,
            BinaryOp::Pow,
            BinaryOp::ShiftLeft,
            BinaryOp::ShiftRight,
        ] {
            for constant in
                [0, 1, 2, 3, 5, 7, -1, -3].into_iter().filter(|c| *c >= 0 || dtype.int_range().unwrap().0 < 0)
            {
                let xs = samples(dtype);
                let ys = encode_int(dtype, constant).repeat(xs.len() / dtype.bytes());
                let inputs = [(dtype, xs), (dtype, ys)];
                assert!(check(&Op::Binary(op), &inputs, |b, x| {
                    let y = b.int(constant as i64, b.ty(x[0]));
                    binary(b, op, dtype, x[0], y)
                }));
            }
        }
    }
}

#[test]
fn comparisons() {
    for dtype in DType::ALL {
        for op in CompareOp::ALL {
            let (xs, ys) = sample_pairs(*dtype);
            let inputs = [(*dtype, xs), (*dtype, ys)];
            assert!(check(&Op::Compare(*op), &inputs, |b, x| compare(b, *op, *dtype, x[0], x[1])));
        }
    }
}

#[test]
fn casts() {
    for from in DType::ALL {
        for to in DType::ALL.iter().filter(|to| *to != from) {
            let inputs = [(*from, samples(*from))];
            assert!(check(&Op::Cast { to: *to }, &inputs, |b, x| cast(b, *from, *to, x[0])));
        }
    }
}

#[test]
fn bitcasts() {
    let mut checked = 0;
    for from in DType::ALL {
        for to in DType::ALL.iter().filter(|to| *to != from) {
            let inputs = [(*from, samples(*from))];
            checked +=
                usize::from(check(&Op::Bitcast { to: *to }, &inputs, |b, x| bitcast(b, *from, *to, x[0])));
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn selections() {
    for dtype in DType::ALL {
        let (xs, ys) = sample_pairs(*dtype);
        let condition: Vec<u8> = (0..xs.len() / dtype.bytes()).map(|n| u8::from(n % 3 == 0)).collect();
        let inputs = [(DType::Bool, condition), (*dtype, xs), (*dtype, ys)];
        assert!(check(&Op::Select, &inputs, |b, x| select(b, x[0], x[1], x[2])));
    }
}

#[test]
fn registers() {
    for dtype in DType::ALL {
        for bytes in [4, 16, 32, 64] {
            let ty = register_type(*dtype, register_lanes(*dtype, bytes));
            let width = ty.dtype().map_or(4, DType::bytes) * usize::from(ty.lanes);
            assert!(width <= usize::from(bytes) || ty.lanes == 1, "{ty}");
        }
    }
}
