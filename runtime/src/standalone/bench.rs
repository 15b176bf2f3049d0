//! How long a run takes.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;

use super::run::Call;
use crate::error::Error;
use crate::sys::now;
use crate::text::{Milliseconds, text};

/// Runs for this long before anything counts: caches fill, the clock rate rises.
const WARM_UP: u64 = 300_000_000;
/// Then runs for this long, in nanoseconds.
const BUDGET: u64 = 3_000_000_000;
/// But at least this often, however slow the model,
const FEWEST: usize = 5;
/// and at most this often, however fast.
const MOST: usize = 1_000_000;

/// Runs the model again and again; the result is a line with the median and the 95th percentile.
pub(super) fn measure(call: &mut Call<'_>, threads: usize) -> Result<String, Error> {
    repeat(call, WARM_UP, 1)?;
    let mut times = repeat(call, BUDGET, FEWEST)?;
    sort(&mut times);
    let (median, p95) = (percentile(&times, 50), percentile(&times, 95));
    Ok(text!("median % ms  p95 % ms  runs %  threads %\n", median, p95, times.len(), threads))
}

/// The times of runs, in nanoseconds, until the budget is spent.
fn repeat(call: &mut Call<'_>, budget: u64, fewest: usize) -> Result<Vec<u64>, Error> {
    let mut times = Vec::new();
    let start = now();
    let mut before = start;
    while times.len() < MOST && (before - start < budget || times.len() < fewest) {
        call.run()?;
        let after = now();
        times.push(after - before);
        before = now();
    }
    Ok(times)
}

/// Sorts with the C library, which every executable has, rather than with code of its own.
fn sort(times: &mut [u64]) {
    extern "C" fn compare(a: *const c_void, b: *const c_void) -> i32 {
        // SAFETY: both are elements of the slice.
        let (a, b) = unsafe { (*a.cast::<u64>(), *b.cast::<u64>()) };
        i32::from(a > b) - i32::from(a < b)
    }
    // SAFETY: as many elements of that size as stated, and a total order.
    unsafe { libc::qsort(times.as_mut_ptr().cast(), times.len(), size_of::<u64>(), Some(compare)) };
}

/// The nearest-rank percentile of sorted times.
fn percentile(times: &[u64], percent: usize) -> Milliseconds {
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    Milliseconds(times.get(rank).map_or(0.0, |time| *time as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::{percentile, sort};

    #[test]
    fn sorted() {
        let mut times = [5, u64::MAX, 0, 7, 5, u64::MAX - 1];
        sort(&mut times);
        assert_eq!(times, [0, 5, 5, 7, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn nearest_ranks() {
        // The example of the method's usual definition: 15, 20, 35, 40, 50.
        let times = [15_000_000, 20_000_000, 35_000_000, 40_000_000, 50_000_000];
        for (percent, expected) in [(5, 15.0), (30, 20.0), (40, 20.0), (50, 35.0), (95, 50.0), (100, 50.0)] {
            assert_eq!(percentile(&times, percent).0, expected);
        }
    }
}
