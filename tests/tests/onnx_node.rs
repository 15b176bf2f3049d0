//! Runs ONNX's own node tests through the interpreter; see `graven_tests::node_tests`.

use graven_tests::executor::Interpreter;
use graven_tests::node_tests::{self, Outcome};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(folder) = node_tests::folder() else {
        eprintln!("{} is not set: ONNX's node tests are not run", node_tests::FOLDER_VARIABLE);
        return ExitCode::SUCCESS;
    };
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx_node/skip.txt");
    let (skipped, cases) = match (node_tests::skip_list(&list), node_tests::cases(&folder)) {
        (Ok(skipped), Ok(cases)) => (skipped, cases),
        (Err(error), _) => return fail(&error),
        (_, Err(error)) => return fail(&format!("{}: {error}", folder.display())),
    };
    let trials = cases.into_iter().map(|case| {
        let path = folder.join(&case);
        let is_skipped = skipped.contains_key(&case);
        Trial::test(case, move || judge(node_tests::run(&path, &Interpreter), is_skipped))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn judge(outcome: Outcome, is_skipped: bool) -> Result<(), Failed> {
    match (outcome, is_skipped) {
        (Outcome::Pass, true) => Err("passes, so it must leave the skip list".into()),
        (Outcome::Pass, false) | (_, true) => Ok(()),
        (Outcome::Fail(reason), false) => Err(format!("fails: {reason}").into()),
        (Outcome::Unsupported(reason), false) => Err(format!("unsupported: {reason}").into()),
    }
}
