//! Operations lane by lane.

use super::harness::*;
use super::reference;
use crate::kernel::{Access, Binary, Compare, Kernel, KernelBuilder, Spread, Type, Unary, Val};
use graven_ir::{DType, Dim};

/// A kernel that computes `body` of neighbouring vectors of the inputs for all of `elements` elements.
fn map_kernel(
    inputs: &[DType],
    output: DType,
    (lanes, elements): (u16, usize),
    body: impl Fn(&mut KernelBuilder, &[Val]) -> Val,
) -> Kernel {
    let mut builder = KernelBuilder::new("map");
    let elements = elements as i64;
    let buffers: Vec<_> =
        inputs.iter().map(|dtype| (builder.buffer("x", *dtype, elements, Access::Read), *dtype)).collect();
    let result = builder.buffer("z", output, elements, Access::Write);
    builder.for_each((&Dim::ZERO, &Dim::from(elements), i64::from(lanes)), &[], |builder, i, _| {
        let values: Vec<Val> = buffers
            .iter()
            .map(|(buffer, dtype)| {
                builder.load(*buffer, i, Type::vector(*dtype, lanes), Spread::Contiguous, None)
            })
            .collect();
        let value = body(builder, &values);
        builder.store(value, result, i, Spread::Contiguous, None);
        Vec::new()
    });
    builder.finish()
}

/// Runs a map kernel and gives its output.
fn run_map(kernel: &Kernel, target: &crate::target::Target, inputs: &[&[u8]], output: DType) -> Vec<u8> {
    let elements = kernel.buffers.values().last().map_or(0, |buffer| buffer.elements.upper() as usize);
    let zeros = vec![0u8; elements * output.bytes()];
    let mut buffers = inputs.to_vec();
    buffers.push(&zeros);
    run(kernel, target, &buffers, &[]).0.pop().unwrap()
}

#[test]
fn unary_operations() {
    for target in runnable_targets() {
        for dtype in DType::ALL {
            let x = singles(*dtype);
            let elements = x.len() / dtype.bytes();
            for op in Unary::ALL {
                let expected: Option<Vec<u8>> = x
                    .chunks(dtype.bytes())
                    .map(|x| reference::unary(*op, *dtype, x))
                    .collect::<Option<Vec<_>>>()
                    .map(|all| all.concat());
                let Some(expected) = expected else { continue };
                let lanes = if *op == Unary::PopCount { &[1] } else { lane_counts(*dtype) };
                for lanes in lanes {
                    let kernel = map_kernel(&[*dtype], *dtype, (*lanes, elements), |b, v| b.unary(*op, v[0]));
                    let actual = run_map(&kernel, &target, &[&x], *dtype);
                    let what = format!("{} of {dtype}x{lanes} on {}", op.name(), target.cpu);
                    assert_elements(*dtype, &actual, &expected, &what);
                }
            }
        }
    }
}

/// Pairs of elements that the operation is defined for, with the results.
fn defined_pairs(op: Binary, dtype: DType) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (x, y) = pairs(dtype);
    let bytes = dtype.bytes();
    let (mut xs, mut ys, mut zs) = (Vec::new(), Vec::new(), Vec::new());
    for (x, y) in x.chunks(bytes).zip(y.chunks(bytes)) {
        if let Some(z) = reference::binary(op, dtype, x, y) {
            xs.extend(x);
            ys.extend(y);
            zs.extend(z);
        }
    }
    let whole = xs.len() / (16 * bytes) * 16 * bytes;
    (xs[..whole].to_vec(), ys[..whole].to_vec(), zs[..whole].to_vec())
}

#[test]
fn binary_operations() {
    for target in runnable_targets() {
        for dtype in DType::ALL.iter().filter(|dtype| **dtype != DType::Bool) {
            for op in Binary::ALL {
                let (x, y, expected) = defined_pairs(*op, *dtype);
                let scalar_only = dtype.is_int() && matches!(op, Binary::Div | Binary::Rem);
                let lanes = if scalar_only { &[1] } else { lane_counts(*dtype) };
                for lanes in lanes.iter().filter(|_| !x.is_empty()) {
                    let elements = x.len() / dtype.bytes();
                    let kernel = map_kernel(&[*dtype; 2], *dtype, (*lanes, elements), |b, v| {
                        b.binary(*op, v[0], v[1])
                    });
                    let actual = run_map(&kernel, &target, &[&x, &y], *dtype);
                    let what = format!("{} of {dtype}x{lanes} on {}", op.name(), target.cpu);
                    assert_elements(*dtype, &actual, &expected, &what);
                }
            }
        }
    }
}

