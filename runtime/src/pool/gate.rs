//! Who is inside the current loop.
//!
//! One atomic word, so that every decision is one read-modify-write:
//!
//! | bits | meaning |
//! |---|---|
//! | 0..12 | how many workers, not counting the dispatching one, are inside |
//! | 12..24 | how many workers may take part: those with a lower number |
//! | 24 | open: workers may enter |
//! | 25 | the dispatching thread sleeps until the last worker leaves |
//! | 26 | stop: the pool ends |
//! | 32..64 | number of the loop |
//!
//! The dispatching thread opens the gate, works, closes it and waits until nobody is inside. Workers enter only an
//! open gate and only once per loop. The number of the loop wraps after 2³² loops, upon which a worker that has missed exactly
//! that many misses another one; loops don't depend on any worker's presence.

use core::sync::atomic::{AtomicU64, Ordering};

const INSIDE: u64 = 0xfff;
const PARTICIPANTS_SHIFT: u32 = 12;
const PARTICIPANTS: u64 = 0xfff;
const OPEN: u64 = 1 << 24;
const SLEEPING: u64 = 1 << 25;
const STOP: u64 = 1 << 26;
const NUMBER_SHIFT: u32 = 32;

const _: () = assert!(super::MAX_WORKERS as u64 <= PARTICIPANTS && PARTICIPANTS == INSIDE);

/// The gate.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU64);

/// What a worker finds at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is inside and must leave.
    Entered,
    /// There is no loop that it hasn't seen.
    Nothing,
    /// There was one, but it is over or has no part for this worker.
    Missed,
    /// The pool ends.
    Stopped,
}

impl Gate {
    /// Opens the gate for a new loop. For the dispatching thread, when the gate is closed and empty.
    pub(super) fn open(&self, participants: usize) {
        let number = ((self.0.load(Ordering::Relaxed) >> NUMBER_SHIFT) as u32).wrapping_add(1);
        let word = u64::from(number) << NUMBER_SHIFT | OPEN | (participants as u64) << PARTICIPANTS_SHIFT;
        // In one total order with the sleepers' announcements; see `worker`.
        self.0.store(word, Ordering::SeqCst);
    }

    /// Lets nobody in any more; true if nobody is inside.
    pub(super) fn close(&self) -> bool {
        self.0.fetch_and(!OPEN, Ordering::Acquire) & INSIDE == 0
    }

    /// Whether nobody is inside. If so, what the workers did happened before.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) & INSIDE == 0
    }

    /// Makes the last worker to leave say so; true if nobody is inside.
    pub(super) fn announce_sleep(&self) -> bool {
        self.0.fetch_or(SLEEPING, Ordering::Acquire) & INSIDE == 0
    }

    /// Enters as `worker` if there is a loop other than number `seen`, which is updated.
    pub(super) fn try_enter(&self, worker: usize, seen: &mut u32) -> Entry {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let number = (word >> NUMBER_SHIFT) as u32;
            if word & STOP != 0 {
                return Entry::Stopped;
            }
            if number == *seen {
                return Entry::Nothing;
            }
            let participants = word >> PARTICIPANTS_SHIFT & PARTICIPANTS;
            if word & OPEN == 0 || worker as u64 >= participants {
                *seen = number;
                return Entry::Missed;
            }
            match self.0.compare_exchange_weak(word, word + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    *seen = number;
                    return Entry::Entered;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Leaves; true if the dispatching thread sleeps and this was the last worker.
    pub(super) fn leave(&self) -> bool {
        let word = self.0.fetch_sub(1, Ordering::Release);
        word & SLEEPING != 0 && word & INSIDE == 1
    }

    /// Whether there is something to do other than loop number `seen`, in one total order with `open` and `stop`.
    pub(super) fn has_news(&self, seen: u32) -> bool {
        let word = self.0.load(Ordering::SeqCst);
        word & STOP != 0 || (word >> NUMBER_SHIFT) as u32 != seen
    }

    /// Ends the pool. For the thread that drops it, when the gate is closed and empty.
    pub(super) fn stop(&self) {
        self.0.fetch_or(STOP, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_of_a_loop() {
        let gate = Gate::default();
        let (mut first, mut second, mut third) = (0, 0, 0);
        assert_eq!(gate.try_enter(1, &mut first), Entry::Nothing);
        gate.open(3);
        assert!(gate.has_news(first));
        assert_eq!(gate.try_enter(1, &mut first), Entry::Entered);
        assert_eq!(gate.try_enter(1, &mut first), Entry::Nothing);
        assert_eq!(gate.try_enter(2, &mut second), Entry::Entered);
        assert_eq!(gate.try_enter(3, &mut third), Entry::Missed);
        assert!(!gate.has_news(third));
        assert!(!gate.close());
        assert!(!gate.leave());
        assert!(!gate.announce_sleep());
        assert!(!gate.is_empty());
        assert!(gate.leave());
        assert!(gate.is_empty());

        gate.open(3);
        assert!(gate.close());
        assert_eq!(gate.try_enter(2, &mut second), Entry::Missed);
        assert_eq!(gate.try_enter(2, &mut second), Entry::Nothing);
        gate.stop();
        assert!(gate.has_news(second));
        assert_eq!(gate.try_enter(2, &mut second), Entry::Stopped);
    }

    #[test]
    fn the_number_wraps_without_touching_the_rest() {
        let gate = Gate(AtomicU64::new(u64::from(u32::MAX) << NUMBER_SHIFT | SLEEPING));
        let mut seen = u32::MAX;
        gate.open(2);
        assert_eq!(gate.try_enter(1, &mut seen), Entry::Entered);
        assert_eq!(seen, 0);
        assert!(!gate.leave(), "the sleep of an earlier loop is forgotten");
    }
}
