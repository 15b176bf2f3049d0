//! Weights in a file of their own.
//!
//! The file is the packed weights as they lie in memory and nothing else. The model's descriptor states their
//! size and hash, so that weights of another model, or of the same model compiled for another CPU, are refused.
//! The hash is XXH3-128 with seed 0 in its canonical (big-endian) form, what `xxh128sum` prints
//! (<https://github.com/Cyan4973/xxHash>): it runs at the speed of memory, which matters because all weights are
//! hashed at each start. It guards against mistakes and damage, not against forgery.

use core::ffi::CStr;

use crate::error::Error;
use crate::sys::file::quoted;
use crate::sys::memory::MappedFile;
use crate::text::text;

/// The hash of packed weights that a descriptor states.
pub fn hash(weights: &[u8]) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(weights).to_be_bytes()
}

/// Maps a weights file and checks that it is the one that the model was compiled with.
///
/// # Errors
/// `Kind::BadInput` for a wrong size or hash, `Kind::System` if the file can't be mapped.
pub fn open(path: &CStr, bytes: u64, expected: &[u8; 16]) -> Result<MappedFile, Error> {
    let file = MappedFile::open(path)?;
    if file.len() as u64 != bytes {
        return Err(Error::bad_input(text!(
            "the weights file % has % bytes, the model's weights have %",
            quoted(path),
            file.len(),
            bytes
        )));
    }
    if hash(&file) != *expected {
        return Err(Error::bad_input(text!(
            "the weights file % is damaged or belongs to another model: its hash is wrong",
            quoted(path)
        )));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::ffi::CString;

    #[test]
    fn the_hash_is_xxh128sum_s() {
        // XXH3-128 of nothing, from the test vectors of the specification's reference implementation.
        let empty = 0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128;
        assert_eq!(hash(b""), empty.to_be_bytes());
    }

    #[test]
    fn size_and_hash_are_checked() {
        let path = std::env::temp_dir().join(std::format!("graven-weights-{}", std::process::id()));
        std::fs::write(&path, b"weights").expect("a file");
        let name = CString::new(path.to_str().expect("a UTF-8 path")).expect("no zero");
        assert_eq!(&*open(&name, 7, &hash(b"weights")).expect("the file"), b"weights");
        let message =
            |result: Result<MappedFile, Error>| std::string::String::from(result.unwrap_err().message());
        assert!(
            message(open(&name, 8, &hash(b"weights"))).ends_with("has 7 bytes, the model's weights have 8")
        );
        assert!(message(open(&name, 7, &hash(b"Weights"))).ends_with("its hash is wrong"));
        std::fs::write(&path, b"").expect("a file");
        assert!(message(open(&name, 7, &hash(b"weights"))).ends_with("is empty or not a regular file"));
        std::fs::remove_file(&path).expect("the file");
        let missing = message(open(&name, 7, &hash(b"weights")));
        assert!(missing.ends_with("No such file or directory"), "{missing}");
    }
}
