//! What `graven compile` writes.

use super::graven::{Ended, graven, graven_in, models};
use graven_ir::Tensor;
use graven_runtime::abi::DType;
use graven_runtime::npz::Writer;
use std::path::Path;
use std::process::Command;

fn compile(folder: &Path, arguments: &str) {
    let ended = graven_in(folder, &format!("compile {{}}/digits.onnx {arguments}"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Ended {
    let path = folder.join(program);
    Command::new(path).args(arguments).current_dir(folder).output().expect("the program starts").into()
}

#[test]
fn executables_give_the_bits_of_the_jit() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = models().join("digits_inputs.npz").display().to_string();
    let jit = graven_in(folder.path(), "run {}/digits.onnx --inputs {}/digits_inputs.npz --outputs jit.npz");
    assert_eq!(jit.code, Some(0), "{}", jit.stderr);
    for weights in ["embed", "file"] {
        compile(folder.path(), &format!("-o digits --weights {weights}"));
        assert_eq!(folder.path().join("digits.weights").exists(), weights == "file");
        let ended = run(folder.path(), "digits", &["--inputs", &inputs, "--outputs", "exe.npz"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, jit.stdout);
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("exe.npz"), read("jit.npz"));
    }
}

#[test]
fn objects_work_in_c_programs() {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path(), "--emit obj -o digits.o");
    let source = models().join("../c/digits.c");
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I."])
        .arg(source)
        .args(["digits.o", "-o", "digits"])
        .current_dir(folder.path())
        .status()
        .expect("a C compiler is installed");
    assert!(status.success());
    let ended = run(folder.path(), "digits", &[]);
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "it is a 1"), "{}", ended.stderr);
}

/// A command that runs a program on a CPU with AVX2, without AVX-512; `None` where there is no such emulator.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn on_haswell(folder: &Path, program: &str) -> Option<Command> {
    let mut version = Command::new("qemu-x86_64");
    version.arg("--version").output().ok().filter(|output| output.status.success())?;
    let mut command = Command::new("qemu-x86_64");
    command.args(["-cpu", "Haswell"]).arg(folder.join(program)).current_dir(folder);
    Some(command)
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn a_cpu_without_the_features_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(mut newer) = on_haswell(folder, "v4") else {
        println!("skipped: there is no qemu-x86_64");
        return;
    };
    let inputs = models().join("digits_inputs.npz");
    compile(folder, "--cpu x86-64-v4 -o v4");
    let ended = Ended::from(newer.arg("--inputs").arg(&inputs).output().unwrap());
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("this CPU lacks features that the model needs: "), "{}", ended.stderr);
    compile(folder, "--cpu x86-64-v4 --emit obj -o digits.o");
    let source = models().join("../c/digits.c");
    let mut link = Command::new("cc");
    link.arg("-I.").arg(source).args(["digits.o", "-o", "object"]).current_dir(folder);
    assert!(link.status().unwrap().success());
    let ended = Ended::from(on_haswell(folder, "object").unwrap().output().unwrap());
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("this CPU lacks features"), "{}", ended.stderr);
}

/// Emulated, code for AVX2 leaves the bits that it leaves here.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn code_for_avx2_runs_without_avx512() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (Some(mut emulated), true) = (on_haswell(folder, "v3"), std::is_x86_feature_detected!("avx2")) else {
        println!("skipped: there is no qemu-x86_64, or no AVX2");
        return;
    };
    compile(folder, "--cpu x86-64-v3 -o v3");
    let inputs = models().join("digits_inputs.npz").display().to_string();
    let ended = run(folder, "v3", &["--inputs", &inputs, "--outputs", "here.npz"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = emulated.args(["--inputs", &inputs, "--outputs", "emulated.npz"]).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(read("here.npz"), read("emulated.npz"));
}

#[test]
fn objects_for_other_targets() {
    let folder = tempfile::tempdir().unwrap();
    for target in ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin"] {
        compile(folder.path(), &format!("--emit obj -o digits.o --target {target}"));
        assert!(folder.path().join("digits.h").exists());
    }
    let foreign =
        graven_in(folder.path(), "compile {}/digits.onnx -o digits --target s390x-unknown-linux-gnu");
    assert_eq!(foreign.code, Some(3), "{}", foreign.stderr);
    assert!(foreign.stderr.contains("--emit obj"), "{}", foreign.stderr);
    assert!(!folder.path().join("digits").exists());
}

#[test]
fn text_runs_like_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = |model: &str| graven_in(folder.path(), &format!("run {model} --inputs {{}}/digits_inputs.npz"));
    let model = run("{}/digits.onnx");
    for file in ["text.gir", "data.json"] {
        compile(folder.path(), &format!("--emit gir -o {file}"));
        assert!(folder.path().join(file).with_extension("safetensors").exists());
        let text = run(file);
        assert_eq!((text.code, &text.stdout), (Some(0), &model.stdout), "{}", text.stderr);
    }
    let again = graven_in(folder.path(), "opt data.json --passes cse -o again.gir");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let info = graven_in(folder.path(), "info data.json");
    assert!(info.stdout.contains("f32[1, 1, 28, 28]"), "{}", info.stdout);
    std::fs::write(folder.path().join("data.json"), "{\"format\": 1}").unwrap();
    let broken = run("data.json");
    assert_eq!(broken.code, Some(2));
    assert!(broken.stderr.starts_with("error: `data.json`: 1:12: "), "{}", broken.stderr);
}

