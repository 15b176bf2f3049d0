//! Every operation compiles on every target, and to code that refers to nothing.
//!
//! That it refers to nothing is checked by the compiler itself, which fails if it finds a relocation.

use super::harness::lane_counts;
use crate::codegen::KernelCompiler;
use crate::codegen::cranelift::CraneliftCompiler;
use crate::kernel::{Access, Binary, Compare, Horizontal, Kernel, KernelBuilder, Spread, Type, Unary, Val};
use crate::target::Target;
use graven_ir::{DType, Dim};

const TARGETS: &[(&str, Option<&str>)] = &[
    ("x86_64-unknown-linux-gnu", Some("x86-64-v1")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v2")),
    ("x86_64-unknown-linux-gnu", Some("sandybridge")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v3")),
    ("x86_64-unknown-linux-gnu", Some("x86-64-v4")),
    ("x86_64-unknown-linux-gnu", Some("znver5")),
    ("x86_64-apple-darwin", Some("haswell")),
    ("x86_64-pc-windows-msvc", None),
    ("aarch64-unknown-linux-gnu", None),
    ("aarch64-unknown-linux-gnu", Some("neoverse-n1")),
    ("aarch64-apple-darwin", Some("apple-m1")),
    ("riscv64gc-unknown-linux-gnu", None),
    ("s390x-unknown-linux-gnu", None),
    ("s390x-unknown-linux-gnu", Some("z15")),
];

/// One kernel with every operation of a type.
fn all_operations(dtype: DType, lanes: u16, fma: bool) -> Kernel {
    let ty = Type::vector(dtype, lanes);
    let mut builder = KernelBuilder::new("all");
    let source = builder.buffer("x", dtype, 256i64, Access::Read);
    let result = builder.buffer("z", dtype, 256i64, Access::Write);
    let truths = builder.buffer("m", DType::Bool, 256i64, Access::Write);
    let x = builder.load(source, &Dim::ZERO, ty, Spread::Contiguous, None);
    let y = builder.load(source, &Dim::from(16i64), ty, Spread::Contiguous, None);
    let mut values = vec![x, y];
    let b = &mut builder;
    elementwise(b, &mut values, (x, y), dtype, fma);
    let masks: Vec<Val> = Compare::ALL.iter().map(|op| b.compare(*op, x, y)).collect();
    values.push(b.select(masks[0], x, y));
    if lanes > 1 {
        across(b, &mut values, (x, y), ty);
    }
    for value in values {
        b.store(value, result, &Dim::ZERO, Spread::Contiguous, None);
    }
    for mask in masks {
        b.store(mask, truths, &Dim::ZERO, Spread::Contiguous, None);
    }
    builder.finish()
}

fn elementwise(b: &mut KernelBuilder, values: &mut Vec<Val>, (x, y): (Val, Val), dtype: DType, fma: bool) {
    let lanes = b.ty(x).lanes;
    for op in Unary::ALL {
        let for_floats = matches!(op, Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round);
        let both = matches!(op, Unary::Neg | Unary::Abs);
        if both || (for_floats == dtype.is_float() && (*op != Unary::PopCount || lanes == 1)) {
            values.push(b.unary(*op, x));
        }
    }
    for op in Binary::ALL {
        let bits = matches!(
            op,
            Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight | Binary::Rem
        );
        let division = matches!(op, Binary::Div | Binary::Rem) && !dtype.is_float() && lanes > 1;
        let excluded = division || (bits && dtype.is_float());
        if !excluded {
            values.push(b.binary(*op, x, y));
        }
    }
    if matches!(dtype, DType::F32 | DType::F64) && fma {
        values.push(b.fma(x, y, x));
    }
    for to in DType::ALL {
        if lanes == 1 || (to.bytes() >= 4 && dtype.bytes() >= 4) {
            let converted = b.convert(x, *to);
            values.push(b.convert(converted, dtype));
        }
    }
}

fn across(b: &mut KernelBuilder, values: &mut Vec<Val>, (x, y): (Val, Val), ty: Type) {
    let (lanes, dtype) = (ty.lanes, ty.dtype().unwrap());
    let tail = b.tail_mask(&Dim::from(1i64), ty);
    values.push(b.select(tail, x, y));
    values.push(b.lane_ids(dtype, lanes));
    let reversed: Vec<u16> = (0..lanes).rev().collect();
    let mixed: Vec<u16> = (0..lanes).map(|lane| lane * 2 % (2 * lanes - 1)).collect();
    values.push(b.shuffle(x, y, &reversed));
    values.push(b.shuffle(x, y, &mixed));
    for op in Horizontal::ALL {
        values.push(b.horizontal(*op, x));
    }
    let any = b.any(tail);
    let last = b.extract(x, lanes - 1);
    let first = b.extract(y, 0);
    let either = b.select(any, last, first);
    values.push(b.splat(either, lanes));
    values.push(b.insert(x, either, lanes / 2));
    let other = Type::vector(if dtype.bytes() == 4 { DType::I64 } else { DType::I32 }, lanes);
    let converted = b.convert_mask(tail, other);
    let back = b.convert_mask(converted, ty);
    values.push(b.select(back, x, y));
}

/// Loads and stores of narrow memory with every spread.
fn all_accesses(memory: DType, lanes: u16) -> Kernel {
    let register = match memory.bytes() {
        1 | 2 if memory.is_float() => DType::F32,
        1 | 2 => DType::I32,
        _ => memory,
    };
    let ty = Type::vector(register, lanes);
    let mut b = KernelBuilder::new("accesses");
    let source = b.buffer("x", memory, 256i64, Access::Read);
    let result = b.buffer("z", memory, 256i64, Access::Write);
    let indices = b.lane_ids(DType::I32, lanes);
    for mask in [false, true] {
        for spread in [Spread::Contiguous, Spread::Strided(3), Spread::Gathered(indices), Spread::Broadcast] {
            let mask = mask.then(|| b.tail_mask(&Dim::from(1i64), ty));
            let value = b.load(source, &Dim::from(5i64), ty, spread, mask);
            let spread = if spread == Spread::Broadcast { Spread::Contiguous } else { spread };
            b.store(value, result, &Dim::from(5i64), spread, mask);
            if register == DType::I32 && memory != DType::I32 {
                let float = b.convert(value, DType::F32);
                b.store(float, result, &Dim::from(5i64), spread, mask);
            }
        }
    }
    b.finish()
}

#[test]
fn every_operation_on_every_target() {
    for (triple, cpu) in TARGETS {
        let target = Target::new(triple, *cpu).unwrap();
        let compiler = CraneliftCompiler::new(&target).unwrap();
        let compile = |kernel: &Kernel| match compiler.compile(kernel) {
            Ok(code) => assert!(!code.bytes.is_empty()),
            Err(error) => panic!("{triple} {cpu:?}: {error}"),
        };
        for dtype in DType::ALL {
            for lanes in lane_counts(*dtype) {
                compile(&all_operations(*dtype, *lanes, target.fma));
            }
            [1, 2, 4, 8].into_iter().for_each(|lanes| compile(&all_accesses(*dtype, lanes)));
        }
    }
}

#[test]
fn fma_without_the_instruction_is_refused() {
    let target = Target::new("x86_64-unknown-linux-gnu", Some("x86-64-v2")).unwrap();
    let error =
        CraneliftCompiler::new(&target).unwrap().compile(&all_operations(DType::F32, 4, true)).unwrap_err();
    assert!(matches!(error, crate::codegen::CodegenError::Unsupported { .. }), "{error}");
}

#[test]
fn code_is_the_same_every_time() {
    let target = Target::host().unwrap();
    let kernel = all_operations(DType::F32, 8, target.fma);
    let code = |_| CraneliftCompiler::new(&target).unwrap().compile(&kernel).unwrap();
    assert_eq!(code(0), code(1));
}
