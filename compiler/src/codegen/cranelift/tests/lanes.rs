//! Operations across lanes.

use super::harness::*;
use crate::kernel::{Access, Compare, Horizontal, KernelBuilder, Spread, Type, Val};
use graven_ir::{DType, Dim, element};

/// Distinct small integers, as `dtype`.
fn count_up(dtype: DType, elements: usize) -> Vec<u8> {
    (0..elements).flat_map(|i| element::encode_int(dtype, i as i128 + 1).to_vec()).collect()
}

/// Runs a kernel that makes one vector or scalar of `output` from the two halves of its only input, `lanes` each.
fn across(
    dtype: DType,
    lanes: u16,
    output: Type,
    target: &crate::target::Target,
    body: impl Fn(&mut KernelBuilder, Val, Val) -> Val,
) -> Vec<u8> {
    let mut builder = KernelBuilder::new("across");
    let input = builder.buffer("x", dtype, 2 * i64::from(lanes), Access::Read);
    let dtype_out = output.dtype().unwrap_or(DType::Bool);
    let result = builder.buffer("z", dtype_out, i64::from(output.lanes), Access::Write);
    let ty = Type::vector(dtype, lanes);
    let x = builder.load(input, &Dim::ZERO, ty, Spread::Contiguous, None);
    let y = builder.load(input, &Dim::from(i64::from(lanes)), ty, Spread::Contiguous, None);
    let value = body(&mut builder, x, y);
    assert_eq!(builder.ty(value), output);
    builder.store(value, result, &Dim::ZERO, Spread::Contiguous, None);
    let bytes = count_up(dtype, 2 * usize::from(lanes));
    let zeros = vec![0; usize::from(output.lanes) * dtype_out.bytes()];
    run(&builder.finish(), target, &[&bytes, &zeros], &[]).0.pop().unwrap()
}

const VECTORS: [DType; 6] = [DType::F32, DType::I32, DType::U32, DType::F64, DType::I64, DType::U64];

#[test]
fn shuffles() {
    // A fixed linear congruential sequence (Numerical Recipes) picks the lanes.
    let mut seed = 1u32;
    let mut random = move |n: usize| {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        (seed >> 16) as usize % n
    };
    for target in runnable_targets() {
        for dtype in VECTORS {
            for lanes in lane_counts(dtype).iter().filter(|lanes| **lanes > 1) {
                let source = usize::from(2 * *lanes);
                let mut patterns: Vec<Vec<u16>> = vec![
                    (0..*lanes).collect(),
                    (*lanes..2 * *lanes).collect(),
                    (0..*lanes).map(|lane| lane / 2 + (lane % 2) * *lanes).collect(),
                    vec![*lanes - 1; usize::from(*lanes)],
                    (0..2 * *lanes).rev().collect(),
                ];
                patterns.extend((0..12).map(|_| (0..*lanes).map(|_| random(source) as u16).collect()));
                if *lanes > 2 {
                    patterns.extend((0..4).map(|_| (0..*lanes / 2).map(|_| random(source) as u16).collect()));
                }
                for pattern in patterns {
                    let output = Type::vector(dtype, pattern.len() as u16);
                    let actual = across(dtype, *lanes, output, &target, |b, x, y| b.shuffle(x, y, &pattern));
                    let elements = count_up(dtype, source);
                    let expected: Vec<u8> = pattern
                        .iter()
                        .flat_map(|lane| elements.chunks(dtype.bytes()).nth((*lane).into()).unwrap())
                        .copied()
                        .collect();
                    assert_eq!(actual, expected, "{dtype}x{lanes} {pattern:?} on {}", target.cpu);
                }
            }
        }
    }
}

#[test]
fn extract_insert_splat() {
    for target in runnable_targets() {
        for dtype in VECTORS {
            for lanes in lane_counts(dtype).iter().filter(|lanes| **lanes > 1) {
                for lane in 0..*lanes {
                    let ty = Type::vector(dtype, *lanes);
                    let element = |n: u16| element::encode_int(dtype, i128::from(n)).to_vec();
                    let one =
                        across(dtype, *lanes, Type::scalar(dtype), &target, |b, x, _| b.extract(x, lane));
                    assert_eq!(one, element(lane + 1));
                    let all = across(dtype, *lanes, ty, &target, |b, x, _| {
                        let one = b.extract(x, lane);
                        b.splat(one, *lanes)
                    });
                    assert_eq!(all, element(lane + 1).repeat((*lanes).into()));
                    let replaced = across(dtype, *lanes, ty, &target, |b, x, y| {
                        let last = b.extract(y, *lanes - 1);
                        b.insert(x, last, lane)
                    });
                    let expected: Vec<u8> = (0..*lanes)
                        .flat_map(|i| element(if i == lane { 2 * *lanes } else { i + 1 }))
                        .collect();
                    assert_eq!(replaced, expected, "{dtype}x{lanes} lane {lane}");
                }
            }
        }
    }
}

