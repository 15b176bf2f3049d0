//! Memory that comes in pages: anonymous and files.

use alloc::vec::Vec;
use core::ffi::CStr;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::slice;

use super::file::{Descriptor, quoted};
use super::last_error;
use crate::error::Error;
use crate::text::text;

/// The error of an allocation of this many bytes that failed.
pub(crate) fn exhausted(bytes: usize) -> Error {
    Error::system(text!("cannot allocate % bytes of memory", bytes))
}

/// Makes a vector longer by this many zeros.
pub(crate) fn try_grow(bytes: &mut Vec<u8>, by: usize) -> Result<(), Error> {
    bytes.try_reserve_exact(by).map_err(|_| exhausted(by))?;
    bytes.resize(bytes.len() + by, 0);
    Ok(())
}

/// A range of mapped pages, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: pages belong to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` only gives out its address and length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Fresh zeroed pages; `bytes` must not be 0.
    ///
    /// # Errors
    /// `Kind::System` if there is not enough memory.
    pub(crate) fn anonymous(bytes: usize) -> Result<Mapping, Error> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: asks for new pages wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        Mapping::from_call(start, bytes).ok_or_else(|| exhausted(bytes))
    }

    fn from_call(start: *mut libc::c_void, length: usize) -> Option<Mapping> {
        if start == libc::MAP_FAILED {
            return None;
        }
        NonNull::new(start.cast()).map(|start| Mapping { start, length })
    }

    /// The first byte, at the start of a page.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Asks for huge pages, which save address translations; a refusal doesn't matter.
    pub(crate) fn advise_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: exactly the mapped range, and the advice doesn't change what memory holds.
        unsafe {
            libc::madvise(self.start.as_ptr().cast(), self.length, libc::MADV_HUGEPAGE);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// The contents of a regular file as read-only memory.
///
/// As with every mapped file, nobody may change or shorten the file meanwhile.
#[derive(Debug)]
pub struct MappedFile(Mapping);

impl MappedFile {
    /// Maps the whole file.
    ///
    /// # Errors
    /// `Kind::System` if the file can't be opened or mapped; `Kind::BadInput` if it is empty or no regular
    /// file.
    pub fn open(path: &CStr) -> Result<MappedFile, Error> {
        let failed = || last_error(&text!("cannot read %", quoted(path)));
        let file = Descriptor::open(path, libc::O_RDONLY).ok_or_else(failed)?;
        let bytes = file.size().ok_or_else(failed)?;
        if bytes == 0 {
            return Err(Error::bad_input(text!("% is empty or not a regular file", quoted(path))));
        }
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: asks for new pages wherever there is room, of a file that is open; they outlive the descriptor.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, file.number(), 0) };
        Mapping::from_call(start, bytes).map(MappedFile).ok_or_else(failed)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the pages are mapped and readable for as long as `self` lives, and nothing here writes to them.
        unsafe { slice::from_raw_parts(self.0.start.as_ptr(), self.0.length) }
    }
}
