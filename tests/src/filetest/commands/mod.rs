//! The commands of test files: one file and one row each.

mod cat;
mod eval;
mod jit;
mod kernel_print;
mod kernel_run;
mod kernel_verify;
mod opt;
mod verify;

pub use cat::round_trip;
pub use kernel_print::round_trip as round_trip_kernels;

use super::file::TestFile;
use super::notes::FoundError;

/// What a command leaves to be checked.
pub enum Outcome {
    /// Nothing: it has checked by itself.
    Done,
    /// An output for the file's directives.
    Text(String),
    /// The canonical form of the file's code: it must be that already, unless there are directives.
    Canonical(String),
    /// Errors, each of which must be annotated.
    Errors(Vec<FoundError>),
}

/// A command: the file and the arguments after the command's name, to an outcome or a message.
type Command = fn(&TestFile, &[String]) -> Result<Outcome, String>;

/// Every command, with its name in `// test <name>`.
pub const COMMANDS: &[(&str, Command)] = &[
    // Parses and prints; the code of the file is in the canonical form.
    ("cat", cat::run),
    // Runs the interpreter on the inputs of the `run:` lines.
    ("eval", eval::run),
    // Compiles and runs the first function on the inputs of the `run:` lines.
    ("jit", jit::run),
    // Parses and prints kernels; those of the file are in the canonical form.
    ("kernel-print", kernel_print::run),
    // Interprets and compiles kernels; both give the results of the `run:` lines.
    ("kernel-run", kernel_run::run),
    // Parses and verifies kernels; the errors are those that are annotated.
    ("kernel-verify", kernel_verify::run),
    // Applies passes to every function; the `run:` lines hold before and after.
    ("opt", opt::run),
    // The `run:` lines hold after each pass of the pipeline.
    ("passes", opt::run_passes),
    // Parses and verifies; the errors are those that are annotated.
    ("verify", verify::run),
];

/// Runs a command, given as its name and arguments.
pub fn run(file: &TestFile, command: &[String]) -> Result<Outcome, String> {
    let (name, arguments) = command.split_first().ok_or("no command")?;
    match COMMANDS.iter().find(|(other, _)| other == name) {
        Some((_, run)) => run(file, arguments),
        None => {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
            Err(format!("there is no such command; those that exist: {}", names.join(", ")))
        }
    }
}

/// Refuses arguments of a command that takes none.
fn no_arguments(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => Ok(()),
        _ => Err("the command takes no arguments".into()),
    }
}