#[test]
fn masks_by_lane() {
    for target in runnable_targets() {
        for dtype in [DType::F32, DType::F64] {
            for lanes in lane_counts(dtype).iter().filter(|lanes| **lanes > 1) {
                let output = Type::vector(dtype, *lanes).mask();
                let threshold = i64::from(*lanes) / 2;
                // Set where x ≥ threshold + 1, then lane 0 set and the last one a copy of it through a scalar.
                let actual = across(dtype, *lanes, output, &target, |b, x, _| {
                    let limit = b.float(threshold as f64, b.ty(x));
                    let mask = b.compare(Compare::Gt, x, limit);
                    let last = b.extract(mask, *lanes - 1);
                    let mask = b.insert(mask, last, 0);
                    let clear = b.int(0, b.ty(mask));
                    let order: Vec<u16> =
                        (0..*lanes).map(|lane| if lane == 1 { *lanes } else { lane }).collect();
                    b.shuffle(mask, clear, &order)
                });
                let expected: Vec<u8> = (0..i64::from(*lanes))
                    .map(|lane| u8::from(lane == 0 || (lane != 1 && lane >= threshold)))
                    .collect();
                assert_eq!(actual, expected, "{dtype}x{lanes} on {}", target.cpu);
            }
        }
    }
}

#[test]
fn horizontal_reductions() {
    for target in runnable_targets() {
        for dtype in VECTORS {
            for lanes in lane_counts(dtype).iter().filter(|lanes| **lanes > 1) {
                let n = i128::from(*lanes);
                let expected =
                    [(Horizontal::Add, n * (n + 1) / 2), (Horizontal::Min, 1), (Horizontal::Max, n)];
                for (op, expected) in expected {
                    let scalar = Type::scalar(dtype);
                    let actual = across(dtype, *lanes, scalar, &target, |b, x, _| b.horizontal(op, x));
                    let expected = element::encode_int(dtype, expected).to_vec();
                    assert_eq!(actual, expected, "{} of {dtype}x{lanes}", op.name());
                }
                // 8! fits every dtype.
                if *lanes <= 8 {
                    let product: i128 = (1..=n).product();
                    let actual = across(dtype, *lanes, Type::scalar(dtype), &target, |b, x, _| {
                        b.horizontal(Horizontal::Mul, x)
                    });
                    assert_eq!(actual, element::encode_int(dtype, product).to_vec());
                }
            }
        }
    }
}

#[test]
fn the_order_of_reductions_is_by_halves() {
    for target in runnable_targets() {
        for lanes in [2u16, 4, 8, 16] {
            // Sums of thirds round differently in every order.
            let actual = across(DType::F32, lanes, Type::scalar(DType::F32), &target, |b, x, _| {
                let three = b.float(3.0, b.ty(x));
                let thirds = b.binary(crate::kernel::Binary::Div, x, three);
                let squares = b.mul(thirds, thirds);
                b.horizontal(Horizontal::Add, squares)
            });
            let mut values: Vec<f32> =
                (1..=lanes).map(|i| f32::from(i) / 3.0).map(|third| third * third).collect();
            while values.len() > 1 {
                let upper = values.split_off(values.len() / 2);
                values.iter_mut().zip(upper).for_each(|(low, high)| *low += high);
            }
            assert_eq!(actual, values[0].to_le_bytes(), "{lanes} lanes on {}", target.cpu);
        }
    }
}

#[test]
fn any_and_tails_and_lane_ids() {
    for target in runnable_targets() {
        for dtype in VECTORS {
            for lanes in lane_counts(dtype).iter().filter(|lanes| **lanes > 1) {
                let ty = Type::vector(dtype, *lanes);
                let ids = across(dtype, *lanes, ty, &target, |b, _, _| b.lane_ids(dtype, *lanes));
                let expected: Vec<u8> =
                    (0..*lanes).flat_map(|i| element::encode_int(dtype, i.into()).to_vec()).collect();
                assert_eq!(ids, expected);
                for count in [i64::MIN, -1, 0, 1, i64::from(*lanes) - 1, i64::from(*lanes), 1 << 32, i64::MAX]
                {
                    let tail = across(dtype, *lanes, ty.mask(), &target, |b, _, _| {
                        b.tail_mask(&Dim::from(count), ty)
                    });
                    let expected: Vec<u8> =
                        (0..i64::from(*lanes)).map(|lane| u8::from(lane < count)).collect();
                    assert_eq!(tail, expected, "{count} of {dtype}x{lanes} on {}", target.cpu);
                    let any = across(dtype, *lanes, Type::TRUTH, &target, |b, _, _| {
                        let mask = b.tail_mask(&Dim::from(count), ty);
                        b.any(mask)
                    });
                    assert_eq!(any, [u8::from(count > 0)], "any of {count} of {dtype}x{lanes}");
                }
            }
        }
    }
}

#[test]
fn any_ignores_unused_lanes() {
    for target in runnable_targets() {
        // The complement sets the lanes that a narrow vector doesn't use.
        let any = across(DType::F32, 2, Type::TRUTH, &target, |b, x, _| {
            let limit = b.float(100.0, b.ty(x));
            let all = b.compare(Compare::Lt, x, limit);
            let none = b.unary(crate::kernel::Unary::Not, all);
            b.any(none)
        });
        assert_eq!(any, [0]);
    }
}
