//! The accuracy of real models on all test images of MNIST. `GRAVEN_TEST_DATA` names the folder of models, `GRAVEN_MNIST` that of the images; where either is not
//! set, the test says so.

use std::path::PathBuf;
use std::process::Command;

/// The share of right answers in percent.
fn accuracy(model: &str, arguments: &[&str]) -> Option<f64> {
    let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let (Some(models), Some(images)) = (folder("GRAVEN_TEST_DATA"), folder("GRAVEN_MNIST")) else {
        eprintln!("skipped: GRAVEN_TEST_DATA or GRAVEN_MNIST is not set");
        return None;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnist"));
    command.arg(models.join(model).join("model.onnx")).arg(images).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(" of 10000 images are right: "), "{text}");
    text.trim().strip_suffix(" %")?.rsplit(' ').next()?.parse().ok()
}

/// ONNX Runtime gets 98.91 %.
#[test]
fn mnist_8_is_as_accurate_as_ever() {
    if let Some(percent) = accuracy("mnist_8", &[]) {
        assert!(percent >= 98.9, "{percent}");
    }
}

/// ONNX Runtime gets 99.16 %.
#[test]
fn mnist_burn_is_as_accurate_as_ever() {
    if let Some(percent) = accuracy("mnist_burn", &["--normalise"]) {
        assert!(percent >= 99.1, "{percent}");
    }
}
