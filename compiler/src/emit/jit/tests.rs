//! Programs run through their entry functions, by sessions and by callers of our own.

use super::*;
use crate::emit::samples::{ROWS, affine, affine_expected, checked, floats};
use crate::target::Target;
use graven_ir::DType;
use graven_runtime::abi::{self, RunError};
use std::ffi::c_void;
use std::ptr;

fn compile(program: &crate::program::Program) -> CompiledModel {
    CompiledModel::new(program, &Target::host().unwrap(), JitOptions::default()).unwrap()
}

/// `f32`s as bytes that are aligned as such.
fn bytes(values: &[f32]) -> &[u8] {
    bytemuck::cast_slice(values)
}

fn counting(rows: usize) -> Vec<f32> {
    (0..rows * 4).map(|i| i as f32).collect()
}

#[test]
fn models_are_shared_between_threads() {
    fn is<T: Send + Sync>() {}
    fn moves<T: Send>() {}
    is::<CompiledModel>();
    moves::<Session>();
}

#[test]
fn a_session_runs_and_keeps_state() {
    for (workers, cost) in [(1, 0), (1, 1 << 40), (3, 0), (3, 1 << 40)] {
        let model = compile(&affine(cost));
        let mut session = Session::new(&model, workers).unwrap();
        for (run, rows) in [5usize, 64, 1].into_iter().enumerate() {
            let x = counting(rows);
            let (mut out, mut twice) = (vec![9f32; rows * 4], vec![7f32; rows * 2]);
            let input = TensorView::new(DType::F32, &[0, 4], &[]).unwrap();
            assert!(matches!(session.run(&[input], &mut []), Err(SessionError::Bounds { .. })));
            let shape = [rows, 4];
            let input = TensorView::new(DType::F32, &shape, bytes(&x)).unwrap();
            let length = [rows * 2];
            let mut outputs = [
                TensorViewMut::new(DType::F32, &shape, bytemuck::cast_slice_mut(&mut out)).unwrap(),
                TensorViewMut::new(DType::F32, &length, bytemuck::cast_slice_mut(&mut twice)).unwrap(),
            ];
            session.run(&[input], &mut outputs).unwrap();
            assert_eq!(out, affine_expected(rows, run + 1), "{workers} workers, cost {cost}, {rows} rows");
            assert_eq!(twice, vec![7.0; rows * 2]);
            assert_eq!(model.output_shapes(&[&[rows, 4]]).unwrap(), [vec![rows, 4], vec![rows * 2]]);
        }
        let state: &[u8] = session.state(0).unwrap();
        assert_eq!(state[..16], floats(&[3.0, 6.0, -3.0, 1.5]));
    }
}

#[test]
fn profiles_compute_the_same() {
    let model = compile(&affine(1 << 40));
    let mut session = Session::new(&model, 2).unwrap();
    let (x, mut out, mut twice) = (counting(6), vec![0f32; 24], vec![0f32; 12]);
    let input = TensorView::new(DType::F32, &[6, 4], bytes(&x)).unwrap();
    let mut outputs = [
        TensorViewMut::new(DType::F32, &[6, 4], bytemuck::cast_slice_mut(&mut out)).unwrap(),
        TensorViewMut::new(DType::F32, &[12], bytemuck::cast_slice_mut(&mut twice)).unwrap(),
    ];
    let times = session.profile(&[input], &mut outputs).unwrap();
    assert_eq!(times.len(), 4);
    let names: Vec<_> = session.steps().iter().map(|step| step.kernel.as_str()).collect();
    assert_eq!(names, ["scale", "limit", "copy", "add"]);
    assert_eq!(out, affine_expected(6, 1));
}

