//! What a run tells beside the contents of buffers; the operations are in `tests/files/kernels`.

use super::{Fault, KernelError, RunLimits, run, run_tasks};
use crate::kernel::text::parse;
use crate::kernel::{BufferId, Kernel};
use cranelift_entity::EntityRef;

const SQUARES: &str =
    "kernel @squares(%x: read i32[N], %y: write i32[2*N], %s: scratch i32[1]) extents(N in 0..=8) {
  parallel for i in 0..N {
    x: i32 = load %x[i]
    y = mul x, x
    store y, %s[0]
    z: i32 = load %s[0]
    store z, %y[i] 
    even = and i, 1
    t = eq even, 0
    if t {
      j = add i, N
      store x, %y[j]
    }
  }
}";

fn kernel(text: &str) -> Kernel {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn tasks_are_told_apart() {
    let mut buffers = [bytes(&[3, -4, 5]), bytes(&[7; 6])];
    let outcome = run(&kernel(SQUARES), &mut buffers, &[3]).unwrap();
    assert_eq!(buffers[1], bytes(&[9, 16, 25, 3, 7, 5]));
    assert_eq!((outcome.status, outcome.tasks), (0, 3));
    assert_eq!(outcome.writers(BufferId::new(1)), [1, 2, 3, 1, 0, 3]);
    assert_eq!(outcome.first_unwritten(BufferId::new(1)), Some(4));
    assert_eq!(outcome.first_unwritten(BufferId::new(0)), None);
    assert_eq!(outcome.writers(BufferId::new(2)), [0u32; 0], "scratch is no argument");
}

#[test]
fn some_tasks_run() {
    let mut buffers = [bytes(&[3, -4, 5]), bytes(&[7; 6])];
    let outcome = run_tasks(&kernel(SQUARES), &mut buffers, &[3], 1..2, RunLimits::default()).unwrap();
    assert_eq!(buffers[1], bytes(&[7, 16, 7, 7, 7, 7]));
    assert_eq!((outcome.tasks, outcome.writers(BufferId::new(1))), (3, &[0, 2, 0, 0, 0, 0][..]));
    let none = run_tasks(&kernel(SQUARES), &mut buffers, &[3], 3..9, RunLimits::default()).unwrap();
    assert_eq!((none.tasks, none.first_unwritten(BufferId::new(1))), (3, Some(0)));
}

#[test]
fn a_kernel_without_tasks_is_task_0() {
    let single = kernel("kernel @k(%y: write i64[1]) {\n  store 5, %y[0]\n}");
    let mut buffers = [vec![0; 8]];
    let outcome = run_tasks(&single, &mut buffers, &[], 1..5, RunLimits::default()).unwrap();
    assert_eq!((buffers[0][0], outcome.tasks), (0, 1));
    run_tasks(&single, &mut buffers, &[], 0..1, RunLimits::default()).unwrap();
    assert_eq!(buffers[0][0], 5);
}

#[test]
fn arguments_have_their_form() {
    let kernel = kernel(SQUARES);
    let message = |buffers: &[Vec<u8>], extents: &[i64]| {
        run(&kernel, &mut buffers.to_vec(), extents).map(|_| ()).unwrap_err().to_string()
    };
    let (x, y) = (bytes(&[1, 2]), bytes(&[0; 4]));
    assert_eq!(message(std::slice::from_ref(&x), &[2]), "the kernel has 2 arguments, not 1");
    assert_eq!(message(&[x.clone(), y.clone()], &[]), "the kernel has 1 run-time extents, not 0");
    assert_eq!(message(&[x.clone(), y.clone()], &[9]), "the extent `N` is 9, outside of 0..=8");
    assert_eq!(message(&[x.clone(), x], &[2]), "`y` has 8 bytes instead of those of 4 elements of i32");
}

#[test]
fn invalid_kernels_do_not_run() {
    let mut invalid = kernel(SQUARES);
    invalid.body.yields.push(invalid.extents[0].1);
    let error = run(&invalid, &mut [Vec::new(), Vec::new()], &[0]).unwrap_err();
    assert!(matches!(error, KernelError::Invalid(_)), "{error}");
}

#[test]
fn statements_are_limited() {
    let endless = kernel(
        "kernel @k(%y: write i64[1]) {
  n = for i in 0..9223372036854775807 carry a = 0 {
    b = add a, i
    yield b
  }
  store n, %y[0]
}",
    );
    let limits = RunLimits { statements: 1000 };
    let error = run_tasks(&endless, &mut [vec![0; 8]], &[], 0..1, limits).unwrap_err();
    match error {
        KernelError::Fault(report) => assert_eq!(report.fault, Fault::Limit),
        other => panic!("{other}"),
    }
}

#[test]
fn faults_name_their_statement() {
    let kernel = kernel(
        "kernel @k(%at: read i64[1], %y: write i64[4]) {
  for i in 0..2 {
    at: i64 = load %at[0]
    to = add at, i
    store to, %y[to]
  }
}",
    );
    let error = run(&kernel, &mut [3i64.to_le_bytes().to_vec(), vec![0; 32]], &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(".body.2: `store v"), "{text}");
    assert!(text.ends_with("element 4 of `y`, which has 4"), "{text}");
}
