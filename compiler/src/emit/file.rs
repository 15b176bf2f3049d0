//! Files that are there only when they are complete.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The folder that a file is in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The temporary files and folders that exist.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Keeps a temporary file known to [`remove_temporaries`].
#[derive(Debug)]
pub struct Registration(PathBuf);

impl Registration {
    /// Makes something temporary, of which `path` tells the place.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new<T, E>(
        make: impl FnOnce() -> Result<T, E>,
        path: impl FnOnce(&T) -> PathBuf,
    ) -> Result<(T, Registration), E> {
        let mut known = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        let made = make()?;
        let path = path(&made);
        known.push(path.clone());
        Ok((made, Registration(path)))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut known = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|path| *path != self.0);
    }
}

/// Deletes everything temporary, for a process that is about to end; who makes more waits for the end.
pub fn remove_temporaries() {
    // The lock may be held by the very thread that ends the process.
    let known = (0..100).find_map(|_| {
        let known = TEMPORARY.try_lock().ok();
        known.or_else(|| {
            std::thread::sleep(Duration::from_millis(1));
            None
        })
    });
    let Some(known) = known else { return };
    for path in &*known {
        // What is gone is where it should be.
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    std::mem::forget(known);
}

/// A temporary file, deleted on drop.
#[derive(Debug)]
pub struct TemporaryFile {
    file: NamedTempFile,
    _registration: Registration,
}

impl TemporaryFile {
    /// A file beside `path`, with the permissions of an ordinary file.
    ///
    /// # Errors
    /// The folder does not exist or can't be written to.
    pub fn beside(path: &Path) -> io::Result<TemporaryFile> {
        let mut builder = Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What the process's mask leaves of them.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let made = Registration::new(|| builder.tempfile_in(folder(path)), |file| file.path().to_path_buf());
        let (file, registration) = made.map_err(|error| folder_error(&error))?;
        Ok(TemporaryFile { file, _registration: registration })
    }

    /// The open file.
    pub fn file(&self) -> &std::fs::File {
        self.file.as_file()
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its name, in place of what has that name.
    ///
    /// # Errors
    /// Those of the file system, such as a folder of that name.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What the names of temporary files begin with.
const PREFIX: &str = ".graven-";

/// A folder that is deleted on drop, with all that is in it.
#[derive(Debug)]
pub struct WorkingFolder {
    folder: TempDir,
    _registration: Registration,
}

impl WorkingFolder {
    /// A folder for what is on its way to `path`, on the same file system. Its path is absolute, so that no program takes it for an option.
    ///
    /// # Errors
    /// The folder of `path` does not exist or can't be written to.
    pub fn beside(path: &Path) -> io::Result<WorkingFolder> {
        let parent = std::path::absolute(folder(path))?;
        let made = Registration::new(
            || Builder::new().prefix(PREFIX).tempdir_in(parent),
            |folder| folder.path().to_path_buf(),
        );
        let (folder, registration) = made.map_err(|error| folder_error(&error))?;
        Ok(WorkingFolder { folder, _registration: registration })
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
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
    let file = TemporaryFile::beside(path)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file.file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.persist(path)?;
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
            let errors =
                [TemporaryFile::beside(&path).unwrap_err(), WorkingFolder::beside(&path).unwrap_err()];
            for error in errors {
                assert!(error.to_string().starts_with(text), "{error}");
            }
        }
        assert!(WorkingFolder::beside(Path::new("out")).unwrap().path().is_absolute());
    }
}
