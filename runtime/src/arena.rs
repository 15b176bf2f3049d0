//! Zeroed memory at the alignment that generated code expects.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use crate::abi::ALIGNMENT;
use crate::budget;
use crate::error::Error;
use crate::sys::memory::{Mapping, exhausted};

/// From this size on, memory comes as pages of its own and in huge pages where the system has them.
const PAGES_FROM: usize = 1 << 20;
/// The size of a huge page on x86-64 and, with 4 KiB pages, on AArch64.
const HUGE_PAGE: usize = 2 << 20;

/// A fixed block of memory, aligned to [`ALIGNMENT`] and zeroed at first.
#[derive(Debug)]
pub struct Arena {
    start: NonNull<u8>,
    bytes: usize,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Heap(Layout),
    /// Held for its drop.
    Pages {
        _mapping: Mapping,
    },
}

// SAFETY: the memory is owned by the arena and belongs to no thread.
unsafe impl Send for Arena {}
// SAFETY: through a shared reference it can only be read.
unsafe impl Sync for Arena {}

impl Arena {
    /// Allocates `bytes` bytes, which may be 0.
    ///
    /// # Errors
    /// `Kind::System` if there is not enough memory.
    pub fn new(bytes: usize) -> Result<Arena, Error> {
        if bytes < PAGES_FROM {
            let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|_| exhausted(bytes))?;
            // SAFETY: the layout's size is not 0.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(|| exhausted(bytes))?;
            return Ok(Arena { start, bytes, backing: Backing::Heap(layout) });
        }
        // One huge page more than needed, so that the block can begin at the start of one.
        let mapped = bytes.checked_add(HUGE_PAGE).ok_or_else(|| exhausted(bytes))?;
        budget::charge(bytes);
        let mapping = Mapping::anonymous(mapped).inspect_err(|_| budget::release(bytes))?;
        mapping.advise_huge_pages();
        let skip = mapping.start().align_offset(HUGE_PAGE).min(HUGE_PAGE);
        // SAFETY: `skip` is at most `HUGE_PAGE`, so the result and `bytes` from it on lie in the mapping.
        let start = unsafe { mapping.start().add(skip) };
        Ok(Arena { start, bytes, backing: Backing::Pages { _mapping: mapping } })
    }

    /// Allocates an arena for a model: `fixed + workers * per_worker` bytes.
    ///
    /// # Errors
    /// `Kind::System` if there is not enough memory.
    pub fn for_workers(fixed: u64, per_worker: u64, workers: usize) -> Result<Arena, Error> {
        let bytes = per_worker
            .checked_mul(workers as u64)
            .and_then(|scratch| scratch.checked_add(fixed))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| exhausted(usize::MAX))?;
        Arena::new(bytes)
    }

    /// The first byte. Writing through it needs that nothing else uses the arena.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Deref for Arena {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block is allocated, initialised with zeros, and borrowed with `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Arena {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        match self.backing {
            // SAFETY: allocated with this layout, and nothing refers to it any more.
            Backing::Heap(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            Backing::Pages { .. } => budget::release(self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_size_is_aligned_zeroed_and_writable() {
        for bytes in [0, 1, 63, 64, 4097, PAGES_FROM - 1, PAGES_FROM, HUGE_PAGE + 1, 3 * HUGE_PAGE] {
            let mut arena = Arena::new(bytes).expect("memory");
            assert_eq!(arena.len(), bytes);
            assert_eq!(arena.as_ptr().addr() % ALIGNMENT, 0);
            assert!(arena.iter().all(|byte| *byte == 0));
            arena.fill(0xa5);
            assert!(arena.iter().all(|byte| *byte == 0xa5));
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        for bytes in [usize::MAX, usize::MAX / 2, 1 << 50] {
            assert_eq!(Arena::new(bytes).map(|_| ()).map_err(|error| error.kind()), Err(Kind::System));
        }
        assert!(Arena::for_workers(u64::MAX, 1, 1).is_err());
        assert!(Arena::for_workers(0, u64::MAX / 2, 3).is_err());
        assert_eq!(Arena::for_workers(100, 10, 3).expect("memory").len(), 130);
    }
}
