//! What only the object for executables has: the symbol that a generated `main` calls, and what Rust needs without `std`.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;
use core::ptr;

use super::train::Training;
use crate::abi;
use crate::sys::file::print;

/// The main function of an executable: see [`super::main`].
///
/// # Safety
/// As [`super::main`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_main(
    argc: c_int,
    argv: *const *const c_char,
    model: &'static abi::Model,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { super::main(argc, argv, model) }
}

/// The main function of an executable that trains: see [`super::train::main`].
///
/// # Safety
/// As [`super::train::main`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graven_train_main(
    argc: c_int,
    argv: *const *const c_char,
    model: &'static abi::Model,
    training: &'static Training,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { super::train::main(argc, argv, model, training) }
}

/// Memory from the C library.
struct Malloc;

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

/// What `malloc` aligns to on every 64-bit platform.
const MALLOC_ALIGNMENT: usize = 16;

// SAFETY: the C library's functions keep the contract; larger alignments go to the one that takes an alignment.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: the call has no preconditions.
            return unsafe { libc::malloc(layout.size()) }.cast();
        }
        let mut start = ptr::null_mut();
        // SAFETY: the alignment is a power of two and a multiple of a pointer's size.
        match unsafe { libc::posix_memalign(&raw mut start, layout.align(), layout.size()) } {
            0 => start.cast(),
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, start: *mut u8, _layout: Layout) {
        // SAFETY: both functions above give memory that `free` takes.
        unsafe { libc::free(start.cast()) };
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: `start` is from `malloc`.
            return unsafe { libc::realloc(start.cast(), size) }.cast();
        }
        // SAFETY: the caller makes sure that the size with this alignment is legal.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks are at least this long and distinct; the old one is free to go.
            unsafe {
                ptr::copy_nonoverlapping(start, new, layout.size().min(size));
                self.dealloc(start, layout);
            }
        }
        new
    }
}

/// Without the message, which would bring the formatting machinery along.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print(2, "internal error or out of memory\n");
    // SAFETY: the call has no preconditions.
    unsafe { libc::abort() }
}
