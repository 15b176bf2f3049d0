//! Functions of f32 against the same functions of f64.

use super::{FEATURES, apply, f32_bytes, f32_values};
use crate::kernel::Features;
use crate::kernel::math::{binary, exp_nonpositive, unary};
use graven_ir::{BinaryOp, DType, UnaryOp};

/// |got − exact| in units of the last place of the exact result; ∞ where one is NaN or infinite and the other isn't.
fn ulps(got: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if nearest.is_nan() || nearest.is_infinite() || !got.is_finite() {
        let same = nearest == got || (nearest.is_nan() && got.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    if exact == 0.0 && got == 0.0 {
        return if exact.is_sign_negative() == got.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    let exponent = exact.abs().log2().floor().max(-126.0) as i32;
    (f64::from(got) - exact).abs() / 2f64.powi(exponent - 23)
}

/// Every 170 000th float, where functions bend more densely, and the special ones; both signs.
fn sweep() -> Vec<f32> {
    let mut points: Vec<f32> = (0..u32::MAX / 2).step_by(169_987).map(f32::from_bits).collect();
    for exponent in -26..8 {
        let (low, high) = (2f32.powi(exponent), 2f32.powi(exponent + 1));
        points.extend((0..130).map(|n| low + (high - low) * (n as f32 + 0.37) / 130.0));
    }
    points.extend((0..7000).map(|n| n as f32 * 0.0151));
    points.extend([0.0, 0.5, 1.0, f32::INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1)]);
    points.extend([16384.0, 8192.0, 8193.0, 88.72, 88.73, 87.4, 103.9, 104.1, 89.41, 89.42, 9.01, 0.5405]);
    let negated: Vec<f32> = points.iter().map(|x| -x).collect();
    points.extend(negated);
    points.resize(points.len().next_multiple_of(16), 1.5);
    points
}

fn reference_acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

fn reference_sigmoid(x: f64) -> f64 {
    match x < 0.0 {
        true => libm::exp(x) / (1.0 + libm::exp(x)),
        false => 1.0 / (1.0 + libm::exp(-x)),
    }
}

type Row = (UnaryOp, fn(f64) -> f64, f64);

/// Function, reference, largest error allowed.
const FUNCTIONS: &[Row] = &[
    (UnaryOp::Exp, libm::exp, 1.25),
    (UnaryOp::Expm1, libm::expm1, 1.75),
    (UnaryOp::Log, libm::log, 1.0),
    (UnaryOp::Log1p, libm::log1p, 1.5),
    (UnaryOp::Sin, libm::sin, 1.75),
    (UnaryOp::Cos, libm::cos, 1.75),
    (UnaryOp::Tan, libm::tan, 1.75),
    (UnaryOp::Asin, libm::asin, 1.5),
    (UnaryOp::Acos, libm::acos, 1.25),
    (UnaryOp::Atan, libm::atan, 1.5),
    (UnaryOp::Sinh, libm::sinh, 2.0),
    (UnaryOp::Cosh, libm::cosh, 1.5),
    (UnaryOp::Tanh, libm::tanh, 1.75),
    (UnaryOp::Asinh, libm::asinh, 2.0),
    (UnaryOp::Acosh, reference_acosh, 2.0),
    (UnaryOp::Atanh, libm::atanh, 2.0),
    (UnaryOp::Erf, libm::erf, 1.5),
    (UnaryOp::Sigmoid, reference_sigmoid, 2.0),
    (UnaryOp::Rsqrt, |x| 1.0 / libm::sqrt(x), 1.5),
    (UnaryOp::Reciprocal, |x| 1.0 / x, 0.5),
    (UnaryOp::Sqrt, libm::sqrt, 0.5),
    (UnaryOp::Floor, libm::floor, 0.0),
    (UnaryOp::Ceil, libm::ceil, 0.0),
    (UnaryOp::Trunc, libm::trunc, 0.0),
    (UnaryOp::Round, f64::round_ties_even, 0.0),
];

/// Fails with the worst point where a result is further off than allowed.
fn assert_close(name: &str, points: &[f32], got: &[f32], exact: impl Fn(f32) -> f64, limit: f64) {
    let errors = points.iter().zip(got).map(|(x, y)| (ulps(*y, exact(*x)), *x, *y));
    let (error, x, y) = errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    println!("{name}: {error:.3}");
    assert!(error <= limit, "{name}({x:e}) = {y:e}, exactly {:e}: {error:.3} ulp", exact(x));
}

#[test]
fn functions_are_within_their_bounds() {
    let points = sweep();
    for (op, exact, limit) in FUNCTIONS {
        for features in FEATURES {
            let bytes = apply(&[(DType::F32, f32_bytes(&points))], DType::F32, 8, features, |b, x| {
                unary(b, *op, DType::F32, x[0])
            });
            let name = format!("{} ({features:?})", op.name());
            assert_close(&name, &points, &f32_values(&bytes), |x| exact(x.into()), *limit);
        }
    }
}

#[test]
fn lanes_make_no_difference() {
    let points: Vec<f32> = sweep().into_iter().step_by(19).collect();
    let points = &points[..points.len() / 16 * 16];
    for (op, ..) in FUNCTIONS {
        let results = [1, 4, 16].map(|lanes| {
            let input = (DType::F32, f32_bytes(points));
            let bytes =
                apply(&[input], DType::F32, lanes, FEATURES[0], |b, x| unary(b, *op, DType::F32, x[0]));
            f32_values(&bytes)
                .into_iter()
                .map(|y| if y.is_nan() { 0 } else { y.to_bits() })
                .collect::<Vec<_>>()
        });
        assert_eq!(results[0], results[1], "{}", op.name());
        assert_eq!(results[0], results[2], "{}", op.name());
    }
}

#[test]
fn exp_of_nonpositive_numbers() {
    let points: Vec<f32> = sweep().into_iter().map(|x| -x.abs()).collect();
    for features in FEATURES {
        let bytes = apply(&[(DType::F32, f32_bytes(&points))], DType::F32, 8, features, |b, x| {
            exp_nonpositive(b, x[0])
        });
        // Below, results are 0 rather than denormal.
        let lowest = (-125.0 * std::f64::consts::LN_2) as f32;
        let exact = |x: f32| if x < lowest { 0.0 } else { libm::exp(x.into()) };
        assert_close("exp", &points, &f32_values(&bytes), exact, 1.25);
    }
}

/// Pairs of many magnitudes, and all pairs of special numbers.
fn pairs() -> (Vec<f32>, Vec<f32>) {
    let special = [
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        2.5,
        1e-3,
        1e10,
        1e30,
        16777216.0,
        f32::INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::from_bits(3),
    ];
    let special: Vec<f32> = special.iter().flat_map(|x| [*x, -x]).collect();
    let mut xs: Vec<f32> = special.iter().flat_map(|x| vec![*x; special.len()]).collect();
    let mut ys: Vec<f32> = special.iter().flat_map(|_| special.clone()).collect();
    // A fixed linear congruential sequence (Numerical Recipes).
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        f64::from(seed >> 8) / f64::from(1 << 24)
    };
    for n in 0..20000 {
        let reach = [4.0, 20.0, 120.0][n % 3];
        let x = (2f64.powf(reach * (next() - 0.5)) * if next() < 0.2 { -1.0 } else { 1.0 }) as f32;
        // The results of most powers are within the range of f32.
        let y = (next() - 0.5) * 250.0 / f64::from(x.abs().log2()).abs().max(1e-3);
        xs.push(x);
        ys.push(if n % 4 == 0 { y.round() as f32 } else { y as f32 });
    }
    xs.resize(xs.len().next_multiple_of(8), 1.0);
    ys.resize(xs.len(), 1.0);
    (xs, ys)
}

fn assert_pairs(op: BinaryOp, exact: fn(f64, f64) -> f64, limit: f64, features: Features) {
    let (xs, ys) = pairs();
    let inputs = [(DType::F32, f32_bytes(&xs)), (DType::F32, f32_bytes(&ys))];
    let bytes = apply(&inputs, DType::F32, 8, features, |b, x| binary(b, op, DType::F32, x[0], x[1]));
    let got = f32_values(&bytes);
    for (n, (x, y)) in xs.iter().zip(&ys).enumerate() {
        let wanted = exact((*x).into(), (*y).into());
        let error = ulps(got[n], wanted);
        assert!(
            error <= limit,
            "{}({x:e}, {y:e}) = {:e}, exactly {wanted:e}: {error:.3} ulp",
            op.name(),
            got[n]
        );
    }
}

#[test]
fn powers_and_angles() {
    for features in FEATURES {
        assert_pairs(BinaryOp::Pow, libm::pow, 1.25, features);
        assert_pairs(BinaryOp::Atan2, libm::atan2, 1.75, features);
    }
}

fn floor_mod(x: f64, y: f64) -> f64 {
    let remainder = x % y;
    match remainder {
        0.0 => 0f64.copysign(y),
        r if (r < 0.0) != (y < 0.0) => f64::from((r as f32) + (y as f32)),
        r => r,
    }
}

#[test]
fn remainders_are_exact() {
    assert_pairs(BinaryOp::Rem, |x, y| x % y, 0.0, FEATURES[0]);
    assert_pairs(BinaryOp::Mod, floor_mod, 0.0, FEATURES[1]);
}

#[test]
fn constant_exponents() {
    let (points, _) = pairs();
    for exponent in [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -0.5, -2.0, 1.5, f64::INFINITY, f64::NAN] {
        for features in FEATURES {
            let bytes = apply(&[(DType::F32, f32_bytes(&points))], DType::F32, 8, features, |b, x| {
                let y = b.float(exponent, b.ty(x[0]));
                binary(b, BinaryOp::Pow, DType::F32, x[0], y)
            });
            let name = format!("x^{exponent}");
            assert_close(&name, &points, &f32_values(&bytes), |x| libm::pow(x.into(), exponent), 2.0);
        }
    }
}

#[test]
fn extrema_propagate_nan() {
    let (xs, ys) = pairs();
    let larger = |x: f64, y: f64| if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) };
    let inputs = [(DType::F32, f32_bytes(&xs)), (DType::F32, f32_bytes(&ys))];
    let bytes =
        apply(&inputs, DType::F32, 4, FEATURES[0], |b, x| binary(b, BinaryOp::Max, DType::F32, x[0], x[1]));
    for (n, got) in f32_values(&bytes).into_iter().enumerate() {
        let wanted = larger(xs[n].into(), ys[n].into()) as f32;
        assert!(got == wanted || (got.is_nan() && wanted.is_nan()), "max({}, {}) = {got}", xs[n], ys[n]);
    }
    for first in [true, false] {
        let bytes = apply(&inputs[..1], DType::F32, 4, FEATURES[0], |b, x| {
            let six = b.float(6.0, b.ty(x[0]));
            let (x, y) = if first { (six, x[0]) } else { (x[0], six) };
            binary(b, BinaryOp::Min, DType::F32, x, y)
        });
        for (x, got) in xs.iter().zip(f32_values(&bytes)) {
            let wanted = if x.is_nan() { f32::NAN } else { x.min(6.0) };
            assert!(got == wanted || (got.is_nan() && wanted.is_nan()), "min({x}, 6) = {got}");
        }
    }
}
