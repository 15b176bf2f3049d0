//! How the tasks of a loop are divided.
//!
//! Participant `p` owns a contiguous range of tasks, cut into at most [`CHUNKS`] chunks. Its [`Seat`] says which
//! of them are taken: the number of the loop (its ticket) in the upper 48 bits and the count of chunks taken in the lower 16.
//! A seat with another ticket is one from which nothing is taken yet, so that a dispatch needn't reset the
//! seats, each of which lies in another worker's cache. Whoever has taken all of its own chunks goes
//! round the other seats once; a seat found empty stays empty until the loop ends. A ticket comes again
//! after 2⁴⁸ loops, which is years.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use super::Padded;
use crate::abi;

/// Chunks per participant: few enough that taking one costs nothing against running it, enough to even out delays.
const CHUNKS: u64 = 64;
const COUNT_BITS: u32 = 16;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// What is taken of a participant's range.
#[derive(Debug, Default)]
pub(super) struct Seat(AtomicU64);

impl Seat {
    /// Takes one of `chunks` chunks and returns its number.
    fn take(&self, ticket: u64, chunks: u64) -> Option<u64> {
        // Relaxed: the gate orders everything between loops, and inside one only the count matters.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let taken = if word >> COUNT_BITS == ticket { word & COUNT } else { 0 };
            if taken >= chunks {
                return None;
            }
            let next = ticket << COUNT_BITS | (taken + 1);
            match self.0.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(taken),
                Err(now) => word = now,
            }
        }
    }
}

/// A loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// What to call; `None` before the first loop.
    pub(super) task: Option<abi::Task>,
    /// Its first argument.
    pub(super) arg: *mut c_void,
    /// How many tasks there are, at least 0.
    pub(super) ntasks: i64,
    /// How many workers take part, at least 1.
    pub(super) participants: usize,
    /// The number of the loop.
    pub(super) ticket: u64,
}

impl Job {
    /// No tasks.
    pub(super) const NONE: Job =
        Job { task: None, arg: ptr::null_mut(), ntasks: 0, participants: 1, ticket: 0 };

    /// Runs, as `worker`, tasks that nobody has taken until there are none.
    pub(super) fn work(&self, worker: usize, seats: &[Padded<Seat>]) {
        let Some(task) = self.task else { return };
        let (before, from) = seats[..self.participants].split_at(worker);
        for (owner, seat) in (worker..).zip(from).chain((0..).zip(before)) {
            let range = Range::of(owner as u64, self.participants as u64, self.ntasks as u64);
            while let Some(chunk) = seat.0.take(self.ticket & (u64::MAX >> COUNT_BITS), range.chunks()) {
                let (start, end) = range.chunk(chunk);
                for index in start..end {
                    // SAFETY: whoever called `parallel_for` allows this on any thread until it returns, which it
                    // does only after this worker has left the gate.
                    unsafe { task(self.arg, index as i64, worker as i64) };
                }
            }
        }
    }
}

/// The tasks of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
    /// Tasks per chunk.
    step: u64,
}

impl Range {
    /// The range of one of `participants`: they differ in length by at most 1.
    fn of(participant: u64, participants: u64, ntasks: u64) -> Range {
        let (base, longer) = (ntasks / participants, ntasks % participants);
        let start = participant * base + participant.min(longer);
        let length = base + u64::from(participant < longer);
        Range { start, end: start + length, step: length.div_ceil(CHUNKS).max(1) }
    }

    fn chunks(self) -> u64 {
        (self.end - self.start).div_ceil(self.step)
    }

    fn chunk(self, index: u64) -> (u64, u64) {
        let start = self.start + index * self.step;
        (start, (start + self.step).min(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_partition_the_tasks() {
        for ntasks in (0..300).chain([1000, 4095, 4096, 4097]) {
            for participants in [1, 2, 3, 7, 64] {
                let mut next = 0;
                for participant in 0..participants {
                    let range = Range::of(participant, participants, ntasks);
                    assert!(range.chunks() <= CHUNKS);
                    for chunk in 0..range.chunks() {
                        let (start, end) = range.chunk(chunk);
                        assert_eq!(start, next);
                        assert!(end > start);
                        next = end;
                    }
                    assert_eq!(next, range.end);
                }
                assert_eq!(next, ntasks);
            }
        }
    }

    #[test]
    fn the_greatest_count_does_not_overflow() {
        let ntasks = i64::MAX as u64;
        let last = Range::of(1022, 1023, ntasks);
        assert_eq!(last.end, ntasks);
        assert_eq!(last.chunk(last.chunks() - 1).1, ntasks);
    }

    #[test]
    fn a_seat_gives_each_chunk_once_per_ticket() {
        let seat = Seat::default();
        for ticket in [1, 2, u64::MAX >> COUNT_BITS] {
            let taken: std::vec::Vec<u64> = core::iter::from_fn(|| seat.take(ticket, 3)).collect();
            assert_eq!(taken, [0, 1, 2]);
        }
    }
}
