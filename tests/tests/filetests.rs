//! Runs the test files; see `graven_tests::filetest`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    graven_tests::filetest::main(&Path::new(env!("CARGO_MANIFEST_DIR")).join("files"))
}
