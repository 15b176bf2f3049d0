//! Constants of text modules in safetensors files.

use graven_ir::Tensor;
use graven_ir::weights::WeightsFile;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Reads tensors from safetensors files of one folder, each file once.
pub(super) struct Reader {
    folder: PathBuf,
    files: RefCell<BTreeMap<String, WeightsFile>>,
}

impl Reader {
    pub(super) fn new(folder: PathBuf) -> Reader {
        Reader { folder, files: RefCell::default() }
    }

    /// The tensor `key` of the file `name`, which must lie in the folder.
    pub(super) fn read(&self, name: &str, key: &str) -> Result<Tensor, String> {
        let mut files = self.files.borrow_mut();
        if !files.contains_key(name) {
            files.insert(name.to_string(), self.open(name)?);
        }
        let file = files.get(name).ok_or_else(|| format!("`{name}` is not open"))?;
        file.tensor(key).map_err(|error| format!("`{name}`: {error}"))
    }

    fn open(&self, name: &str) -> Result<WeightsFile, String> {
        let path = Path::new(name);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("`{name}` leads out of the folder"));
        }
        let bytes = std::fs::read(self.folder.join(path)).map_err(|error| format!("`{name}`: {error}"))?;
        WeightsFile::parse(bytes).map_err(|error| format!("`{name}`: {error}"))
    }
}
