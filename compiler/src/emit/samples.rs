//! Small programs for tests.

use crate::kernel::{Access, Binary, Compare, Kernel, KernelBuilder, Spread, Type};
use crate::program::{Cost, Launch, Place, Port, Program, Slot, Step, WeightsPart, WeightsSource};
use graven_ir::{DType, Dim, Symbol, Tensor, TensorType};

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn port(name: &str, dtype: DType, shape: &[Dim]) -> Port {
    Port { name: name.into(), ty: TensorType::new(dtype, shape.iter().cloned()) }
}

/// `z[i] = x[i] op y[i mod 4]` for `count` elements, a task per four.
fn combine(name: &str, op: Binary, count: &Dim) -> Kernel {
    let mut builder = KernelBuilder::new(name);
    let x = builder.buffer("x", DType::F32, count.clone(), Access::Read);
    let y = builder.buffer("y", DType::F32, 4i64, Access::Read);
    let z = builder.buffer("z", DType::F32, count.clone(), Access::Write);
    let ty = Type::vector(DType::F32, 4);
    builder.parallel_for(&count.floor_div(&Dim::from(4i64)), |b, i| {
        let place = i * 4;
        let left = b.load(x, &place, ty, Spread::Contiguous, None);
        let right = b.load(y, &Dim::ZERO, ty, Spread::Contiguous, None);
        let value = b.binary(op, left, right);
        b.store(value, z, &place, Spread::Contiguous, None);
    });
    builder.finish()
}

/// How many rows the sample takes.
pub const ROWS: std::ops::RangeInclusive<i64> = 1..=64;

/// `out[N, 4] = max(in[N, 4] · scale[4], total[4])`, and then `total += scale`; `twice[2·N]` is untouched memory whose extent is computed. With
/// `cost`, the launches of the first two kernels are worth a split.
pub fn affine(cost: u64) -> Program {
    let rows = Symbol::new("N", *ROWS.start(), *ROWS.end());
    let count = Dim::from(&rows) * 4;
    let mut program = Program { name: "affine".into(), ..Program::default() };
    program.inputs = vec![port("in", DType::F32, &[Dim::from(&rows), Dim::from(4i64)])];
    program.outputs = vec![
        port("out", DType::F32, &[Dim::from(&rows), Dim::from(4i64)]),
        port("twice", DType::F32, &[Dim::from(&rows) * 2]),
    ];
    program.states = vec![port("total", DType::F32, &[Dim::from(4i64)])];
    let scale = program.kernels.push(combine("scale", Binary::Mul, &count));
    let limit = program.kernels.push(combine("limit", Binary::Max, &count));
    let add = program.kernels.push(combine("add", Binary::Add, &Dim::from(4i64)));
    let mut slot = |place, elements: &Dim| {
        program.slots.push(Slot { place, dtype: DType::F32, elements: elements.clone() })
    };
    let four = Dim::from(4i64);
    let input = slot(Place::Input(0), &count);
    let output = slot(Place::Output(0), &count);
    let total = slot(Place::State(0), &four);
    let weights = slot(Place::Weights { offset: 64 }, &four);
    let product = slot(Place::Arena { offset: 0 }, &count);
    let limited = slot(Place::Arena { offset: 1024 }, &count);
    let launch = |kernel, arguments: &[_], extents: &[Dim], flops| {
        let cost = Cost { flops, bytes: 0 };
        Step::Launch(Launch {
            kernel,
            arguments: arguments.into(),
            extents: extents.into(),
            cost,
            origin: None,
        })
    };
    let extents = [Dim::from(&rows)];
    program.steps = vec![
        launch(scale, &[input, weights, product], &extents, cost),
        launch(limit, &[product, total, limited], &extents, cost),
        Step::Copy { from: limited, to: output },
        launch(add, &[total, weights, total], &[], 0),
    ];
    program.symbols = vec![rows];
    program.arena_bytes = 2048;
    let scale = Tensor::from_f32s(vec![4], &[1.0, 2.0, -1.0, 0.5]).unwrap();
    program.weights = vec![WeightsPart { offset: 64, source: WeightsSource::Plain(scale) }];
    program.weights_bytes = 80;
    program
}

/// What [`affine`] gives for `rows` rows that count up from 0, with an initial state of zero, after `runs` runs.
pub fn affine_expected(rows: usize, runs: usize) -> Vec<f32> {
    let scale = [1.0, 2.0, -1.0, 0.5];
    let total = |column: usize| (1..runs).fold(0.0, |sum, _| sum + scale[column]);
    let larger = |x: f32, y: f32| if x > y { x } else { y };
    (0..rows * 4).map(|i| larger(i as f32 * scale[i % 4], total(i % 4))).collect()
}

/// Reports an index error if an element of its input is not below 10.
pub fn checked() -> Program {
    let mut builder = KernelBuilder::new("check");
    let x = builder.buffer("x", DType::I64, 3i64, Access::Read);
    let y = builder.buffer("y", DType::I64, 3i64, Access::Write);
    builder.for_each((&Dim::ZERO, &Dim::from(3i64), 1), &[], |b, i, _| {
        let value = b.load(x, i, Type::INDEX, Spread::Contiguous, None);
        let limit = b.int(10, Type::INDEX);
        let inside = b.compare(Compare::Lt, value, limit);
        b.check(inside, 2);
        b.store(value, y, i, Spread::Contiguous, None);
        Vec::new()
    });
    let mut program = Program { name: "checked".into(), ..Program::default() };
    program.inputs = vec![port("x", DType::I64, &[Dim::from(3i64)])];
    program.outputs = vec![port("y", DType::I64, &[Dim::from(3i64)])];
    let kernel = program.kernels.push(builder.finish());
    let slots = [Place::Input(0), Place::Output(0)];
    let slots =
        slots.map(|place| program.slots.push(Slot { place, dtype: DType::I64, elements: 3i64.into() }));
    let cost = Cost::default();
    program.steps =
        vec![Step::Launch(Launch { kernel, arguments: slots.into(), extents: vec![], cost, origin: None })];
    program
}
