//! Random graphs: code of both backends gives what the interpreter gives, and the same bits with one worker and with three.

use graven_ir::verify::verify;
use graven_tests::choices::{Choices, cases};
use graven_tests::executor::{Executor, Interpreter, Jit, Wide};
use graven_tests::random_graph::{compare, random_case};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;

/// Graphs that are tried.
const CASES: u32 = 60;

fn check(numbers: Vec<u32>) -> Result<(), TestCaseError> {
    let case = random_case(&mut Choices::new(numbers));
    let fail = |message: String| TestCaseError::fail(format!("{message}\n{}", case.module));
    verify(&case.module).map_err(|errors| fail(format!("{errors:?}")))?;
    let expected = Interpreter.run(&case.module, &case.inputs).map_err(fail)?;
    for executor in [&Jit as &dyn Executor, &Wide] {
        let found = executor.run(&case.module, &case.inputs).map_err(fail)?;
        let outputs = expected.iter().zip(&found).zip(&case.exactness).enumerate();
        for (output, ((expected, found), exactness)) in outputs {
            compare(*exactness, expected, found)
                .map_err(|message| fail(format!("{}: output {output} {message}", executor.name())))?;
        }
    }
    Ok(())
}

#[test]
fn interpreted_and_compiled_graphs_agree() {
    let config =
        Config { cases: cases(CASES), failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let numbers = proptest::collection::vec(any::<u32>(), 10..160);
    runner.run(&numbers, check).unwrap_or_else(|error| panic!("{error}"));
}

/// The generator must reach what schedules are made for.
#[test]
fn random_graphs_have_all_kinds_of_ops() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..300u32 {
        let numbers =
            (0..140u32).map(|n| (n + 1).wrapping_mul(0x9e37_79b9 ^ (seed << 9)).rotate_left(n + seed));
        let case = random_case(&mut Choices::new(numbers.collect()));
        for (_, node) in case.module.functions[0].graph.nodes() {
            *counts.entry(node.op.name()).or_default() += 1;
        }
    }
    let wanted = [
        "add",
        "broadcast",
        "cast",
        "concat",
        "conv",
        "cumulative",
        "dot_general",
        "dynamic_slice",
        "dynamic_update_slice",
        "exp",
        "gather",
        "gather_elements",
        "layer_norm",
        "le",
        "pad",
        "reduce",
        "reduce_window",
        "reshape",
        "reverse",
        "scatter_elements",
        "select",
        "slice",
        "softmax",
        "sort",
        "top_k",
        "transpose",
    ];
    let rare: Vec<_> = wanted.iter().filter(|name| counts.get(*name).copied().unwrap_or(0) < 3).collect();
    assert!(rare.is_empty(), "{rare:?} of {counts:?}");
}
