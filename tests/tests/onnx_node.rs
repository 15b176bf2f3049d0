//! Runs ONNX's own node tests, and those of ONNX Runtime's operators in `onnx_contrib/`, through the interpreter and as code of both backends; see
//! `graven_tests::node_tests`.

use graven_tests::executor::{Executor, Interpreter, Jit, Wide};
use graven_tests::node_tests::{self, Outcome, SkipList};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

/// The executors with the lists of cases that need not pass. What the importer does not take is on the first list only.
const EXECUTORS: [(&dyn Executor, &str); 3] =
    [(&Interpreter, "skip.txt"), (&Wide, "skip_jit.txt"), (&Jit, "skip_jit.txt")];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx_contrib/cases")];
    match node_tests::folder() {
        Some(folder) => folders.push(folder),
        None => eprintln!("{} is not set: ONNX's node tests are not run", node_tests::FOLDER_VARIABLE),
    }
    let mut cases = Vec::new();
    for folder in folders {
        match node_tests::cases(&folder) {
            Ok(names) => cases.extend(names.into_iter().map(|name| (folder.join(&name), name))),
            Err(error) => return fail(&format!("{}: {error}", folder.display())),
        }
    }
    let mut trials = Vec::new();
    let mut lists: Vec<(&str, Arc<Mutex<SkipList>>)> = Vec::new();
    for (executor, file) in EXECUTORS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx_node").join(file);
        let list = match (lists.iter().find(|(name, _)| *name == file), SkipList::read(&path)) {
            (Some((_, list)), _) => Arc::clone(list),
            (None, Ok(list)) => Arc::new(Mutex::new(list)),
            (None, Err(error)) => return fail(&error),
        };
        for (path, case) in &cases {
            if lists.iter().any(|(name, list)| *name != file && is_listed(list, case)) {
                continue;
            }
            let (path, name, list) = (path.clone(), case.clone(), Arc::clone(&list));
            let trial = move || judge(node_tests::run(&path, executor), &name, &list);
            trials.push(Trial::test(case.clone(), trial).with_kind(executor.name()));
        }
        lists.push((file, list));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let bless = std::env::var_os("GRAVEN_BLESS").is_some_and(|value| value == "1");
    for (_, list) in lists.iter().filter(|_| bless) {
        if let Err(error) = locked(list).write() {
            return fail(&error);
        }
    }
    conclusion.exit_code()
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn locked(list: &Mutex<SkipList>) -> std::sync::MutexGuard<'_, SkipList> {
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn is_listed(list: &Mutex<SkipList>, case: &str) -> bool {
    locked(list).cases.contains_key(case)
}

/// Compares an outcome with the list, and keeps the list as it would have to be.
fn judge(outcome: Outcome, case: &str, list: &Mutex<SkipList>) -> Result<(), Failed> {
    let is_skipped = is_listed(list, case);
    let reason = match outcome {
        Outcome::Pass if is_skipped => {
            locked(list).cases.remove(case);
            return Err("passes, so it must leave the skip list".into());
        }
        Outcome::Pass => return Ok(()),
        Outcome::Fail(reason) => format!("fails: {reason}"),
        Outcome::Unsupported(reason) => format!("unsupported: {reason}"),
    };
    match locked(list).cases.get_mut(case) {
        Some(old) => {
            *old = reason;
            Ok(())
        }
        None => Err(reason.into()),
    }
}
