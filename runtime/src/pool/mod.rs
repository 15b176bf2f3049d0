//! A fork-join thread pool for many short parallel loops.
//!
//! One inference is a sequence of loops of a few microseconds each, so that what counts is the time from a
//! dispatch to its return. The thread that dispatches is worker 0 and does its share; the others wait in user
//! space for a while before they sleep. A loop never waits for a worker that hasn't begun: the tasks are split
//! statically, which keeps a worker on the same part of the data from loop to loop, but whoever has finished its own part takes
//! from the others' (`tasks.rs`). A worker that wakes too late finds the loop closed (`gate.rs`). The first loop after
//! a pause therefore runs at once on the threads that are there, while the others wake.
//!
//! Calls that can't have the pool run all their tasks on the calling thread: nested ones (inside a task, as the
//! same worker) and those of a second thread while a first one has the pool (as worker 0 of its own run).

mod gate;
mod tasks;
mod thread;
mod worker;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::abi;
use crate::error::Error;
use crate::sys::{cpus, wait::Word};
use crate::text::text;
use gate::Gate;
use tasks::{Job, Seat};
use thread::Thread;

/// The greatest number of workers that a pool can have.
pub const MAX_WORKERS: usize = 1024;

/// How long a worker without work stays awake, in nanoseconds: longer than the serial parts between the loops of a
/// model, shorter than what a user would call busy.
const SPIN: u64 = 100_000;

/// Keeps what one thread writes off the cache lines of others (two, since CPUs fetch lines in pairs).
#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded<T>(T);

/// A pool of threads; dropped, it ends them.
#[derive(Debug)]
pub struct Pool {
    /// From a box, freed on drop. A raw pointer, because the threads and every [`abi::Exec`] hold it, too.
    shared: NonNull<Shared>,
    threads: Vec<Thread>,
}

// SAFETY: all access to what the pointer leads to is shared, and `Shared` is `Sync`.
unsafe impl Sync for Pool {}
// SAFETY: as above, and `Shared` is `Send`; the threads can be joined by any thread.
unsafe impl Send for Pool {}

/// What the workers share.
#[derive(Debug)]
struct Shared {
    /// The state of the current loop.
    gate: Padded<Gate>,
    /// The current loop. Written by the dispatching thread while no worker is inside the gate, read inside it.
    job: Padded<UnsafeCell<Job>>,
    /// Which tasks are taken, a seat per worker.
    seats: Box<[Padded<Seat>]>,
    /// The thread that has the pool as worker 0, or 0.
    dispatcher: Padded<AtomicUsize>,
    /// The threads of the workers from 1 on, once they run.
    threads: Box<[AtomicUsize]>,
    /// Per worker, whether it sleeps.
    beds: Box<[Padded<Word>]>,
    /// How many workers sleep or are about to.
    sleepers: Padded<AtomicU32>,
    /// Counts the times when a worker was the last to leave a loop whose dispatcher had gone to sleep.
    left: Padded<Word>,
    /// How long to wait awake, in nanoseconds.
    spin: u64,
}

