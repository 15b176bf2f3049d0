//! A bound on the memory that a process allocates.
//!
//! [`BudgetAllocator`] wraps the global allocator. It counts nothing until [`limit`] is called, and from then on what is allocated less what is freed.
//! Arenas, which take pages from the system, count too. Whoever exceeds the limit calls a function that ends the process: in the middle of an
//! allocation there is no other way to fail that a caller could rely on.

use alloc::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};

/// The limit in bytes; `isize::MAX` while there is none.
static LIMIT: AtomicIsize = AtomicIsize::new(isize::MAX);
/// Bytes in use since there is a limit. Memory from before that is freed makes it negative.
static USED: AtomicIsize = AtomicIsize::new(0);
/// What is called, with the limit: a [`Handler`].
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Ends the process; it may allocate.
pub type Handler = fn(limit: usize) -> !;

/// Sets the limit for what is allocated from now on.
pub fn limit(bytes: usize, handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Release);
    USED.store(0, Ordering::Relaxed);
    LIMIT.store(isize::try_from(bytes).unwrap_or(isize::MAX), Ordering::Release);
}

/// Takes away the limit.
pub fn unlimit() {
    LIMIT.store(isize::MAX, Ordering::Release);
}

/// Bytes in use since the limit was set; 0 if there is none or less than then.
pub fn used() -> usize {
    usize::try_from(USED.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Counts memory that is about to be taken.
pub(crate) fn charge(bytes: usize) {
    let limit = LIMIT.load(Ordering::Relaxed);
    if limit == isize::MAX {
        return;
    }
    let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
    let before = USED.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) > limit {
        exceeded();
    }
}

/// Counts memory that was given back.
pub(crate) fn release(bytes: usize) {
    if LIMIT.load(Ordering::Relaxed) != isize::MAX {
        USED.fetch_sub(isize::try_from(bytes).unwrap_or(isize::MAX), Ordering::Relaxed);
    }
}

#[cold]
fn exceeded() {
    // The handler may allocate, and is called once.
    let limit = LIMIT.swap(isize::MAX, Ordering::AcqRel);
    let handler = HANDLER.load(Ordering::Acquire);
    if limit == isize::MAX || handler.is_null() {
        return;
    }
    // SAFETY: the pointer is not null, so `limit` stored it, from a `Handler`.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// An allocator within the limit; `A` does the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetAllocator<A>(pub A);

// SAFETY: everything is left to the inner allocator; counting neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for BudgetAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both may exist while it is copied.
        charge(new_size);
        // SAFETY: the caller's promise.
        let new = unsafe { self.0.realloc(pointer, layout, new_size) };
        release(if new.is_null() { new_size } else { layout.size() });
        new
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        release(layout.size());
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}
