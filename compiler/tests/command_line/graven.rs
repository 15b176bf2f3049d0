//! Starting `graven`, and files for it.

use graven_ir::Tensor;
use graven_runtime::abi::DType;
use graven_runtime::npz::Writer;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a command printed and how it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs `graven` with arguments that are separated by spaces; `{}` stands for the folder of models of the repository.
pub fn graven(arguments: &str) -> Ended {
    graven_in(Path::new("."), arguments)
}

/// The same in a folder.
pub fn graven_in(folder: &Path, arguments: &str) -> Ended {
    let models = models().display().to_string();
    let words = arguments.split_whitespace().map(|word| word.replace("{}", &models));
    let mut command = Command::new(env!("CARGO_BIN_EXE_graven"));
    command.args(words).current_dir(folder).output().expect("graven starts").into()
}

/// The models of the repository.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/models")
        .canonicalize()
        .expect("the models are there")
}

/// A file in a folder with this text.
pub fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("the folder is writable");
}

/// An npz file of `f32` arrays.
pub fn write_npz(folder: &Path, name: &str, arrays: &[(&str, &[i64], &[f32])]) {
    let mut writer = Writer::new(Vec::new());
    for (name, shape, values) in arrays {
        let tensor = Tensor::from_f32s(vec![values.len()], values).expect("a vector");
        writer.add(name, DType::F32, shape, tensor.data()).expect("memory");
    }
    std::fs::write(folder.join(name), writer.finish().expect("memory")).expect("the folder is writable");
}

/// A module with a symbolic extent.
pub const DOUBLE: &str = "dim N in 1..=8

func @main(%x: f32[N, 2]) -> (y: f32[N, 2]) {
  %1 = add %x, %x : f32[N, 2]
  return %1
}
";
