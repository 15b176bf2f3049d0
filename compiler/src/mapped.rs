//! Files as memory, whose pages can be given back before the file is.
//!
//! The pages of a mapped file that were touched count as memory of the process. Packing reads hundreds of megabytes of weights once; giving
//! back what is packed keeps one copy of them in memory rather than two.

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The mapped files that may still be in use.
static MAPPED: Mutex<Vec<Weak<Mmap>>> = Mutex::new(Vec::new());

fn mapped() -> MutexGuard<'static, Vec<Weak<Mmap>>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What [`Bytes`] holds.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The contents of a file, which nobody may change or shorten as long as the result is used. Pages are read when they are touched and shared by all slices of it.
///
/// # Errors
/// Those of the system; mapping an empty file is one on some.
pub fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the mapping is private and read-only, and lives as long as the `Bytes`. That nobody changes the file is the contract above.
    let mapping = Arc::new(unsafe { Mmap::map(file) }?);
    let mut all = mapped();
    all.retain(|other| other.strong_count() > 0);
    all.push(Arc::downgrade(&mapping));
    Ok(Bytes::from_owner(Owner(mapping)))
}

/// Says that these bytes are not needed soon. Where they are part of a mapped file, their pages are given back, and read from the file again when they are touched.
pub fn release(bytes: &[u8]) {
    let start = bytes.as_ptr().addr();
    for mapping in mapped().iter().filter_map(Weak::upgrade) {
        let offset = start.checked_sub(mapping.as_ptr().addr());
        let inside = |offset: &usize| offset.checked_add(bytes.len()).is_some_and(|end| end <= mapping.len());
        if let Some(offset) = offset.filter(inside) {
            #[cfg(unix)]
            // SAFETY: the mapping is of a file, private, and never written to, so that its pages have the same contents when they are read anew.
            let _ = unsafe { mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, bytes.len()) };
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn released_pages_are_read_again() {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        file.write_all(&contents).unwrap();
        let bytes = map(&file).unwrap();
        let part = bytes.slice(5000..70_000);
        assert_eq!(bytes, contents);
        release(&part);
        assert_eq!(bytes, contents);
        release(&contents);
        assert_eq!(contents[..3], [0, 1, 2], "memory that is no file stays as it is");
        drop(bytes);
        release(&part);
        assert_eq!(part, contents[5000..70_000]);
    }
}