#[test]
fn shifts_by_one_amount() {
    for target in runnable_targets() {
        for dtype in [DType::I32, DType::U32, DType::I64, DType::U64] {
            let x = singles(dtype);
            let elements = x.len() / dtype.bytes();
            for (op, amount) in
                [Binary::ShiftLeft, Binary::ShiftRight].into_iter().flat_map(|op| [(op, 1), (op, 31)])
            {
                let bytes = graven_ir::element::encode_int(dtype, amount);
                let expected: Vec<u8> = x
                    .chunks(dtype.bytes())
                    .flat_map(|x| reference::binary(op, dtype, x, &bytes).unwrap())
                    .collect();
                for lanes in lane_counts(dtype) {
                    let constant = map_kernel(&[dtype], dtype, (*lanes, elements), |b, v| {
                        let amount = b.int(amount as i64, b.ty(v[0]));
                        b.binary(op, v[0], amount)
                    });
                    assert_elements(dtype, &run_map(&constant, &target, &[&x], dtype), &expected, op.name());
                    let splat = map_kernel(&[dtype], dtype, (*lanes, elements), |b, v| {
                        let amount = b.int(amount as i64, Type::scalar(dtype));
                        let amount = b.splat(amount, *lanes);
                        b.binary(op, v[0], amount)
                    });
                    assert_elements(dtype, &run_map(&splat, &target, &[&x], dtype), &expected, op.name());
                }
            }
        }
    }
}

#[test]
fn comparisons_and_selection() {
    for target in runnable_targets() {
        for dtype in DType::ALL {
            let (x, y) = pairs(*dtype);
            let (bytes, elements) = (dtype.bytes(), x.len() / dtype.bytes());
            for op in Compare::ALL {
                let places = x.chunks(bytes).zip(y.chunks(bytes));
                let (mut truth, mut chosen) = (Vec::new(), Vec::<u8>::new());
                for (x, y) in places {
                    let holds = reference::compare(*op, *dtype, x, y);
                    truth.push(u8::from(holds));
                    chosen.extend(if holds { x } else { y });
                }
                for lanes in lane_counts(*dtype) {
                    let what = format!("{} of {dtype}x{lanes} on {}", op.name(), target.cpu);
                    let masks = map_kernel(&[*dtype; 2], DType::Bool, (*lanes, elements), |b, v| {
                        b.compare(*op, v[0], v[1])
                    });
                    assert_elements(
                        DType::Bool,
                        &run_map(&masks, &target, &[&x, &y], DType::Bool),
                        &truth,
                        &what,
                    );
                    let selects = map_kernel(&[*dtype; 2], *dtype, (*lanes, elements), |b, v| {
                        let mask = b.compare(*op, v[0], v[1]);
                        b.select(mask, v[0], v[1])
                    });
                    let actual = run_map(&selects, &target, &[&x, &y], *dtype);
                    assert_eq!(actual, chosen, "select by {what}");
                }
            }
        }
    }
}

