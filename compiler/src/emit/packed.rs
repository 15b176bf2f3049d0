//! The packed weights of a program on their way into a file.

use super::file::TemporaryFile;
use super::weights::{self, WeightsError};
use crate::program::Program;
use graven_runtime::sys::memory::MappedFile;
use std::ffi::CString;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::path::Path;
use target_lexicon::Endianness;

/// Up to this size the weights are kept in memory; beyond, in a file that is mapped, so that they take no memory that the system can't have back.
const IN_MEMORY: u64 = 16 << 20;

/// The weights of a program as one run of bytes.
pub enum PackedWeights {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file.
    File {
        /// The contents.
        map: MappedFile,
        /// The file, deleted on drop.
        file: TemporaryFile,
    },
}

impl PackedWeights {
    /// Packs the weights; large ones into a temporary file in `folder`.
    ///
    /// # Errors
    /// See [`WeightsError`].
    pub fn new(
        program: &Program,
        folder: &Path,
        endianness: Endianness,
    ) -> Result<PackedWeights, WeightsError> {
        if program.weights_bytes <= IN_MEMORY {
            let mut bytes = vec![0; program.weights_bytes as usize];
            weights::fill(program, &mut bytes, endianness)?;
            return Ok(PackedWeights::Memory(bytes));
        }
        PackedWeights::in_file(program, folder, endianness)
    }

    fn in_file(
        program: &Program,
        folder: &Path,
        endianness: Endianness,
    ) -> Result<PackedWeights, WeightsError> {
        let file = TemporaryFile::beside(&folder.join("weights"))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file.file());
        weights::stream(program, &mut writer, endianness)?;
        writer.flush()?;
        drop(writer);
        let path = CString::new(file.path().as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
        let map = MappedFile::open(&path).map_err(|error| io::Error::other(error.message().to_string()))?;
        Ok(PackedWeights::File { map, file })
    }

    /// The hash that a descriptor states.
    pub fn hash(&self) -> [u8; 16] {
        graven_runtime::weights::hash(self)
    }
}

impl Deref for PackedWeights {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            PackedWeights::Memory(bytes) => bytes,
            PackedWeights::File { map, .. } => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::samples::affine;

    #[test]
    fn a_file_has_the_same_bytes() {
        let program = affine(0);
        let folder = tempfile::tempdir().unwrap();
        let memory = PackedWeights::new(&program, folder.path(), Endianness::Little).unwrap();
        let file = PackedWeights::in_file(&program, folder.path(), Endianness::Little).unwrap();
        assert_eq!(*memory, *file);
        assert_eq!(memory.hash(), file.hash());
        assert_eq!(memory.len(), 80);
    }
}