#[test]
fn code_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let list = |kind: &str, more: &str| {
        compile(folder.path(), &format!("--emit {kind} -o digits.txt {more}"));
        std::fs::read_to_string(folder.path().join("digits.txt")).unwrap()
    };
    let kernels = list("kir", "");
    let parsed = graven::kernel::text::parse_with_spans(&kernels).unwrap();
    assert!(parsed.len() > 3 && kernels.contains("from first (Conv)"), "{kernels}");
    for target in ["", "--target aarch64-unknown-linux-gnu"] {
        let count = list("kir", target).matches("\nkernel ").count();
        for kind in ["clif", "asm"] {
            let text = list(kind, target);
            for function in ["; digits_run", "; digits_check_cpu", "; kernel 0 "] {
                assert!(text.contains(function), "{function} in {kind} {target}\n{text}");
            }
            assert_eq!(text.matches("; kernel ").count(), count);
        }
    }
    assert!(list("clif", "").contains("-> i32 system_v"));
    assert!(list("asm", "--target aarch64-unknown-linux-gnu").contains("fmla"));
    let printed = graven("compile {}/digits.onnx --emit kir -o -");
    assert_eq!((printed.code, printed.stdout), (Some(0), kernels));
}

#[test]
fn an_existing_file_survives_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("y.npz"), "precious").unwrap();
    let ended = graven_in(folder.path(), "run {}/digits.onnx --outputs y.npz");
    assert_eq!(ended.code, Some(2));
    assert_eq!(std::fs::read_to_string(folder.path().join("y.npz")).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn help_lists_the_commands() {
    let help = graven("--help");
    assert_eq!(help.code, Some(0));
    for command in ["compile", "run", "check", "bench", "info", "opt", "train"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        let help = graven(&format!("{command} --help"));
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Usage: graven"), "{}", help.stdout);
    }
    assert_eq!(graven("--version").stdout, format!("graven {}\n", env!("CARGO_PKG_VERSION")));
}

/// A scan in which data decide how much of the result is kept.
const LOOPING: &str = "dim N in 0..=6
func @looping(%x: f32[6], %n: i64[]) -> (sums: f32[N], last: f32[]) {
  %zero = constant 0.0 : f32[]
  %last, %all = scan %zero, %x {carried = 1, scanned = 1, length = 6, reverse = false} : f32[], f32[6] body (%s: f32[], %v: f32[]) {
    %t = add %s, %v : f32[]
    yield %t, %t
  }
  %sums = bind_extent %n, %all {symbol = N, axes = [0]} : f32[N]
  return %sums, %last
}
";

#[test]
fn loops_and_extents_that_data_decide() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("looping.gir"), LOOPING).unwrap();
    let x = Tensor::from_f32s(vec![6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let ended = graven_in(folder, "compile looping.gir -o looping");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (count, code) in [(4i64, 0), (0, 0), (6, 0), (7, 2), (-1, 2)] {
        let mut inputs = Writer::new(Vec::new());
        inputs.add("x", DType::F32, &[6], x.data()).unwrap();
        inputs.add("n", DType::I64, &[], &count.to_le_bytes()).unwrap();
        std::fs::write(folder.join("inputs.npz"), inputs.finish().unwrap()).unwrap();
        let arguments = ["--inputs", "inputs.npz", "--outputs", "exe.npz"];
        let executable = run(folder, "looping", &arguments);
        assert_eq!(executable.code, Some(code), "{count}: {}", executable.stderr);
        for backend in ["auto", "interp"] {
            let inputs = "--inputs inputs.npz --outputs run.npz";
            let ended = graven_in(folder, &format!("run looping.gir --backend {backend} {inputs}"));
            assert_eq!(ended.code, Some(code), "{count}: {}", ended.stderr);
            if code == 0 {
                let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
                assert_eq!(read("exe.npz"), read("run.npz"), "{count} {backend}");
                assert_eq!(executable.stdout, ended.stdout);
            }
        }
    }
    let ended = graven_in(folder, "compile looping.gir --emit obj -o looping.o");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let header = std::fs::read_to_string(folder.join("looping.h")).unwrap();
    assert!(header.contains("/* \"N\", from 0 to 6, set by the run */"), "{header}");
    let symbols = Command::new("nm").arg("-u").arg(folder.join("looping.o")).output().expect("nm");
    assert_eq!(String::from_utf8_lossy(&symbols.stdout).trim(), "");
}
