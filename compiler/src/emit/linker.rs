//! The system's C compiler as a linker.

use super::file::beside;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Command;

/// Why nothing was linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no C compiler.
    #[error(
        "linking needs a C compiler: `{program}` was not found; install one (gcc or clang) or name one by the variable CC, or use --emit obj"
    )]
    Missing {
        /// What was looked for.
        program: String,
    },
    /// The C compiler failed.
    #[error("`{program}` failed to link:\n{output}")]
    Failed {
        /// What was run.
        program: String,
        /// What it printed.
        output: String,
    },
    /// The file can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The C compiler and arguments that come first: the variable CC, or `cc`.
fn compiler() -> (OsString, Vec<String>) {
    let named = std::env::var("CC").ok();
    let mut words = named.iter().flat_map(|value| value.split_whitespace().map(str::to_string));
    match words.next() {
        Some(program) => (program.into(), words.collect()),
        None => ("cc".into(), Vec::new()),
    }
}

/// Links to a file that is there only if linking succeeds.
///
/// # Errors
/// See [`LinkError`].
pub fn link(arguments: &[OsString], output: &Path) -> Result<(), LinkError> {
    let file = beside(output, true)?.into_temp_path();
    let (program, first) = compiler();
    let mut command = Command::new(&program);
    command.args(first).args(arguments).arg("-o").arg(&file);
    let name = || program.to_string_lossy().into_owned();
    let result = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LinkError::Missing { program: name() });
        }
        result => result?,
    };
    if !result.status.success() {
        let output = String::from_utf8_lossy(&result.stderr).trim().to_string();
        return Err(LinkError::Failed { program: name(), output });
    }
    file.persist(output).map_err(|error| error.error)?;
    Ok(())
}
