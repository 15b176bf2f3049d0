//! A word that threads can sleep on.

#[cfg(not(target_os = "linux"))]
pub(crate) use condition::Word;
#[cfg(target_os = "linux")]
pub(crate) use futex::Word;

#[cfg(target_os = "linux")]
mod futex {
    use core::ptr;
    use core::sync::atomic::AtomicU32;

    /// A word that threads can sleep on; see futex(2).
    #[derive(Debug)]
    pub(crate) struct Word {
        /// The word itself. Change it, then call [`Word::wake_all`].
        pub(crate) value: AtomicU32,
    }

    impl Word {
        pub(crate) fn new(value: u32) -> Word {
            Word { value: AtomicU32::new(value) }
        }

        /// Sleeps if the word is `expected`, until somebody wakes it; may also return without a reason.
        pub(crate) fn wait(&self, expected: u32) {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word lives as long as `self`; a null timeout waits for ever.
            unsafe {
                let timeout = ptr::null::<libc::timespec>();
                libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, expected, timeout);
            }
        }

        /// Wakes every thread that sleeps on the word.
        pub(crate) fn wake_all(&self) {
            let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word lives as long as `self`.
            unsafe { libc::syscall(libc::SYS_futex, self.value.as_ptr(), operation, i32::MAX) };
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod condition {
    use alloc::boxed::Box;
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicU32, Ordering};

    /// The same out of a mutex and a condition variable, which POSIX has everywhere.
    #[derive(Debug)]
    pub(crate) struct Word {
        /// The word itself. Change it, then call [`Word::wake_all`].
        pub(crate) value: AtomicU32,
        /// Boxed because neither may move once it has been used.
        lock: Box<UnsafeCell<libc::pthread_mutex_t>>,
        changed: Box<UnsafeCell<libc::pthread_cond_t>>,
    }

    // SAFETY: mutex and condition variable are made to be used by several threads at once.
    unsafe impl Sync for Word {}
    // SAFETY: neither belongs to a thread while no thread holds or waits for it, which borrows `self`.
    unsafe impl Send for Word {}

    impl Word {
        pub(crate) fn new(value: u32) -> Word {
            Word {
                value: AtomicU32::new(value),
                lock: Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)),
                changed: Box::new(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER)),
            }
        }

        /// Sleeps if the word is `expected`, until somebody wakes it; may also return without a reason.
        pub(crate) fn wait(&self, expected: u32) {
            // SAFETY: both are initialised and at a fixed address; the mutex is held where it must be.
            unsafe {
                libc::pthread_mutex_lock(self.lock.get());
                if self.value.load(Ordering::SeqCst) == expected {
                    libc::pthread_cond_wait(self.changed.get(), self.lock.get());
                }
                libc::pthread_mutex_unlock(self.lock.get());
            }
        }

        /// Wakes every thread that sleeps on the word.
        pub(crate) fn wake_all(&self) {
            // SAFETY: as above. Holding the mutex means that no thread is between its test and its sleep.
            unsafe {
                libc::pthread_mutex_lock(self.lock.get());
                libc::pthread_cond_broadcast(self.changed.get());
                libc::pthread_mutex_unlock(self.lock.get());
            }
        }
    }

    impl Drop for Word {
        fn drop(&mut self) {
            // SAFETY: nobody waits for either any more, since that would borrow `self`.
            unsafe {
                libc::pthread_cond_destroy(self.changed.get());
                libc::pthread_mutex_destroy(self.lock.get());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::condition;
    use core::sync::atomic::Ordering::SeqCst;

    macro_rules! ping_pong {
        ($word:ty) => {{
            let word = <$word>::new(0);
            word.wait(1);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for turn in 0..1000 {
                        while word.value.load(SeqCst) == 2 * turn {
                            word.wait(2 * turn);
                        }
                        word.value.fetch_add(1, SeqCst);
                        word.wake_all();
                    }
                });
                for turn in 0..1000 {
                    word.value.fetch_add(1, SeqCst);
                    word.wake_all();
                    while word.value.load(SeqCst) == 2 * turn + 1 {
                        word.wait(2 * turn + 1);
                    }
                }
            });
            assert_eq!(word.value.load(SeqCst), 2000);
        }};
    }

    #[test]
    fn two_threads_take_turns() {
        ping_pong!(condition::Word);
        ping_pong!(super::Word);
    }
}
