//! Random kernels: the interpreter and the code generator leave the same bits, with one and several tasks, on every CPU level of the host.

mod generate;

use generate::{INPUT_ELEMENTS, random_kernel};
use graven::kernel::text::parse;
use graven::kernel::{Access, VerifyLimits, verify};
use graven_ir::element::{encode_float, encode_int};
use graven_ir::{DType, DTypeClass};
use graven_tests::choices::{Choices, cases};
use graven_tests::kernel::{argument_sizes, run_everywhere};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Kernels that are tried.
const CASES: u32 = 64;

/// Elements of all magnitudes, special ones among them.
fn contents(dtype: DType, elements: usize, choices: &mut Choices) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(elements * dtype.bytes());
    for _ in 0..elements {
        let number = choices.number();
        let small = f64::from(number % 64) / 4.0 - 8.0;
        match (dtype.class(), number >> 28) {
            (DTypeClass::Float, 0) => bytes.extend(encode_float(dtype, f64::INFINITY)),
            (DTypeClass::Float, 1) => bytes.extend(encode_float(dtype, -0.0)),
            (DTypeClass::Float, 2) => bytes.extend(encode_float(dtype, f64::NAN)),
            (DTypeClass::Float, 3) => bytes.extend(encode_float(dtype, small * 1e9)),
            (DTypeClass::Float, 4) => bytes.extend(encode_float(dtype, small * 1e-41)),
            (DTypeClass::Float, _) => bytes.extend(encode_float(dtype, small)),
            (_, 0..8) => bytes.extend(encode_int(dtype, i128::from(number % 16) - 8)),
            _ => bytes.extend(encode_int(dtype, i128::from(number) * 0x9e37_79b9_7f4a_7c15)),
        }
    }
    bytes
}

fn check(numbers: Vec<u32>) -> Result<(), TestCaseError> {
    let mut choices = Choices::new(numbers);
    let kernel = random_kernel(&mut choices);
    let fail = |message: String| TestCaseError::fail(format!("{message}\n{kernel}"));
    verify(&kernel, &VerifyLimits::NONE).map_err(|errors| fail(format!("{errors:?}")))?;
    let again = parse(&kernel.to_string()).map_err(|errors| fail(errors.to_string()))?;
    prop_assert!(again == kernel, "the text gives another kernel\n{}\n{}", kernel, again);
    let extents: Vec<i64> = kernel.extents.iter().map(|(symbol, _)| symbol.upper()).collect();
    let sizes = argument_sizes(&kernel, &extents).map_err(fail)?;
    // The same contents for the same numbers, however many of them the kernel has taken.
    let mut seed = Choices::new(
        (0..INPUT_ELEMENTS as u32 * 40)
            .map(|n| n.wrapping_add(1).wrapping_mul(0x9e37_79b9).rotate_left(n % 32))
            .collect(),
    );
    let arguments = kernel.buffers.values().filter(|buffer| buffer.access != Access::Scratch);
    let buffers: Vec<Vec<u8>> = arguments
        .zip(&sizes)
        .map(|(buffer, size)| contents(buffer.dtype, size / buffer.dtype.bytes(), &mut seed))
        .collect();
    run_everywhere(&kernel, &buffers, &extents).map(|_| ()).map_err(fail)
}

#[test]
fn interpreted_and_compiled_kernels_agree() {
    let config =
        Config { cases: cases(CASES), failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let numbers = proptest::collection::vec(any::<u32>(), 20..300);
    runner.run(&numbers, check).unwrap_or_else(|error| panic!("{error}"));
}
