//! Objects of random graphs: on the host they leave the same bits as code in this process; emulated ones give what the interpreter gives.

use graven::api::Backend;
use graven_ir::Tensor;
use graven_tests::choices::Choices;
use graven_tests::cross::{self, AARCH64, HOST, Machine, RISCV64, S390X};
use graven_tests::executor::{Executor, Interpreter, Jit, Wide};
use graven_tests::random_graph::{Case, compare, random_case};
use std::sync::OnceLock;

/// Graphs that are linked into one program.
const COUNT: u32 = 24;

/// Set where a missing tool of AArch64 is a failure.
const REQUIRED: &str = "GRAVEN_REQUIRE_CROSS";

/// Graphs, and what the interpreter gives for them.
fn cases() -> &'static (Vec<Case>, Vec<Vec<Tensor>>) {
    static CASES: OnceLock<(Vec<Case>, Vec<Vec<Tensor>>)> = OnceLock::new();
    CASES.get_or_init(|| {
        let numbers = |seed: u32| {
            (0..120u32)
                .map(|n| (n + 1).wrapping_mul(0x9e37_79b9 ^ (seed << 7)).rotate_left(n + seed))
                .collect()
        };
        let cases: Vec<Case> = (0..COUNT).map(|seed| random_case(&mut Choices::new(numbers(seed)))).collect();
        let run = |case: &Case| {
            Interpreter.run(&case.module, &case.inputs).unwrap_or_else(|error| panic!("{error}"))
        };
        let expected = cases.iter().map(run).collect();
        (cases, expected)
    })
}

#[test]
fn objects_and_code_in_this_process_leave_the_same_bits() {
    let (cases, expected) = cases();
    let backends: [(Backend, &dyn Executor); 2] = [(Backend::Auto, &Wide), (Backend::Cranelift, &Jit)];
    for (backend, executor) in backends {
        let found = cross::run(HOST, backend, cases, expected).unwrap_or_else(|error| panic!("{error}"));
        for (case, found) in cases.iter().zip(&found) {
            let in_process = executor.run(&case.module, &case.inputs);
            let in_process = in_process.unwrap_or_else(|error| panic!("{error}"));
            assert!(in_process == *found, "{backend:?}\n{}\n{in_process:?}\n{found:?}", case.module);
        }
    }
}

fn check(machine: Machine, required: bool) {
    let missing = machine.missing_tools();
    if !missing.is_empty() {
        assert!(!required, "{REQUIRED} is set, and these tools are missing: {missing:?}");
        eprintln!("skipped: {missing:?} are missing");
        return;
    }
    let (cases, expected) = cases();
    let found = cross::run(machine, Backend::Auto, cases, expected).unwrap_or_else(|error| panic!("{error}"));
    for (case, (expected, found)) in cases.iter().zip(expected.iter().zip(&found)) {
        for (n, ((expected, found), exactness)) in expected.iter().zip(found).zip(&case.exactness).enumerate()
        {
            compare(*exactness, expected, found)
                .unwrap_or_else(|error| panic!("output {n} {error}\n{}", case.module));
        }
    }
}

#[test]
fn aarch64_objects_run() {
    check(AARCH64, std::env::var_os(REQUIRED).is_some());
}

#[test]
fn riscv64_objects_run() {
    check(RISCV64, false);
}

#[test]
fn s390x_objects_run() {
    check(S390X, false);
}
