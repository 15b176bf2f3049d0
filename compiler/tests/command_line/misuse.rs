//! Every kind of misuse gets a sentence on standard error and exit code 2 or 3.

use super::graven::{DOUBLE, graven, graven_in, write, write_npz};

const INPUTS: &str = "--inputs {}/digits_inputs.npz";

/// The command must end with this code and say this.
#[track_caller]
fn fails(arguments: &str, code: i32, message: &str) {
    let ended = graven(arguments);
    assert_eq!(ended.code, Some(code), "{arguments}\n{}", ended.stderr);
    assert!(ended.stderr.contains(message), "{arguments}\n{}", ended.stderr);
}

#[test]
fn usage() {
    fails("", 2, "Usage");
    fails("fly", 2, "unrecognized subcommand");
    fails("run --fast {}/digits.onnx", 2, "unexpected argument '--fast'");
    fails("compile {}/digits.onnx", 2, "--output <OUT>");
    fails("run {}/digits.onnx --dim N", 2, "NAME=VALUE");
    fails("run {}/digits.onnx --threads 0", 2, "threads");
    fails("run {}/digits.onnx --threads 1000000", 2, "threads");
    fails("compile {}/digits.onnx -o /dev/null --max-memory lots", 2, "number of bytes");
    fails("compile {}/digits.onnx -o /dev/null --max-seconds 0", 2, "positive");
    fails("opt {}/digits.onnx --passes nonsense", 2, "there is no pass `nonsense`");
}

#[test]
fn models() {
    fails("run missing.onnx --inputs x.npz", 2, "missing.onnx");
    fails("info {}", 2, "is a folder");
    fails("info {}/make_digits.py", 2, "make_digits.py: is no valid ONNX file");
    fails("run {}/digits.onnx --dim N=3 --inputs {}/digits_inputs.npz", 2, "has no extent `N`");
}

#[test]
fn inputs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let model = "run {}/digits.onnx";
    fails(model, 2, "input `image`: is missing");
    fails(&format!("{model} --inputs missing.npz"), 2, "missing.npz");
    fails(&format!("{model} --inputs {{}}/digits.onnx"), 2, "digits.onnx");
    fails(&format!("{model} --input image"), 2, "NAME=FILE");
    write_npz(folder.path(), "wrong.npz", &[("image", &[1, 1, 4, 4], &[0.0; 16])]);
    fails(&format!("{model} --inputs {path}/wrong.npz"), 2, "`image`");
    write_npz(folder.path(), "extra.npz", &[("image", &[1, 1, 28, 28], &[0.0; 784]), ("more", &[1], &[0.0])]);
    fails(&format!("{model} --inputs {path}/extra.npz"), 2, "input `more`");
    // The probabilities are f32 as well, so an npz of integers shows the wrong dtype.
    let mut writer = graven_runtime::npz::Writer::new(Vec::new());
    writer.add("image", graven_runtime::abi::DType::U8, &[1, 1, 28, 28], &[0; 784]).unwrap();
    std::fs::write(folder.path().join("bytes.npz"), writer.finish().unwrap()).unwrap();
    fails(&format!("{model} --inputs {path}/bytes.npz"), 2, "must be f32, not u8");
}

#[test]
fn outputs() {
    fails(&format!("run {{}}/digits.onnx {INPUTS} --outputs /nowhere/y.npz"), 2, "/nowhere/y.npz");
    fails("compile {}/digits.onnx -o /nowhere/model", 2, "/nowhere/model");
    fails("compile {}/digits.onnx --emit gir -o /nowhere/model.gir", 2, "/nowhere");
}

#[test]
fn targets() {
    let compile = "compile {}/digits.onnx -o /dev/null --emit obj";
    fails(&format!("{compile} --cpu pentium"), 2, "`pentium` is no known CPU");
    fails(&format!("{compile} --target nonsense"), 2, "`nonsense` is no target triple");
    fails(&format!("{compile} --target wasm32-unknown-unknown"), 3, "wasm32");
    if cfg!(target_arch = "x86_64") {
        fails(&format!("run {{}}/digits.onnx {INPUTS} --backend wide --cpu nehalem"), 3, "`wide` needs AVX2");
    }
    fails(&format!("{compile} --backend interp"), 3, "`interp` makes no code");
    fails("train {}/digits.onnx --epochs 3", 2, "--train-x");
}

#[test]
fn extents_without_a_value_name_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "double.gir", DOUBLE);
    let shapes = graven_in(folder.path(), "run double.gir --dim M=2 --inputs x.npz");
    assert_eq!(shapes.code, Some(2), "{}", shapes.stderr);
    write_npz(folder.path(), "x.npz", &[("x", &[9, 2], &[0.0; 18])]);
    let large = graven_in(folder.path(), "run double.gir --inputs x.npz");
    assert_eq!(large.code, Some(2), "{}", large.stderr);
    assert!(large.stderr.contains('9') && large.stderr.contains("1..=8"), "{}", large.stderr);
}

#[test]
fn limits() {
    fails(&format!("run {{}}/digits.onnx {INPUTS} --max-memory 1kB"), 2, "--max-memory 1000");
    let enough = graven(&format!("run {{}}/digits.onnx {INPUTS} --max-memory 100MB --max-seconds 60"));
    assert_eq!(enough.code, Some(0), "{}", enough.stderr);
}
