//! What `check`, `bench` and `info` print.

use super::graven::{graven, graven_in, write_npz};
use serde_json::Value;

const CHECK: &str = "check {}/digits.onnx --inputs {}/digits_inputs.npz --expect";

#[test]
fn check_passes_on_every_backend() {
    for backend in ["auto", "cranelift", "interp"] {
        let ended = graven(&format!("{CHECK} {{}}/digits_outputs.npz --backend {backend}"));
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("probabilities: max abs error"), "{}", ended.stdout);
    }
}

#[test]
fn check_names_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &str| graven_in(folder.path(), &format!("{CHECK} {file}"));
    // The image is a seven.
    let mut values = [0.0; 10];
    values[7] = 1.0;
    values[3] = 0.25;
    write_npz(folder.path(), "wrong.npz", &[("probabilities", &[1, 10], &values)]);
    let wrong = check("wrong.npz");
    assert_eq!((wrong.code, &*wrong.stderr), (Some(1), ""));
    assert!(wrong.stdout.contains("worst at [0, 3]: expected 2.5e-1"), "{}", wrong.stdout);
    assert!(wrong.stdout.contains("1 of 10 elements differ"), "{}", wrong.stdout);
    values[3] = f32::NAN;
    write_npz(folder.path(), "nan.npz", &[("probabilities", &[1, 10], &values)]);
    assert_eq!(check("nan.npz").code, Some(1));
    write_npz(folder.path(), "shape.npz", &[("probabilities", &[10], &[0.0; 10])]);
    let shape = check("shape.npz");
    assert_eq!(shape.code, Some(1));
    assert!(shape.stdout.contains("expected f32[10], got f32[1, 10]"), "{}", shape.stdout);
    write_npz(folder.path(), "names.npz", &[("likelihoods", &[1, 10], &[0.0; 10])]);
    let names = check("names.npz");
    assert_eq!(names.code, Some(1));
    assert!(names.stdout.contains("probabilities: not in names.npz"), "{}", names.stdout);
    assert!(names.stdout.contains("likelihoods: expected, but"), "{}", names.stdout);
}

fn json(arguments: &str) -> Value {
    let ended = graven(arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn bench_has_the_documented_fields() {
    let report = json("bench {}/digits.onnx --json --seconds 0.05 --threads 1");
    assert_eq!(report["model"].as_str().map(|path| path.ends_with("digits.onnx")), Some(true));
    assert_eq!(report["threads"].as_u64(), Some(1));
    // The one that `auto` stands for on this machine.
    assert!(matches!(report["backend"].as_str(), Some("wide" | "cranelift")), "{report}");
    for field in ["median_ms", "p95_ms", "gflops", "compile_ms", "code_bytes", "weights_bytes", "arena_bytes"]
    {
        assert!(report[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {report}");
    }
    assert!(report["p95_ms"].as_f64() >= report["median_ms"].as_f64());
}

#[test]
fn a_profile_lists_kernels() {
    let ended = graven("bench {}/digits.onnx --profile --seconds 0.05 --threads 1");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("GFLOP/s") && ended.stdout.contains("first (Conv)"), "{}", ended.stdout);
}

#[test]
fn info_counts_operators_and_arithmetic() {
    let report = json("info {}/digits.onnx --json");
    assert_eq!(report["ops"]["Conv"].as_u64(), Some(2));
    assert_eq!(report["inputs"][0]["name"].as_str(), Some("image"));
    assert_eq!(report["inputs"][0]["shape"], serde_json::json!([1, 1, 28, 28]));
    assert_eq!(report["outputs"][0]["dtype"].as_str(), Some("f32"));
    assert_eq!(report["unsupported"], serde_json::json!([]));
    // Weights and biases of the layers, and the scale of the pixels.
    assert_eq!(report["params"].as_u64(), Some(6 * 25 + 6 + 12 * 6 * 25 + 12 + 10 * 192 + 10 + 1));
    let macs = 6 * 12 * 12 * 25 + 12 * 4 * 4 * 6 * 25 + 10 * 192;
    assert_eq!(report["flops"].as_u64(), Some(2 * macs));
}
