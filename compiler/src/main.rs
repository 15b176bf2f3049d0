//! The `graven` command line; see [`graven::cli`].

fn main() -> std::process::ExitCode {
    graven::cli::run_command_line()
}
