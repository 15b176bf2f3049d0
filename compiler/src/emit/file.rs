//! Files that are there only when they are complete.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The folder that a file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary file beside `path`, with the permissions of an ordinary or an executable file.
pub fn beside(path: &Path, executable: bool) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".graven-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What the process's mask leaves of them.
        let mode = if executable { 0o777 } else { 0o666 };
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    let _ = executable;
    builder.tempfile_in(folder(path)).map_err(|error| folder_error(&error))
}

/// A folder for what is on its way to `path`, on the same file system, deleted on drop. Its path is absolute, so that no program takes it for an
/// option.
pub fn working_folder(path: &Path) -> io::Result<TempDir> {
    let folder = std::path::absolute(folder(path))?;
    Builder::new().prefix(".graven-").tempdir_in(folder).map_err(|error| folder_error(&error))
}

/// The error of making something temporary, without its name, which says nothing to users.
fn folder_error(error: &io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist".to_string(),
        kind => format!("its folder can't be written to ({kind})"),
    };
    io::Error::new(error.kind(), text)
}

/// Writes a file beside `path` and gives it that name when it is complete.
///
/// # Errors
/// Those of `write` and of the file system.
pub fn write_atomically<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&std::fs::File>) -> Result<(), E>,
) -> Result<(), E> {
    let file = beside(path, false)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file.as_file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_fails_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let failed: io::Result<()> = write_atomically(&path, |writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err() && !path.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        write_atomically(&path, |writer| writer.write_all(b"whole")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn folders_that_cannot_be_written_to_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for (path, text) in
            [("missing/out", "its folder does not exist"), ("file/out", "its folder can't be written to")]
        {
            let path = folder.path().join(path);
            for error in [beside(&path, true).unwrap_err(), working_folder(&path).unwrap_err()] {
                assert!(error.to_string().starts_with(text), "{error}");
            }
        }
        assert!(working_folder(Path::new("out")).unwrap().path().is_absolute());
    }
}
