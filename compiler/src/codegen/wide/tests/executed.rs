//! Every row of the table is in the code of a kernel here, and what the kernels compute is what the kernel interpreter computes.

use crate::codegen::cranelift::tests::harness::{assert_elements, interesting, lane_counts, run_tasks};
use crate::codegen::wide::inst::Op;
use crate::codegen::wide::isel;
use crate::codegen::wide::registers::Level;
use crate::codegen::wide::vcode::Kind;
use crate::kernel::interp::{self, RunLimits};
use crate::kernel::{
    Access, Binary, BufferId, Compare, Horizontal, Kernel, KernelBuilder, Spread, Type, Unary, Val,
};
use crate::target::Target;
use graven_ir::{DType, Dim, Symbol, element};
use std::collections::HashSet;

/// Elements of each input; an operation's results have as many.
const ELEMENTS: i64 = 64;

/// What only register allocation puts into code: copies of masks, and their way to the stack and back.
const OF_ALLOCATION: [Op; 4] = [Op::Move, Op::MaskMove, Op::MaskLoad, Op::MaskStore];

/// The dtypes of numbers in registers that arithmetic takes.
const NUMBERS: [DType; 10] = [
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::F32,
    DType::F64,
];

/// A kernel, its buffers, and the values of its extents.
struct Case {
    kernel: Kernel,
    buffers: Vec<Vec<u8>>,
    extents: Vec<i64>,
}

/// Memory where each operation's results have a place of their own.
struct Results {
    buffer: BufferId,
    truths: BufferId,
    count: i64,
}

impl Results {
    fn new(builder: &mut KernelBuilder, dtype: DType) -> Results {
        let buffer = builder.buffer("z", dtype, 96 * ELEMENTS, Access::Write);
        let truths = builder.buffer("m", DType::Bool, 16 * ELEMENTS, Access::Write);
        Results { buffer, truths, count: 0 }
    }

    /// Stores the value at its place, `i` elements further on.
    fn store(&mut self, builder: &mut KernelBuilder, value: Val, i: &Dim) {
        builder.store(value, self.buffer, &(i + self.count * ELEMENTS), Spread::Contiguous, None);
        self.count += 1;
    }
}

fn memory(dtype: DType, elements: i64) -> Vec<u8> {
    vec![0; elements as usize * dtype.bytes()]
}

/// The interesting elements, again and again.
fn elements(dtype: DType) -> Vec<u8> {
    interesting(dtype).into_iter().cycle().take(ELEMENTS as usize).flatten().collect()
}

/// What an integer may be divided by, and shifted by.
fn small(dtype: DType) -> Vec<u8> {
    (0..i128::from(ELEMENTS)).flat_map(|i| element::encode_int(dtype, 1 + i % 7).to_vec()).collect()
}

/// Every operation on numbers of a type.
fn operations(dtype: DType, lanes: u16) -> Case {
    let mut builder = KernelBuilder::new(format!("{dtype}x{lanes}"));
    let b = &mut builder;
    let x = b.buffer("x", dtype, ELEMENTS, Access::Read);
    let y = b.buffer("y", dtype, ELEMENTS, Access::Read);
    let mut results = Results::new(b, dtype);
    let ty = Type::vector(dtype, lanes);
    b.for_each((&Dim::ZERO, &Dim::from(ELEMENTS), i64::from(lanes)), &[], |b, i, _| {
        let left = b.load(x, i, ty, Spread::Contiguous, None);
        let right = b.load(y, i, ty, Spread::Contiguous, None);
        let mut values = arithmetic(b, (left, right), ty);
        let masks: Vec<Val> = Compare::ALL.iter().map(|op| b.compare(*op, left, right)).collect();
        values.push(b.select(masks[0], left, right));
        for (n, mask) in masks.iter().enumerate() {
            b.store(*mask, results.truths, &(i + n as i64 * ELEMENTS), Spread::Contiguous, None);
        }
        if lanes > 1 {
            values.extend(across(b, (left, right), masks[2], ty));
        } else {
            values.push(b.convert(masks[2], dtype));
        }
        values.into_iter().for_each(|value| results.store(b, value, i));
        Vec::new()
    });
    let inputs = [elements(dtype), if dtype.is_int() { small(dtype) } else { elements(dtype) }];
    let outputs = [memory(dtype, 96 * ELEMENTS), memory(DType::Bool, 16 * ELEMENTS)];
    Case {
        kernel: builder.finish(),
        buffers: inputs.into_iter().chain(outputs).collect(),
        extents: Vec::new(),
    }
}

