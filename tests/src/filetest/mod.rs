//! Tests that are files: a text of the graph IR (`.gir`) or kernel IR (`.kir`), with commands before it and expectations after it.
//!
//! The file begins with comment lines, of which at least one names a command: `// test cat`. Several commands are run one after the other. What a
//! command expects stands in comments, too:
//!
//! | directive | meaning |
//! |---|---|
//! | `// check: text` | the output has a line that contains the text, after the line of the directive before it |
//! | `// nextln: text` | the next line contains it |
//! | `// not: text` | no line contains it between the matches of the directives around it |
//! | `// expect-exact:` | the output is exactly the lines below, each after `//  | `. |
//! | `// run: call == results` | the interpreter gives these results; see `commands/eval.rs`, and `commands/kernel_run.rs` for kernels |
//! | `// error: text` | at the end of a line or after it: the line has an error that contains the text |
//! | `//   ^^^ text` | after a line: it has an error at this place that contains the text |
//!
//! In the text of a check, `{{}}` stands for any characters. The environment variable `GRAVEN_BLESS=1` rewrites exact expectations in place, and
//! writes those that are missing.
//!
//! * [`mod@file`]: reads a file's header and directives
//! * [`commands`]: the table of commands
//! * [`check`]: compares an output with the directives
//! * [`notes`]: compares errors with their annotations
//! * [`bless`]: rewrites expectations

pub mod bless;
pub mod check;
pub mod commands;
pub mod file;
pub mod notes;

use commands::Outcome;
use file::TestFile;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs every file under `root`, with the command line of Rust's own test harness. A folder without tests is an error.
pub fn main(root: &Path) -> ExitCode {
    let arguments = Arguments::from_args();
    let mut files = Vec::new();
    let mut problems = Vec::new();
    collect(root, &mut files, &mut problems);
    files.sort();
    let mut trials: Vec<Trial> = files.into_iter().map(|path| trial(root, path)).collect();
    trials.extend(
        problems.into_iter().map(|(path, problem)| {
            Trial::test(path.display().to_string(), move || Err(Failed::from(problem)))
        }),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The test files under `folder`; what is not right with the folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>, problems: &mut Vec<(PathBuf, String)>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()),
        Err(error) => {
            problems.push((folder.into(), format!("can't read the folder: {error}")));
            return;
        }
    };
    let before = files.len();
    for path in entries {
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => collect(&path, files, problems),
            Some("gir" | "kir") => files.push(path),
            _ => problems.push((path, "this is no .gir or .kir file".into())),
        }
    }
    if files.len() == before {
        problems.push((folder.into(), "the folder holds no tests".into()));
    }
}

fn trial(root: &Path, path: PathBuf) -> Trial {
    let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    Trial::test(name, move || run_file(&path).map_err(Failed::from))
}

/// Runs the commands of a file; the message says what is wrong, with file and line. Every graph and kernel that parses must round-trip, whatever
/// the commands are.
pub fn run_file(path: &Path) -> Result<(), String> {
    let mut file = TestFile::read(path)?;
    let mut failures = Vec::new();
    let is_graph = path.extension().is_some_and(|extension| extension == "gir");
    if is_graph && let Ok(module) = graven_ir::text::parse(&file.text) {
        failures.extend(commands::round_trip(&file, &module).err());
    }
    if !is_graph && let Ok(kernels) = graven::kernel::text::parse_with_spans(&file.text) {
        failures.extend(commands::round_trip_kernels(&file, &kernels).err());
    }
    let mut checked = false;
    for command in file.commands.clone() {
        let outcome = commands::run(&file, &command).and_then(|outcome| {
            checked |= !matches!(outcome, Outcome::Done);
            match outcome {
                Outcome::Done => Ok(()),
                Outcome::Text(text) => check::check_text(&mut file, &text),
                Outcome::Canonical(text) => check::check_canonical(&mut file, &text),
                Outcome::Errors(errors) => notes::check_errors(&mut file, &errors),
            }
        });
        failures.extend(
            outcome.err().map(|message| format!("{}: `{}`: {message}", file.name, command.join(" "))),
        );
    }
    if !checked && !file.checks.is_empty() {
        failures.push(format!("{}: no command has an output to check", file.at(file.checks[0].line)));
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n\n")),
    }
}
