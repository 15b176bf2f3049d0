//! What the threads of the pool do: wait, work, sleep.
//!
//! A worker that is about to sleep first announces it (its bed, then the count of sleepers) and then looks at the gate
//! once more; a dispatch first opens the gate and then looks for sleepers. All four are sequentially
//! consistent, so that at least one of the two sees the other. Waking is a system call per worker and is
//! spread over a binary tree: worker `w` wakes `2w + 1` and `2w + 2`.

use core::hint;
use core::sync::atomic::Ordering;

use super::gate::Entry;
use super::{Shared, thread};
use crate::sys::{float_env, now};

/// A bed's word while its worker is awake or has been told to be.
pub(super) const AWAKE: u32 = 0;
/// A bed's word while its worker sleeps or is about to.
const ASLEEP: u32 = 1;

/// Looks at the clock only every so many turns.
const TURNS: u32 = 128;

/// A wait in user space that ends after some time.
pub(super) struct Spin {
    nanoseconds: u64,
    turns: u32,
    since: Option<u64>,
}

impl Spin {
    pub(super) fn new(nanoseconds: u64) -> Spin {
        Spin { nanoseconds, turns: 0, since: None }
    }

    /// Lets a moment pass; false when the time is over.
    pub(super) fn go_on(&mut self) -> bool {
        hint::spin_loop();
        self.turns += 1;
        if self.turns < TURNS {
            return true;
        }
        self.turns = 0;
        let time = now();
        time.saturating_sub(*self.since.get_or_insert(time)) < self.nanoseconds
    }
}

/// The life of worker number `worker`, which isn't 0.
pub(super) fn main(shared: &Shared, worker: usize) {
    float_env::set_default();
    shared.threads[worker].store(thread::current(), Ordering::Relaxed);
    let mut seen = 0;
    while shared.enter(worker, &mut seen) {
        // SAFETY: this worker is inside the gate, and the dispatching thread writes the cell only when nobody is.
        let job = unsafe { *shared.job.0.get() };
        shared.wake_children(worker, job.participants);
        job.work(worker, &shared.seats);
        if shared.gate.0.leave() {
            shared.left.0.value.fetch_add(1, Ordering::Release);
            shared.left.0.wake_all();
        }
    }
}

impl Shared {
    /// Waits for a loop and enters it; false when the pool ends.
    fn enter(&self, worker: usize, seen: &mut u32) -> bool {
        let mut waiting = Spin::new(self.spin);
        loop {
            match self.gate.0.try_enter(worker, seen) {
                Entry::Entered => return true,
                Entry::Stopped => return false,
                Entry::Missed | Entry::Nothing => {}
            }
            if !waiting.go_on() {
                self.sleep(worker, *seen);
                waiting = Spin::new(self.spin);
            }
        }
    }

    fn sleep(&self, worker: usize, seen: u32) {
        let bed = &self.beds[worker].0;
        bed.value.store(ASLEEP, Ordering::SeqCst);
        self.sleepers.0.fetch_add(1, Ordering::SeqCst);
        while !self.gate.0.has_news(seen) && bed.value.load(Ordering::SeqCst) == ASLEEP {
            bed.wait(ASLEEP);
        }
        bed.value.store(AWAKE, Ordering::SeqCst);
        self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes the two workers below `worker` in the tree, if they take part and sleep.
    pub(super) fn wake_children(&self, worker: usize, participants: usize) {
        if self.sleepers.0.load(Ordering::SeqCst) == 0 {
            return;
        }
        for child in 2 * worker + 1..(2 * worker + 3).min(participants) {
            self.wake(child);
        }
    }

    fn wake(&self, worker: usize) {
        let bed = &self.beds[worker].0;
        if bed.value.load(Ordering::SeqCst) == ASLEEP && bed.value.swap(AWAKE, Ordering::SeqCst) == ASLEEP {
            bed.wake_all();
        }
    }

    /// Makes every worker end. For the thread that drops the pool.
    pub(super) fn stop(&self) {
        self.gate.0.stop();
        for worker in 1..self.beds.len() {
            self.wake(worker);
        }
    }
}