#[test]
fn wrong_tensors_are_refused() {
    let model = compile(&affine(0));
    let mut session = Session::new(&model, 1).unwrap();
    let values = vec![0f32; 20];
    let view = |dtype, shape| TensorView::new(dtype, shape, bytes(&values)).unwrap();
    let mut error = |inputs: &[TensorView<'_>]| session.run(inputs, &mut []).unwrap_err();
    assert!(matches!(error(&[]), SessionError::Count { given: 0, expected: 1, .. }));
    assert!(matches!(error(&[view(DType::F32, &[5, 2, 2])]), SessionError::Shape { .. }));
    assert!(matches!(error(&[view(DType::F32, &[4, 5])]), SessionError::Shape { .. }));
    assert!(matches!(error(&[view(DType::F32, &[5, 4])]), SessionError::Count { what: "outputs", .. }));
    let ints = view(DType::I32, &[5, 4]);
    let mut out = [0u8; 80];
    let mut twice = [0u8; 40];
    let mut run = |inputs: &[TensorView<'_>], rows: usize| {
        let (shape, length) = ([rows, 4], [rows * 2]);
        let mut outputs = [
            TensorViewMut::new(DType::F32, &shape, aligned(&mut out, rows * 16)).unwrap(),
            TensorViewMut::new(DType::F32, &length, aligned(&mut twice, rows * 8)).unwrap(),
        ];
        session.run(inputs, &mut outputs)
    };
    assert!(matches!(run(&[ints], 4).unwrap_err(), SessionError::DType { expected: DType::F32, .. }));
    assert!(matches!(
        run(&[view(DType::F32, &[5, 4])], 4).unwrap_err(),
        SessionError::Shape { what: "output", .. }
    ));
    let bytes = [0u8; 17];
    let start = bytes.as_ptr().align_offset(4) + 1;
    assert!(matches!(
        TensorView::new(DType::F32, &[3], &bytes[start..][..12]),
        Err(SessionError::Alignment { .. })
    ));
    assert!(matches!(TensorView::new(DType::F32, &[3], &bytes), Err(SessionError::Size { bytes: 17, .. })));
}

/// The first `length` bytes, at an address that is a multiple of 4.
fn aligned(memory: &mut [u8], length: usize) -> &mut [u8] {
    let start = memory.as_ptr().align_offset(4);
    let end = (start + length).min(memory.len());
    let length = (end - start) / 8 * 8;
    assert!(length > 0);
    &mut memory[start..start + length]
}

#[test]
fn data_errors_are_reported() {
    let model = compile(&checked());
    let mut session = Session::new(&model, 1).unwrap();
    let mut run = |x: [i64; 3]| {
        let mut y = [0i64; 3];
        let input = TensorView::new(DType::I64, &[3], bytemuck::cast_slice(&x)).unwrap();
        let output = TensorViewMut::new(DType::I64, &[3], bytemuck::cast_slice_mut(&mut y)).unwrap();
        session.run(&[input], &mut [output])
    };
    assert_eq!(run([1, 2, 9]), Ok(()));
    assert_eq!(run([1, 20, 9]), Err(SessionError::Run(RunError::IndexOutOfRange)));
    assert_eq!(run([1, 2, 3]), Ok(()));
}

/// What the fake `parallel_for` below was asked to do.
#[derive(Default)]
struct Dispatches {
    counts: Vec<i64>,
    workers: i64,
}

/// Runs tasks backwards, each on another worker.
unsafe extern "C" fn backwards(context: *mut c_void, task: abi::Task, argument: *mut c_void, count: i64) {
    // SAFETY: the context is that of the test below.
    let dispatches = unsafe { &mut *context.cast::<Dispatches>() };
    dispatches.counts.push(count);
    for index in (0..count).rev() {
        // SAFETY: the caller's promise.
        unsafe { task(argument, index, index % dispatches.workers) };
    }
}

/// Calls the run function of [`affine`].
fn call(model: &CompiledModel, rows: i64, x: &[f32], exec: *const abi::Exec) -> (i32, Vec<f32>) {
    let mut out = vec![0f32; x.len()];
    let (mut twice, mut total) = (vec![0f32; 128], [0f32; 4]);
    let io = [x.as_ptr().cast_mut().cast(), out.as_mut_ptr().cast(), twice.as_mut_ptr().cast::<c_void>()];
    let state = [total.as_mut_ptr().cast::<c_void>()];
    let mut dims = [rows];
    let arena = graven_runtime::arena::Arena::new(model.arena_bytes(8) as usize).unwrap();
    // SAFETY: the arrays are of the sizes that the model needs for `rows` rows, which the run function checks.
    let code =
        unsafe { (model.0.run)(io.as_ptr(), state.as_ptr(), dims.as_mut_ptr(), arena.as_ptr().cast(), exec) };
    (code, out)
}

fn exec(model: &CompiledModel, workers: u32, context: *mut c_void) -> abi::Exec {
    abi::Exec {
        abi_version: abi::ABI_VERSION,
        workers,
        context,
        parallel_for: Some(backwards),
        weights: model.0.weights.as_ptr().cast_const().cast(),
        custom_calls: ptr::null(),
        custom_call_count: 0,
    }
}

#[test]
fn launches_that_are_worth_it_are_split() {
    let x = counting(64);
    for (cost, workers, expected) in
        [(1 << 40, 1, vec![]), (0, 4, vec![]), (1 << 40, 4, vec![16, 16]), (1 << 40, 3, vec![12, 12])]
    {
        let model = compile(&affine(cost));
        let mut dispatches = Dispatches { workers: workers.into(), ..Dispatches::default() };
        let exec = exec(&model, workers, (&raw mut dispatches).cast());
        assert_eq!(call(&model, 64, &x, &exec), (0, affine_expected(64, 1)));
        assert_eq!(dispatches.counts, expected, "cost {cost}, {workers} workers");
    }
}

#[test]
fn what_the_caller_gets_wrong_is_reported() {
    let model = compile(&affine(0));
    let x = counting(64);
    let good = exec(&model, 1, ptr::null_mut());
    let code = |rows, exec: &abi::Exec| call(&model, rows, &x, exec).0;
    assert_eq!(code(64, &good), 0);
    assert_eq!(code(*ROWS.start() - 1, &good), RunError::DimOutOfRange as i32);
    assert_eq!(code(*ROWS.end() + 1, &good), RunError::DimOutOfRange as i32);
    assert_eq!(code(i64::MIN, &good), RunError::DimOutOfRange as i32);
    assert_eq!(
        code(64, &abi::Exec { abi_version: abi::ABI_VERSION + 1, ..good }),
        RunError::AbiVersion as i32
    );
    assert_eq!(code(64, &abi::Exec { weights: ptr::null(), ..good }), RunError::NoWeights as i32);
    assert_eq!(call(&model, 64, &x, ptr::null()).0, RunError::NoWeights as i32);
}

/// `m_check_cpu` of a model for a CPU, called on this one.
#[cfg(target_arch = "x86_64")]
fn check_cpu(cpu: &str) -> (Target, i32) {
    use super::code::Code;
    use crate::codegen::cranelift::entry::{self, EntryNames};
    let host = Target::host().unwrap();
    let target = Target::new(&host.triple.to_string(), Some(cpu)).unwrap();
    let mut code = Code::new(crate::codegen::cranelift::isa::for_jit(&host).unwrap());
    let names = EntryNames { prefix: "m", exported: false };
    let program = crate::program::Program::default();
    let functions = entry::define(code.module(), &program, &target, &[], &names, None).unwrap();
    code.finish().unwrap();
    // SAFETY: the address is that of a finished function with this signature.
    let check = unsafe { std::mem::transmute::<*const u8, abi::CheckCpu>(code.address(functions.check_cpu)) };
    // SAFETY: the function has no preconditions.
    (target, unsafe { check() })
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_cpu_check_agrees_with_detection() {
    let host = Target::host().unwrap();
    let cpus = [
        "x86-64",
        "x86-64-v2",
        "ivybridge",
        "x86-64-v3",
        "x86-64-v4",
        "icelake-server",
        "znver5",
        "alderlake",
        "native",
    ];
    for cpu in cpus {
        let (target, code) = check_cpu(cpu);
        assert_eq!(code == 0, host.features.contains(target.features), "{cpu}: {}", target.features);
    }
}

#[test]
fn the_code_of_another_machine_is_refused() {
    let target = Target::new("s390x-unknown-linux-gnu", None).unwrap();
    let result = CompiledModel::new(&affine(0), &target, JitOptions::default());
    assert!(matches!(result, Err(JitError::OtherMachine { .. })));
}