// SAFETY: `job` is the only part that isn't synchronised by itself; who may access it when is stated there and kept by
// `Shared::dispatch` and `worker::main`. The pointers in it belong to the caller of `parallel_for`, who promises
// that tasks may use them from any thread.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Pool {
    /// Starts a pool of `workers` workers, the calling thread included; 1 starts no thread.
    ///
    /// # Errors
    /// `Kind::BadInput` if `workers` is 0 or above [`MAX_WORKERS`]; `Kind::System` if a thread can't be
    /// started.
    pub fn new(workers: usize) -> Result<Pool, Error> {
        if workers == 0 || workers > MAX_WORKERS {
            return Err(Error::bad_input(text!("the number of threads must be in 1..=1024")));
        }
        // Threads that share a CPU must not keep it from each other.
        let spin = if workers <= cpus::available() { SPIN } else { 0 };
        let shared = Box::new(Shared {
            gate: Padded::default(),
            job: Padded(UnsafeCell::new(Job::NONE)),
            seats: (0..workers).map(|_| Padded::default()).collect(),
            dispatcher: Padded::default(),
            threads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            beds: (0..workers).map(|_| Padded(Word::new(worker::AWAKE))).collect(),
            sleepers: Padded::default(),
            left: Padded(Word::new(0)),
            spin,
        });
        let shared = NonNull::from(Box::leak(shared));
        let mut pool = Pool { shared, threads: Vec::with_capacity(workers - 1) };
        for worker in 1..workers {
            // SAFETY: `Pool::drop` joins the thread before it frees `shared`.
            pool.threads.push(unsafe { Thread::start(shared, worker) }?);
        }
        Ok(pool)
    }

    /// How many workers there are, the calling thread included.
    pub fn workers(&self) -> usize {
        self.shared().seats.len()
    }

    fn shared(&self) -> &Shared {
        // SAFETY: it lives until `Pool::drop` and is only ever borrowed shared.
        unsafe { self.shared.as_ref() }
    }

    /// Calls `task(i, worker)` once for each `i` in `0..ntasks` and returns when all calls have returned.
    ///
    /// `worker` is in `0..self.workers()`; calls that overlap in time have different workers. A panic in a task
    /// ends the process.
    pub fn parallel_for<F: Fn(i64, i64) + Sync>(&self, ntasks: i64, task: F) {
        unsafe extern "C" fn call<F: Fn(i64, i64)>(task: *mut c_void, index: i64, worker: i64) {
            // SAFETY: `task` is the reference below, alive until `dispatch` returns.
            let task = unsafe { &*task.cast::<F>() };
            task(index, worker);
        }
        // SAFETY: `F` is `Sync`, so that any thread may call it.
        unsafe { self.shared().parallel_for(call::<F>, (&raw const task).cast_mut().cast(), ntasks) };
    }

    /// What a model needs to run on this pool; the weights are the embedded ones unless set in the result.
    ///
    /// The result may be used for as long as the pool lives, by any number of threads at once.
    pub fn exec(&self) -> abi::Exec {
        abi::Exec {
            abi_version: abi::ABI_VERSION,
            workers: self.workers() as u32,
            context: self.shared.as_ptr().cast(),
            parallel_for: Some(parallel_for),
            weights: ptr::null(),
            custom_calls: ptr::null(),
            custom_call_count: 0,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared().stop();
        // Joins them.
        self.threads.clear();
        // SAFETY: it came from a box, the threads that used it have ended, and nobody may use an `Exec` any more.
        drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
    }
}

/// The [`abi::ParallelFor`] of [`Pool::exec`].
///
/// # Safety
/// `context` is that of a living pool, and `task` may be called with `arg` on any thread.
unsafe extern "C" fn parallel_for(context: *mut c_void, task: abi::Task, arg: *mut c_void, ntasks: i64) {
    // SAFETY: `context` is the address of the pool's shared part, which is only ever borrowed shared.
    let shared = unsafe { &*context.cast::<Shared>() };
    // SAFETY: the caller's promise.
    unsafe { shared.parallel_for(task, arg, ntasks) };
}

impl Shared {
    /// # Safety
    /// `task` may be called with `arg` on any thread until this returns.
    unsafe fn parallel_for(&self, task: abi::Task, arg: *mut c_void, ntasks: i64) {
        let workers = self.seats.len();
        if workers > 1 && ntasks > 1 {
            let me = thread::current();
            if self.dispatcher.0.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                let participants = usize::try_from(ntasks).map_or(workers, |tasks| tasks.min(workers));
                self.dispatch(Job { task: Some(task), arg, ntasks, participants, ticket: 0 });
                self.dispatcher.0.store(0, Ordering::Release);
                return;
            }
        }
        let worker = self.current_worker();
        for index in 0..ntasks {
            // SAFETY: the caller's promise.
            unsafe { task(arg, index, worker) };
        }
    }

    /// Which worker the calling thread is while it runs a task of this pool; 0 for any other thread.
    fn current_worker(&self) -> i64 {
        if self.dispatcher.0.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let me = thread::current();
        // A thread finds its own entry if it has one, since it made that itself. Worker 0 has none.
        let found = self.threads.iter().position(|thread| thread.load(Ordering::Relaxed) == me);
        found.map_or(0, |worker| worker as i64)
    }

    /// Runs a job on the pool, which the calling thread has as worker 0.
    fn dispatch(&self, mut job: Job) {
        // SAFETY: this thread is the dispatcher, and since the last job was closed and left by all, no worker is
        // inside the gate, where alone it would read the cell.
        let cell = unsafe { &mut *self.job.0.get() };
        job.ticket = cell.ticket + 1;
        *cell = job;
        self.gate.0.open(job.participants);
        self.wake_children(0, job.participants);
        job.work(0, &self.seats);
        if !self.gate.0.close() {
            self.await_leavers();
        }
    }

    /// Waits until no worker is inside the closed gate.
    fn await_leavers(&self) {
        let mut waiting = worker::Spin::new(self.spin);
        while waiting.go_on() {
            if self.gate.0.is_empty() {
                return;
            }
        }
        loop {
            let ticket = self.left.0.value.load(Ordering::Acquire);
            if self.gate.0.announce_sleep() {
                return;
            }
            self.left.0.wait(ticket);
        }
    }
}

#[cfg(test)]
mod tests;
