//! Checkpoints: all states in a safetensors file that takes its name only when it is complete and on disk.

use super::super::failure::Failure;
use super::super::output;
use crate::api::Trainer;
use graven_ir::Tensor;
use graven_ir::weights::{WeightsFile, weights_bytes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in a checkpoint folder.
const NAME: &str = "checkpoint.safetensors";

/// Writes tensors to a safetensors file.
pub(super) fn write_tensors(path: &Path, tensors: &[(Arc<str>, Tensor)]) -> Result<(), Failure> {
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (&**name, tensor)).collect();
    let bytes = weights_bytes(&named).map_err(|error| Failure::file(path, error))?;
    output::write(path, &bytes)
}

/// A folder of checkpoints.
pub(super) struct Checkpoints {
    file: PathBuf,
}

impl Checkpoints {
    /// The folder, made if it is not there.
    pub(super) fn new(folder: &Path) -> Result<Checkpoints, Failure> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::file(folder, format!("can't be made: {error}")))?;
        remove_unfinished(folder);
        Ok(Checkpoints { file: folder.join(NAME) })
    }

    /// Writes all states. The file before stays whole until the new one is.
    pub(super) fn save(&self, trainer: &mut Trainer) -> Result<(), Failure> {
        write_tensors(&self.file, &trainer.states()?)
    }
}

/// Removes what trainings left that were killed while they wrote; what can't be removed does no harm.
fn remove_unfinished(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_unfinished = |name: &str| name.starts_with(NAME) && name.ends_with(".tmp");
        if name.to_str().is_some_and(is_unfinished) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Sets the states to those of a checkpoint folder.
pub(super) fn resume(folder: &Path, trainer: &mut Trainer) -> Result<(), Failure> {
    let path = folder.join(NAME);
    let bytes =
        std::fs::read(&path).map_err(|error| Failure::file(&path, format!("cannot be read: {error}")))?;
    let file = WeightsFile::parse(bytes).map_err(|error| Failure::file(&path, error))?;
    let mut states = BTreeMap::new();
    for name in file.names() {
        let tensor = file.tensor(&name).map_err(|error| Failure::file(&path, error))?;
        states.insert(name, tensor);
    }
    Ok(trainer.set_states(&states)?)
}
