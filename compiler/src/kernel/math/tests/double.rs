//! Functions of f64 against recorded results of mpmath (`references.py`).

use super::{FEATURES, apply, f64_bytes, f64_values};
use crate::kernel::math::{binary, unary};
use graven_ir::{BinaryOp, DType, UnaryOp};

/// A recorded result: operands, and the exact result rounded once.
type Reference = (Vec<f64>, f64);

fn references(name: &str) -> Vec<Reference> {
    let number = |word: &str| f64::from_bits(u64::from_str_radix(word, 16).unwrap());
    include_str!("references.txt")
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|words| words[0] == name)
        .map(|words| {
            let mut numbers: Vec<f64> = words[1..].iter().map(|word| number(word)).collect();
            let result = numbers.pop().unwrap();
            (numbers, result)
        })
        .collect()
}

/// |got − wanted| in units of the last place.
fn ulps(got: f64, wanted: f64) -> f64 {
    if !wanted.is_finite() || !got.is_finite() {
        let same = wanted == got || (wanted.is_nan() && got.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    // Distances of neighbours of one sign are distances of their bits.
    let ordered = |x: f64| {
        let bits = x.to_bits() as i64;
        i128::from(if bits < 0 { i64::MIN - bits } else { bits })
    };
    (ordered(got) - ordered(wanted)).unsigned_abs() as f64
}

/// The largest error over the recorded points, with and without fma.
fn assert_close(
    name: &str,
    limit: f64,
    function: impl Fn(&mut crate::kernel::KernelBuilder, &[crate::kernel::Val]) -> crate::kernel::Val,
) {
    let references = references(name);
    assert!(references.len() > 30, "{name}");
    let operands = references[0].0.len();
    for features in FEATURES {
        let inputs: Vec<_> = (0..operands)
            .map(|n| {
                let mut column: Vec<f64> = references.iter().map(|(operands, _)| operands[n]).collect();
                column.resize(column.len().next_multiple_of(4), 1.0);
                (DType::F64, f64_bytes(&column))
            })
            .collect();
        let bytes = apply(&inputs, DType::F64, 4, features, &function);
        let mut worst = 0.0;
        for ((operands, wanted), got) in references.iter().zip(f64_values(&bytes)) {
            let error = ulps(got, *wanted);
            worst = f64::max(worst, error);
            assert!(
                error <= limit,
                "{name}{operands:?} = {got:e}, exactly {wanted:e}: {error} ulp ({features:?})"
            );
        }
        println!("{name}: {worst}");
    }
}

#[test]
fn functions_are_within_their_bounds() {
    let functions = [
        (UnaryOp::Exp, 1.0),
        (UnaryOp::Expm1, 2.0),
        (UnaryOp::Log, 1.0),
        (UnaryOp::Log1p, 2.0),
        (UnaryOp::Sin, 2.0),
        (UnaryOp::Cos, 2.0),
        (UnaryOp::Tan, 2.0),
        (UnaryOp::Asin, 2.0),
        (UnaryOp::Acos, 1.0),
        (UnaryOp::Atan, 2.0),
        (UnaryOp::Sinh, 2.0),
        (UnaryOp::Cosh, 2.0),
        (UnaryOp::Tanh, 2.0),
        (UnaryOp::Asinh, 2.0),
        (UnaryOp::Acosh, 2.0),
        (UnaryOp::Atanh, 2.0),
        (UnaryOp::Erf, 2.0),
        (UnaryOp::Sigmoid, 2.0),
        (UnaryOp::Rsqrt, 2.0),
    ];
    for (op, limit) in functions {
        assert_close(op.name(), limit, |b, x| unary(b, op, DType::F64, x[0]));
    }
}

#[test]
fn functions_of_two_numbers() {
    assert_close("pow", 1.0, |b, x| binary(b, BinaryOp::Pow, DType::F64, x[0], x[1]));
    assert_close("atan2", 2.0, |b, x| binary(b, BinaryOp::Atan2, DType::F64, x[0], x[1]));
}

#[test]
fn remainders_are_exact() {
    let numbers =
        [1.0, 0.3, -7.5, 1e300, 5e-324, 2.5e-310, -1e17, 3.0, 0.0, f64::INFINITY, f64::NAN, f64::MAX];
    let xs: Vec<f64> = numbers.iter().flat_map(|x| vec![*x; numbers.len()]).collect();
    let ys: Vec<f64> = numbers.iter().flat_map(|_| numbers).collect();
    let inputs = [(DType::F64, f64_bytes(&xs)), (DType::F64, f64_bytes(&ys))];
    let bytes =
        apply(&inputs, DType::F64, 2, FEATURES[0], |b, x| binary(b, BinaryOp::Rem, DType::F64, x[0], x[1]));
    for (n, got) in f64_values(&bytes).into_iter().enumerate() {
        let wanted = xs[n] % ys[n];
        let same = got.to_bits() == wanted.to_bits() || (got.is_nan() && wanted.is_nan());
        assert!(same, "{:e} rem {:e} = {got:e}, not {wanted:e}", xs[n], ys[n]);
    }
}
