//! Imports all real models; evaluates the small ones with the interpreter.

use graven_tests::executor::Interpreter;
use graven_tests::models::{self, MODELS, Model};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = models::folder();
    if folder.is_none() {
        eprintln!("{} is not set: real models are not imported", models::FOLDER_VARIABLE);
    }
    let trials = MODELS.iter().map(|model| {
        let path = folder.as_ref().map(|folder| folder.join(model.name));
        let is_skipped = path.is_none();
        Trial::test(model.name, move || match &path {
            Some(path) => Ok(run(model, path)?),
            None => Ok(()),
        })
        .with_ignored_flag(is_skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run(model: &Model, path: &Path) -> Result<(), Failed> {
    let case = models::load(path)?;
    if model.is_small {
        models::check(&case, model.tolerance, &Interpreter)?;
    }
    Ok(())
}
