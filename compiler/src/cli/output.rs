//! Files that take their names only when they are complete.

use super::failure::Failure;
use crate::emit::file::Registration;
use graven_runtime::sys::file::{OutputFile, Sink};
use std::ffi::{CString, OsStr};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Starts a file; the name changes hands at its `commit`.
pub(super) fn create(path: &Path) -> Result<OutputFile, Failure> {
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Failure::file(path, "is no file name"))?;
    let temporary = |file: &OutputFile| {
        file.temporary().map_or_else(PathBuf::new, |name| OsStr::from_bytes(name.to_bytes()).into())
    };
    let (file, registration) = Registration::new(|| OutputFile::create(&name), temporary)
        .map_err(|error: graven_runtime::Error| Failure::output(&error))?;
    // To the end of the process: a temporary name that is gone is no harm.
    std::mem::forget(registration);
    Ok(file)
}

/// Writes a whole file, or to standard output if its name is `-`.
pub(super) fn write(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return print(contents);
    }
    let mut file = create(path)?;
    let written = file.write_all(contents).and_then(|()| file.commit());
    written.map_err(|error| Failure::output(&error))
}

/// Writes to standard output; what goes wrong is told by [`finish`].
pub(super) fn print(contents: &[u8]) -> Result<(), Failure> {
    note(std::io::stdout().lock().write_all(contents));
    Ok(())
}

/// A line on standard output.
macro_rules! say {
    ($($argument:tt)*) => { $crate::cli::output::line(format_args!($($argument)*)) };
}
pub(super) use say;

/// See [`say`].
pub(super) fn line(text: std::fmt::Arguments<'_>) {
    note(writeln!(std::io::stdout().lock(), "{text}"));
}

/// The first error of writing to standard output.
static ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

fn note(written: io::Result<()>) {
    if let Err(error) = written {
        ERROR.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// What went wrong on standard output. A reader that has seen enough, such as `head`, is no error.
pub(super) fn finish() -> Result<(), Failure> {
    note(std::io::stdout().lock().flush());
    match ERROR.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::file(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}