fn arithmetic(b: &mut KernelBuilder, (x, y): (Val, Val), ty: Type) -> Vec<Val> {
    let (dtype, lanes) = (ty.dtype().unwrap(), ty.lanes);
    let mut values = Vec::new();
    for op in Unary::ALL {
        let of_floats = matches!(op, Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round);
        let of_both = matches!(op, Unary::Neg | Unary::Abs);
        if of_both || (of_floats == dtype.is_float() && (*op != Unary::PopCount || lanes == 1)) {
            values.push(b.unary(*op, x));
        }
    }
    for op in Binary::ALL {
        let of_integers = matches!(
            op,
            Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight | Binary::Rem
        );
        let divides = matches!(op, Binary::Div | Binary::Rem) && dtype.is_int() && lanes > 1;
        if !(divides || of_integers && dtype.is_float()) {
            values.push(b.binary(*op, x, y));
        }
    }
    if dtype.is_int() {
        let three = b.int(3, ty);
        values.extend([Binary::ShiftLeft, Binary::ShiftRight].map(|op| b.binary(op, x, three)));
    } else {
        values.push(b.fma(x, y, x));
        // Operands in memory: a constant in all lanes.
        let third = b.float(0.375, ty);
        values.extend([b.add(x, third), b.fma(x, third, y)]);
        // A factor that nobody needs afterwards.
        let scaled = b.mul(x, third);
        values.push(b.fma(scaled, y, x));
    }
    for to in DType::ALL.iter().filter(|to| !matches!(to, DType::Bool | DType::I4 | DType::U4)) {
        if lanes == 1 || (to.bytes() >= 4 && dtype.bytes() >= 4) {
            let converted = b.convert(x, *to);
            values.push(b.convert(converted, dtype));
        }
    }
    values
}

fn across(b: &mut KernelBuilder, (x, y): (Val, Val), mask: Val, ty: Type) -> Vec<Val> {
    let (lanes, dtype) = (ty.lanes, ty.dtype().unwrap());
    let mut values = vec![b.lane_ids(dtype, lanes)];
    let reversed: Vec<u16> = (0..lanes).rev().collect();
    let mixed: Vec<u16> = (0..lanes).map(|lane| lane * 2 % (2 * lanes - 1)).collect();
    values.extend([&reversed, &mixed].map(|order| b.shuffle(x, y, order)));
    for op in Horizontal::ALL {
        let one = b.horizontal(*op, x);
        values.push(b.splat(one, lanes));
    }
    let tail = b.tail_mask(&Dim::from(i64::from(lanes) - 1), ty);
    let any = b.any(mask);
    let (last, first) = (b.extract(x, lanes - 1), b.extract(y, 0));
    let either = b.select(any, last, first);
    values.push(b.insert(x, either, lanes / 2));
    let truth = b.extract(mask, lanes - 1);
    let inserted = b.insert(tail, truth, 0);
    let shuffled = b.shuffle(mask, inserted, &mixed);
    let inverse = b.unary(Unary::Not, mask);
    let other = Type::vector(if dtype.bytes() == 4 { DType::I64 } else { DType::I32 }, lanes);
    let wide = b.convert_mask(mask, other);
    let limit = b.tail_mask(&Dim::from(i64::from(lanes) - 1), other);
    let wide = b.binary(Binary::And, wide, limit);
    let mut masks = vec![tail, inserted, shuffled, inverse, b.convert_mask(wide, ty)];
    for op in [Binary::And, Binary::Or, Binary::Xor] {
        masks.push(b.binary(op, mask, tail));
    }
    masks.push(b.select(mask, tail, inverse));
    values.extend(masks.into_iter().map(|mask| b.select(mask, x, y)));
    values
}

/// Loads and stores of a dtype with every spread, all lanes and masked.
fn accesses(dtype: DType, lanes: u16) -> Case {
    let register = match dtype.bytes() {
        1 | 2 if dtype.is_float() => DType::F32,
        1 | 2 => DType::I32,
        _ => dtype,
    };
    let ty = Type::vector(register, lanes);
    let mut builder = KernelBuilder::new(format!("accesses of {dtype}x{lanes}"));
    let b = &mut builder;
    let source = b.buffer("x", dtype, 64i64, Access::Read);
    let result = b.buffer("z", dtype, 2048i64, Access::ReadWrite);
    let offsets = b.lane_ids(DType::I32, lanes);
    let mut place = 0i64;
    for count in [None, Some(i64::from(lanes) - 1), Some(i64::from(lanes))] {
        for spread in [Spread::Contiguous, Spread::Strided(3), Spread::Gathered(offsets), Spread::Broadcast] {
            let mask = count.map(|count| b.tail_mask(&Dim::from(count), ty));
            let value = b.load(source, &Dim::from(5i64), ty, spread, mask);
            let spread = if spread == Spread::Broadcast { Spread::Contiguous } else { spread };
            if dtype != DType::Bool {
                b.store(value, result, &Dim::from(place), spread, mask);
                place += 64;
            }
            if register == DType::I32 && !matches!(dtype, DType::I32 | DType::Bool) {
                let float = b.convert(value, DType::F32);
                b.store(float, result, &Dim::from(place), spread, mask);
                place += 64;
            }
            if dtype == DType::Bool {
                let zero = b.int(0, ty);
                let truth = b.compare(Compare::Ne, value, zero);
                b.store(truth, result, &Dim::from(place), spread, mask);
                place += 64;
            }
        }
    }
    let mut x: Vec<u8> = elements(dtype);
    if dtype == DType::Bool {
        x.iter_mut().for_each(|byte| *byte &= 1);
    }
    Case { kernel: builder.finish(), buffers: vec![x, memory(dtype, 2048)], extents: Vec::new() }
}