#[test]
fn operations_on_masks() {
    for target in runnable_targets() {
        for dtype in [DType::F32, DType::I64, DType::U8] {
            let (x, y) = pairs(dtype);
            let (bytes, elements) = (dtype.bytes(), x.len() / dtype.bytes());
            let expected: Vec<u8> = x
                .chunks(bytes)
                .zip(y.chunks(bytes))
                .map(|(x, y)| {
                    let less = reference::compare(Compare::Lt, dtype, x, y);
                    let equal = reference::compare(Compare::Eq, dtype, x, y);
                    let greater = reference::compare(Compare::Gt, dtype, x, y);
                    u8::from(((less | equal) ^ greater) & !(equal & !less))
                })
                .collect();
            for lanes in lane_counts(dtype) {
                let kernel = map_kernel(&[dtype; 2], DType::Bool, (*lanes, elements), |b, v| {
                    let less = b.compare(Compare::Lt, v[0], v[1]);
                    let equal = b.compare(Compare::Eq, v[0], v[1]);
                    let greater = b.compare(Compare::Gt, v[0], v[1]);
                    let either = b.binary(Binary::Or, less, equal);
                    let one = b.binary(Binary::Xor, either, greater);
                    let not_less = b.unary(Unary::Not, less);
                    let only_equal = b.binary(Binary::And, equal, not_less);
                    let other = b.unary(Unary::Not, only_equal);
                    let both = b.binary(Binary::And, one, other);
                    let constant = b.int(1, b.ty(both));
                    b.select(both, constant, both)
                });
                assert_eq!(run_map(&kernel, &target, &[&x, &y], DType::Bool), expected, "{dtype}x{lanes}");
            }
        }
    }
}

#[test]
fn fused_multiply_add() {
    for target in runnable_targets().into_iter().filter(|target| target.fma) {
        for dtype in [DType::F32, DType::F64] {
            let (x, y) = pairs(dtype);
            let z: Vec<u8> = y.chunks(dtype.bytes()).rev().flatten().copied().collect();
            let expected: Vec<u8> = match dtype {
                DType::F32 => {
                    let at = |bytes: &[u8], i: usize| {
                        f32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap())
                    };
                    (0..x.len() / 4)
                        .flat_map(|i| at(&x, i).mul_add(at(&y, i), at(&z, i)).to_le_bytes())
                        .collect()
                }
                _ => {
                    let at = |bytes: &[u8], i: usize| {
                        f64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap())
                    };
                    (0..x.len() / 8)
                        .flat_map(|i| at(&x, i).mul_add(at(&y, i), at(&z, i)).to_le_bytes())
                        .collect()
                }
            };
            for lanes in lane_counts(dtype) {
                let elements = x.len() / dtype.bytes();
                let kernel =
                    map_kernel(&[dtype; 3], dtype, (*lanes, elements), |b, v| b.fma(v[0], v[1], v[2]));
                let actual = run_map(&kernel, &target, &[&x, &y, &z], dtype);
                assert_elements(dtype, &actual, &expected, &format!("fma of {dtype}x{lanes}"));
            }
        }
    }
}

#[test]
fn conversions() {
    for target in runnable_targets() {
        for from in DType::ALL {
            let x = singles(*from);
            let elements = x.len() / from.bytes();
            for to in DType::ALL {
                let expected: Vec<u8> =
                    x.chunks(from.bytes()).flat_map(|x| reference::convert(*from, *to, x)).collect();
                let vectors = from.bytes() >= 4 && to.bytes() >= 4;
                for lanes in if vectors { &[1, 2, 4, 8][..] } else { &[1] } {
                    let kernel = map_kernel(&[*from], *to, (*lanes, elements), |b, v| b.convert(v[0], *to));
                    let actual = run_map(&kernel, &target, &[&x], *to);
                    let what = format!("{from}x{lanes} to {to} on {}", target.cpu);
                    assert_elements(*to, &actual, &expected, &what);
                }
            }
        }
    }
}

#[test]
fn halves_convert_exactly_in_vectors() {
    for target in runnable_targets() {
        for half in [DType::F16, DType::BF16] {
            let x: Vec<u8> = (0..=u16::MAX).flat_map(|bits| bits.to_le_bytes()).collect();
            let expected: Vec<u8> =
                x.chunks(2).flat_map(|x| reference::convert(half, DType::F32, x)).collect();
            for lanes in [1, 2, 4, 8] {
                let mut builder = KernelBuilder::new("halves");
                let source = builder.buffer("x", half, 65536i64, Access::Read);
                let wide = builder.buffer("y", DType::F32, 65536i64, Access::Write);
                let back = builder.buffer("z", half, 65536i64, Access::Write);
                builder.for_each((&Dim::ZERO, &Dim::from(65536i64), i64::from(lanes)), &[], |b, i, _| {
                    let value = b.load(source, i, Type::vector(DType::F32, lanes), Spread::Contiguous, None);
                    b.store(value, wide, i, Spread::Contiguous, None);
                    b.store(value, back, i, Spread::Contiguous, None);
                    Vec::new()
                });
                let (y, z) = (vec![0; 65536 * 4], vec![0; 65536 * 2]);
                let (results, _) = run(&builder.finish(), &target, &[&x, &y, &z], &[]);
                assert_elements(DType::F32, &results[1], &expected, &format!("{half}x{lanes}"));
                assert_elements(half, &results[2], &x, &format!("{half}x{lanes} and back"));
            }
        }
    }
}

