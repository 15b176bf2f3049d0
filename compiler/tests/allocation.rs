//! Running a session allocates nothing.

use graven::api;
use graven::emit::jit::{CompiledModel, JitOptions, Session, TensorView, TensorViewMut};
use graven::kernel::{Access, KernelBuilder, Spread, Type};
use graven::program::{Cost, Launch, Place, Port, Program, Slot, Step};
use graven::target::Target;
use graven_ir::{DType, Dim, Symbol, TensorType};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts allocations of all threads.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `y = x + x` for any number of elements up to 4096, worth a split.
fn twice() -> Program {
    let count = Symbol::new("N", 1, 4096);
    let elements = Dim::from(&count);
    let mut builder = KernelBuilder::new("twice");
    let x = builder.buffer("x", DType::F32, elements.clone(), Access::Read);
    let y = builder.buffer("y", DType::F32, elements.clone(), Access::Write);
    builder.parallel_for(&elements, |b, i| {
        let value = b.load(x, i, Type::scalar(DType::F32), Spread::Contiguous, None);
        let sum = b.add(value, value);
        b.store(sum, y, i, Spread::Contiguous, None);
    });
    let mut program = Program { name: "twice".into(), symbols: vec![count], ..Program::default() };
    let port = |name: &str| Port { name: name.into(), ty: TensorType::new(DType::F32, [elements.clone()]) };
    (program.inputs, program.outputs) = (vec![port("x")], vec![port("y")]);
    let kernel = program.kernels.push(builder.finish());
    let slots = [Place::Input(0), Place::Output(0)];
    let slots =
        slots.map(|place| program.slots.push(Slot { place, dtype: DType::F32, elements: elements.clone() }));
    let cost = Cost { flops: 1 << 40, bytes: 0 };
    let launch = Launch { kernel, arguments: slots.into(), extents: vec![elements], cost, origin: None };
    program.steps = vec![Step::Launch(launch)];
    program
}

#[test]
fn runs_allocate_nothing() {
    // One after the other: all threads are counted.
    a_run_of_a_program();
    a_run_of_a_model();
}

/// The library's interface, for a model of the repository and one whose extents come from the inputs.
fn a_run_of_a_model() {
    let options = || api::Options { threads: Some(2), ..api::Options::default() };
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/digits.onnx");
    let digits = api::Compiler::new(options()).load(digits).unwrap();
    let text = "dim N in 1..=8\n\nfunc @main(%image: f32[N, 784]) -> (y: f32[N, 784]) {\n  %1 = tanh %image : f32[N, 784]\n  return %1\n}\n";
    let tanh = api::Compiler::new(options()).module(graven_ir::text::parse(text).unwrap());
    for (loaded, inputs, outputs) in [
        (digits, &[[1, 1, 28, 28].as_slice()][..], vec![1, 10]),
        (tanh, &[&[2, 784], &[5, 784]], vec![0, 784]),
    ] {
        let mut session = loaded.jit().unwrap().session().unwrap();
        for shape in inputs {
            session.prepare(&[("image".to_string(), shape.to_vec())].into()).unwrap();
            let x = vec![0.5f32; shape.iter().product()];
            let mut output_shape = outputs.clone();
            output_shape[0] = shape[0];
            let mut y = vec![0f32; output_shape.iter().product()];
            for _ in 0..3 {
                let input = api::TensorView::f32(shape, &x).unwrap();
                let mut output = [api::TensorViewMut::f32(&output_shape, &mut y).unwrap()];
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                session.run(&[input], &mut output).unwrap();
                assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{shape:?}");
            }
            assert!(y.iter().all(|y| *y > 0.0));
        }
    }
}

fn a_run_of_a_program() {
    let target = Target::host().unwrap();
    let model = CompiledModel::new(&twice(), &target, JitOptions::default()).unwrap();
    let mut session = Session::new(&model, 2).unwrap();
    let x: Vec<f32> = (0..4096).map(|i| i as f32).collect();
    let mut y = vec![0f32; 4096];
    let mut during = 0;
    for length in [4096, 1, 100] {
        let shape = [length];
        let input = TensorView::new(DType::F32, &shape, bytemuck::cast_slice(&x[..length])).unwrap();
        let output =
            TensorViewMut::new(DType::F32, &shape, bytemuck::cast_slice_mut(&mut y[..length])).unwrap();
        let mut outputs = [output];
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        session.run(&[input], &mut outputs).unwrap();
        during += ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert!(y[..length].iter().zip(&x).all(|(y, x)| *y == 2.0 * x));
    }
    assert_eq!(during, 0);
}
