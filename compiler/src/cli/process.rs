//! When the process began.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static MAIN: OnceLock<(Instant, Duration)> = OnceLock::new();

/// Notes the time; the main function calls it first.
///
/// What went before is the loader's work. Linux tells how long the process has run and waited for a CPU (`/proc/self/schedstat`, in
/// nanoseconds); its start time (`/proc/self/stat`) has a resolution of 10 ms, which is more than all of it.
pub(super) fn begin() {
    let before = std::fs::read_to_string("/proc/self/schedstat").ok();
    let before = before.as_deref().and_then(parse_schedstat).unwrap_or_default();
    MAIN.get_or_init(|| (Instant::now(), before));
}

/// The wall time since the start of the process.
pub(super) fn since_start() -> Duration {
    MAIN.get().map_or(Duration::ZERO, |(main, before)| *before + main.elapsed())
}

/// Time on a CPU and time of waiting for one.
fn parse_schedstat(text: &str) -> Option<Duration> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (running, waiting) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(running.checked_add(waiting)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_and_waiting_add_up() {
        assert_eq!(parse_schedstat("1500 500 7\n"), Some(Duration::from_nanos(2000)));
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_schedstat("18446744073709551615 1 1"), None);
    }
}
