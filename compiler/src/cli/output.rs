//! Files that take their names only when they are complete.

use super::failure::Failure;
use graven_runtime::sys::file::{OutputFile, Sink};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Starts a file; the name changes hands at its `commit`.
pub(super) fn create(path: &Path) -> Result<OutputFile, Failure> {
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Failure::file(path, "is no file name"))?;
    OutputFile::create(&name).map_err(|error| Failure::output(&error))
}

/// Writes a whole file.
pub(super) fn write(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut file = create(path)?;
    let written = file.write_all(contents).and_then(|()| file.commit());
    written.map_err(|error| Failure::output(&error))
}
