//! The command line: `graven COMMAND …`.
//!
//! * [`run`](run_command_line): the main function
//! * `arguments`: what the commands have in common
//! * `compile`, `run`, `check`, `bench`, `info`, `opt`, `train`: one file or folder per command
//! * `arrays`, `comparison`: arrays in files, and how two of them differ
//! * `buffers`, `profile`: what measurements need
//! * `failure`: errors and exit codes
//! * `limits`: bounds on time and memory
//! * `process`: when the process began
//! * `text`: modules as text
//! * `output`: files that take their names only when they are complete
//!
//! Exit codes: 0 success, 1 a comparison failed, 2 bad usage or input, 3 unsupported or our bug.

mod arguments;
mod arrays;
mod bench;
mod buffers;
mod check;
mod comparison;
mod compile;
mod failure;
mod info;
mod limits;
mod model;
mod observer;
mod opt;
mod output;
mod process;
mod profile;
mod run;
mod text;
mod train;

use clap::{Parser, Subcommand};
use failure::{Failure, Outcome};
use std::process::ExitCode;

/// Stack of the thread that does the work: models nest deeply. Only what is used takes memory.
const STACK_BYTES: usize = 256 << 20;

/// Compiles neural-network models to native CPU code.
#[derive(Parser)]
#[command(name = "graven", version, arg_required_else_help = true, infer_subcommands = false)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::Arguments),
    Run(run::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
    Info(info::Arguments),
    Opt(opt::Arguments),
    Train(Box<train::Arguments>),
}

/// The main function of `graven`.
pub fn run_command_line() -> ExitCode {
    process::begin();
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        // Help and version come this way too, with code 0.
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    set_up_logging();
    failure::report_panics();
    let work = move || match execute(command_line.command).and_then(|()| output::finish()) {
        Ok(()) => 0,
        Err(failure) => failure.report(),
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => ExitCode::from(code),
        // The panic hook has told the user.
        Ok(Err(_)) => ExitCode::from(3),
        Err(error) => ExitCode::from(Failure::usage(format!("no thread can be started: {error}")).report()),
    }
}

fn execute(command: Command) -> Outcome {
    match command {
        Command::Compile(arguments) => arguments.execute(),
        Command::Run(arguments) => arguments.execute(),
        Command::Check(arguments) => arguments.execute(),
        Command::Bench(arguments) => arguments.execute(),
        Command::Info(arguments) => arguments.execute(),
        Command::Opt(arguments) => arguments.execute(),
        Command::Train(arguments) => arguments.execute(),
    }
}

/// Events of the library on standard error, as far as `GRAVEN_LOG` asks for them (`GRAVEN_LOG=debug`).
fn set_up_logging() {
    if std::env::var_os("GRAVEN_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("GRAVEN_LOG");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}