/// Tasks, loops of unknown length, a branch, a check, a prefetch, and indices that are divided.
fn control() -> Case {
    let n = Symbol::new("n", 1, 50);
    let mut builder = KernelBuilder::new("control");
    let source = builder.buffer("x", DType::I64, 50i64, Access::Read);
    let result = builder.buffer("z", DType::I64, 200i64, Access::Write);
    builder.parallel_for(&Dim::from(&n), |b, i| {
        b.prefetch(source, i);
        let x = b.load(source, i, Type::INDEX, Spread::Contiguous, None);
        let seven = Dim::from(7i64);
        let transposed = i.floor_div(&seven) + i.modulo(&seven) * 8i64;
        b.store(x, result, &transposed, Spread::Contiguous, None);
        let limit = b.int(1 << 40, Type::INDEX);
        let inside = b.compare(Compare::Lt, x, limit);
        b.check(inside, 3);
        let sums = b.for_each((&Dim::ZERO, &(i + 1i64), 1), &[x], |b, k, sums| {
            let next = b.load(source, k, Type::INDEX, Spread::Contiguous, None);
            vec![b.add(sums[0], next)]
        });
        b.store(sums[0], result, &(i + 100i64), Spread::Contiguous, None);
    });
    let x: Vec<u8> = (0..50i64).flat_map(|i| (i * i - 300).to_le_bytes()).collect();
    Case { kernel: builder.finish(), buffers: vec![x, memory(DType::I64, 200)], extents: vec![50] }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![control()];
    for dtype in NUMBERS {
        cases.extend(lane_counts(dtype).iter().map(|lanes| operations(dtype, *lanes)));
    }
    for dtype in DType::ALL {
        cases.extend([1, 2, 4, 8, 16].map(|lanes| accesses(*dtype, lanes)));
    }
    cases
}

/// The wide targets that this machine can run.
fn targets() -> Vec<Target> {
    let host = Target::host().unwrap();
    let triple = host.triple.to_string();
    let levels = ["x86-64-v3", "x86-64-v4"].map(|cpu| Target::new(&triple, Some(cpu)));
    let runnable = levels.into_iter().flatten().filter(|target| host.features.contains(target.features));
    runnable.filter_map(Target::widened).collect()
}

#[test]
fn kernels_compute_what_the_interpreter_computes() {
    let targets = targets();
    for case in cases() {
        let mut expected = case.buffers.clone();
        let limits = RunLimits { statements: 1_000_000 };
        let outcome = interp::run_tasks(&case.kernel, &mut expected, &case.extents, 0..i64::MAX, limits);
        outcome.unwrap_or_else(|error| panic!("{}: {error}", case.kernel.name));
        let buffers: Vec<&[u8]> = case.buffers.iter().map(Vec::as_slice).collect();
        for target in &targets {
            let (results, status) = run_tasks(&case.kernel, target, &buffers, &case.extents, 1);
            assert_eq!(status, 0);
            let all = case.kernel.arguments().zip(results.iter().zip(&expected));
            for ((_, buffer), (result, expected)) in all {
                let what = format!("{} of {} on {}", buffer.name, case.kernel.name, target.cpu);
                assert_elements(buffer.dtype, result, expected, &what);
            }
        }
    }
}

#[test]
fn every_row_is_in_their_code() {
    let mut found: HashSet<Op> = OF_ALLOCATION.into_iter().collect();
    for case in cases() {
        for avx512 in [false, true] {
            let code = isel::select(&case.kernel, Level { avx512, windows: false }).unwrap();
            found.extend(code.insts.iter().filter_map(|inst| match inst.kind {
                Kind::Op(op) => Some(op),
                _ => None,
            }));
        }
    }
    let missing: Vec<&Op> = Op::ALL.iter().filter(|op| !found.contains(op)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
