//! Threads of the operating system.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use super::{Shared, worker};
use crate::error::Error;
use crate::text::text;

/// Room for generated code, which keeps its buffers in the arena, and for custom calls. musl would give 128 KiB.
const STACK: usize = 2 << 20;

/// The calling thread as a number other than 0 that no other living thread has.
pub(super) fn current() -> usize {
    // SAFETY: the call has no preconditions. The result is a pointer or a number as wide as one.
    unsafe { libc::pthread_self() as usize }
}

/// A running thread, joined on drop.
#[derive(Debug)]
pub(super) struct Thread(libc::pthread_t);

// SAFETY: any thread may join it.
unsafe impl Send for Thread {}
// SAFETY: a shared reference allows nothing.
unsafe impl Sync for Thread {}

/// What a new thread is told.
struct Start {
    shared: NonNull<Shared>,
    worker: usize,
}

impl Thread {
    /// Starts [`worker::main`].
    ///
    /// # Safety
    /// `shared` must outlive the thread, which ends when the pool is told to stop.
    pub(super) unsafe fn start(shared: NonNull<Shared>, worker: usize) -> Result<Thread, Error> {
        let start = Box::into_raw(Box::new(Start { shared, worker }));
        let mut attributes = MaybeUninit::uninit();
        let mut everything = MaybeUninit::uninit();
        let mut former = MaybeUninit::uninit();
        let mut thread = MaybeUninit::uninit();
        // SAFETY: each object is initialised by the call that comes first. Signals are blocked meanwhile, and so are
        // they in the new thread, which inherits the mask: the application's handlers run on its own threads.
        let status = unsafe {
            libc::sigfillset(everything.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, everything.as_ptr(), former.as_mut_ptr());
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
            let status =
                libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, start.cast::<c_void>());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, former.as_ptr(), ptr::null_mut());
            status
        };
        if status != 0 {
            // SAFETY: no thread was made that would own it.
            drop(unsafe { Box::from_raw(start) });
            return Err(Error::system(text!("cannot start a thread")));
        }
        // SAFETY: the call succeeded.
        Ok(Thread(unsafe { thread.assume_init() }))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: the thread was started and not joined yet.
        unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `Thread::start` gave this thread the box.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: whoever called `Thread::start` promised that it outlives the thread.
    worker::main(unsafe { start.shared.as_ref() }, start.worker);
    ptr::null_mut()
}
