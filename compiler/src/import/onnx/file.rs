//! Model files and the files beside them that hold external tensors.

use crate::error::{Error, Place};
use crate::import::MemoryBudget;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

/// Maps a file into memory; pages are read when they are touched and shared by all slices of the result.
pub(super) fn map_file(path: &Path) -> Result<Bytes, Error> {
    let failed = |error: std::io::Error| {
        Error::bad_input(Place::new(path.display().to_string()), format!("can't read the file: {error}"))
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::bad_input(Place::new(path.display().to_string()), "is not a regular file"));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // That nobody shortens or rewrites a model while it is compiled is the documented contract of `import_file`.
    crate::mapped::map(&file).map_err(failed)
}

/// The folder of a model, from which alone external tensors are read, and what memory its tensors may take.
pub(super) struct Folder {
    pub(super) memory: MemoryBudget,
    path: Option<PathBuf>,
    mapped: FxHashMap<PathBuf, Bytes>,
}

impl Folder {
    /// The folder of the model file at `path`.
    pub(super) fn of(path: &Path, memory: &MemoryBudget) -> Folder {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let path = Some(parent.unwrap_or(Path::new(".")).to_path_buf());
        Folder { memory: memory.clone(), path, mapped: FxHashMap::default() }
    }

    /// No folder: the model came from memory and can't have external tensors.
    pub(super) fn none(memory: &MemoryBudget) -> Folder {
        Folder { memory: memory.clone(), path: None, mapped: FxHashMap::default() }
    }

    /// The contents of the file at `location` relative to the folder, if that is inside it.
    pub(super) fn open(&mut self, location: &str) -> Result<Bytes, String> {
        let Some(folder) = &self.path else {
            return Err("has external data, which needs a model in a file".into());
        };
        let relative = Path::new(location);
        let inside =
            relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || location.is_empty() {
            return Err(format!("external data `{location}` must lie inside the model's folder"));
        }
        let missing = |error: std::io::Error| format!("can't read external data `{location}`: {error}");
        let root = folder.canonicalize().map_err(missing)?;
        let path = root.join(relative).canonicalize().map_err(missing)?;
        if !path.starts_with(&root) {
            return Err(format!("external data `{location}` leaves the model's folder by a link"));
        }
        if let Some(bytes) = self.mapped.get(&path) {
            return Ok(bytes.clone());
        }
        let bytes = map_file(&path).map_err(|error| error.to_string())?;
        self.mapped.insert(path, bytes.clone());
        Ok(bytes)
    }
}
