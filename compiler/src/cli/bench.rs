//! `graven bench`.

use super::arguments::{BackendName, ModelArguments, parse_seconds};
use super::buffers::Buffers;
use super::failure::{Failure, Outcome};
use super::model::{InputArguments, load};
use super::output::say;
use super::{arrays, process};
use crate::api::Session;
use crate::error::{Error, Place};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Measure how long a run takes
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    inputs: InputArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to measure, in seconds
    #[arg(long, value_name = "S", default_value = "3", value_parser = parse_seconds)]
    seconds: Duration,
    /// Print the time of each kernel
    #[arg(long)]
    profile: bool,
    /// What makes the code
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
}

/// What is printed; the names of the fields are those of the JSON and stay.
#[derive(Serialize)]
struct Report {
    /// The model's path.
    model: String,
    threads: usize,
    backend: &'static str,
    /// Median time of a run.
    median_ms: f64,
    /// The time that 95 % of the runs stay below.
    p95_ms: f64,
    /// Fastest run.
    min_ms: f64,
    /// Runs measured.
    runs: usize,
    /// Arithmetic of a run by the median time, in 10⁹ operations per second; a multiply-add counts two.
    gflops: f64,
    /// Wall time from the start of the process until the code could run.
    compile_ms: f64,
    arena_bytes: u64,
    code_bytes: u64,
    weights_bytes: u64,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let options = self.model.options(self.backend)?;
        let limits = self.model.limits();
        let loaded = load(&self.model.model, options)?;
        let mut inputs = self.inputs.read(&loaded)?;
        let model = loaded.jit()?;
        let mut session = model.session()?;
        let shapes: BTreeMap<String, Vec<usize>> = match (self.inputs.is_empty(), model.signature()) {
            (false, _) => {
                inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect()
            }
            (true, Some(signature)) => super::buffers::greatest_shapes(signature)?,
            (true, None) => {
                let open: Vec<String> =
                    loaded.open_extents()?.iter().map(|name| format!("`--dim {name}=…`")).collect();
                let reason =
                    format!("the model has open extents; give `--inputs FILE` or {}", open.join(", "));
                return Err(Failure::Compiler(Error::bad_input(Place::new("the model"), reason)));
            }
        };
        session.prepare(&shapes)?;
        let compile_time = process::since_start();
        drop(limits);
        if let Some(signature) = session.signature() {
            arrays::conform(&mut inputs, &signature.inputs);
        }
        let mut buffers = Buffers::new(&session, &shapes, &inputs)?;
        let times = measure(&mut session, &mut buffers, self.seconds)?;
        let report = self.report(&session, &times, compile_time);
        match self.json {
            true => say!("{}", serde_json::to_string(&report).unwrap_or_default()),
            false => report.print(),
        }
        if self.profile {
            super::profile::print(&mut session, &mut buffers)?;
        }
        Ok(())
    }

    fn report(&self, session: &Session, times: &[Duration], compile_time: Duration) -> Report {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let quantile =
            |part: usize| times.get(times.len().saturating_sub(1) * part / 100).copied().unwrap_or_default();
        let statistics = session.statistics();
        let median = quantile(50);
        Report {
            model: self.model.model.display().to_string(),
            threads: session.threads(),
            backend: statistics.backend.name(),
            median_ms: milliseconds(median),
            p95_ms: milliseconds(quantile(95)),
            min_ms: milliseconds(quantile(0)),
            runs: times.len(),
            gflops: statistics.flops as f64 / median.as_secs_f64().max(1e-9) / 1e9,
            compile_ms: milliseconds(compile_time),
            arena_bytes: statistics.arena_bytes,
            code_bytes: statistics.code_bytes,
            weights_bytes: statistics.weights_bytes,
        }
    }
}

impl Report {
    fn print(&self) {
        say!("{}, {} backend, {} threads", self.model, self.backend, self.threads);
        say!(
            "  median {:.3} ms, 95 % below {:.3} ms, fastest {:.3} ms, {} runs",
            self.median_ms,
            self.p95_ms,
            self.min_ms,
            self.runs
        );
        say!("  {:.1} GFLOP/s", self.gflops);
        say!("  compiled in {:.1} ms", self.compile_ms);
        say!(
            "  code {} bytes, weights {} bytes, arena {} bytes",
            self.code_bytes,
            self.weights_bytes,
            self.arena_bytes
        );
    }
}

/// The times of runs, sorted. A tenth of the time goes by before, so that caches, clocks and threads are awake.
fn measure(session: &mut Session, buffers: &mut Buffers, limit: Duration) -> Result<Vec<Duration>, Failure> {
    let start = Instant::now();
    loop {
        buffers.run(session)?;
        if start.elapsed() >= limit / 10 {
            break;
        }
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed() < limit {
        let run = Instant::now();
        buffers.run(session)?;
        times.push(run.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}