#[test]
fn masks_convert_to_numbers_and_other_widths() {
    for target in runnable_targets() {
        for (from, bits, like) in [(DType::F32, 64, DType::I64), (DType::I64, 32, DType::F32)] {
            let (x, y) = pairs(from);
            let (bytes, elements) = (from.bytes(), x.len() / from.bytes());
            let truth: Vec<bool> = x
                .chunks(bytes)
                .zip(y.chunks(bytes))
                .map(|(x, y)| reference::compare(Compare::Le, from, x, y))
                .collect();
            let expected: Vec<u8> = truth
                .iter()
                .flat_map(|truth| graven_ir::element::encode_int(like, i128::from(*truth)).to_vec())
                .collect();
            for lanes in [1u16, 2, 4, 8] {
                let kernel = map_kernel(&[from; 2], like, (lanes, elements), |b, v| {
                    let mask = b.compare(Compare::Le, v[0], v[1]);
                    let ty = Type::vector(like, lanes);
                    let mask = b.convert_mask(mask, ty);
                    let (one, zero) = (b.constant(1.0, ty), b.constant(0.0, ty));
                    b.select(mask, one, zero)
                });
                let actual = run_map(&kernel, &target, &[&x, &y], like);
                assert_elements(like, &actual, &expected, &format!("mask of {from}x{lanes} for {bits} bits"));
            }
            for to in DType::ALL {
                let expected: Vec<u8> = truth
                    .iter()
                    .flat_map(|truth| graven_ir::element::encode_int(*to, i128::from(*truth)).to_vec())
                    .collect();
                let kernel = map_kernel(&[from; 2], *to, (1, elements), |b, v| {
                    let mask = b.compare(Compare::Le, v[0], v[1]);
                    b.convert(mask, *to)
                });
                assert_elements(*to, &run_map(&kernel, &target, &[&x, &y], *to), &expected, "mask to number");
            }
        }
    }
}

#[test]
fn bitcasts() {
    for target in runnable_targets() {
        for (from, to) in [
            (DType::F32, DType::I32),
            (DType::U64, DType::F64),
            (DType::F16, DType::U16),
            (DType::I8, DType::U8),
        ] {
            let x = singles(from);
            let elements = x.len() / from.bytes();
            for lanes in lane_counts(from) {
                let kernel = map_kernel(&[from], to, (*lanes, elements), |b, v| b.bitcast(v[0], to));
                assert_eq!(run_map(&kernel, &target, &[&x], to), x, "{from}x{lanes} as {to}");
            }
        }
    }
}

#[test]
fn index_division_by_constants() {
    for target in runnable_targets() {
        let x = singles(DType::I64);
        let elements = x.len() / 8;
        for divisor in [1i64, 2, 3, 7, 10, 12, 64, 1000, 1 << 40, i64::MAX] {
            for op in [Binary::Div, Binary::Rem, Binary::Mul] {
                let constant = divisor.to_le_bytes();
                let expected: Vec<u8> = x
                    .chunks(8)
                    .flat_map(|x| reference::binary(op, DType::I64, x, &constant).unwrap())
                    .collect();
                let kernel = map_kernel(&[DType::I64], DType::I64, (1, elements), |b, v| {
                    let constant = b.int(divisor, Type::INDEX);
                    b.binary(op, v[0], constant)
                });
                let actual = run_map(&kernel, &target, &[&x], DType::I64);
                assert_elements(DType::I64, &actual, &expected, &format!("{} {divisor}", op.name()));
            }
        }
    }
}
