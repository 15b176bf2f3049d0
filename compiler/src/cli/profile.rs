//! Time per kernel, as a table.

use super::buffers::Buffers;
use super::failure::Failure;
use super::output::say;
use crate::api::{Session, StepTime};
use std::collections::BTreeMap;
use std::time::Duration;

/// Runs over which times are averaged.
const RUNS: usize = 10;

/// What the launches of a kernel take together.
#[derive(Clone, Debug, Default)]
struct Row {
    launches: usize,
    time: Duration,
    flops: u64,
    bytes: u64,
    /// The model's node of the first launch.
    origin: String,
}

/// Measures the launches of some runs one by one and prints them by kernel, the costliest first.
pub(super) fn print(session: &mut Session, buffers: &mut Buffers) -> Result<(), Failure> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for _ in 0..RUNS {
        buffers.with(|inputs, outputs| {
            session.profile(inputs, outputs)?.iter().for_each(|step| add(&mut rows, step));
            Ok(())
        })?;
    }
    let total: Duration = rows.values().map(|row| row.time).sum();
    let mut rows: Vec<(String, Row)> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.time));
    say!("\n{:>10} {:>6} {:>8} {:>9} {:>8}  {:<32} from", "ms", "%", "launches", "GFLOP/s", "GB/s", "kernel");
    for (kernel, row) in &rows {
        let seconds = row.time.as_secs_f64();
        let share = 100.0 * seconds / total.as_secs_f64().max(1e-12);
        let rate = |amount: u64| amount as f64 / seconds.max(1e-12) / 1e9;
        let milliseconds = seconds * 1e3 / RUNS as f64;
        say!(
            "{milliseconds:>10.4} {share:>6.1} {:>8} {:>9.2} {:>8.2}  {kernel:<32} {}",
            row.launches / RUNS,
            rate(row.flops),
            rate(row.bytes),
            row.origin
        );
    }
    say!("{:>10.4}  100.0", total.as_secs_f64() * 1e3 / RUNS as f64);
    Ok(())
}

fn add(rows: &mut BTreeMap<String, Row>, step: &StepTime<'_>) {
    let row = rows.entry(step.kernel.to_string()).or_default();
    row.launches += 1;
    row.time += step.time;
    row.flops = row.flops.saturating_add(step.flops);
    row.bytes = row.bytes.saturating_add(step.bytes);
    if row.origin.is_empty() {
        row.origin = step.origin.unwrap_or_default().to_string();
    }
}
