//! Speed of contractions and convolutions: `cargo bench --bench kernels -- [FILTER…] [--backend NAME] [--seconds S]`.
//!
//! Each case is a model around one operation. Printed are the time of its kernel on one thread (the fastest run), GFLOP/s, and the fraction of the multiply-add peak
//! at the backend's vector width, which is measured just before; then the time of what runs around the kernel, such as changes of layout.
//! The code is compiled at run time, so the profile of the benchmark itself hardly matters.

mod cases;
mod peak;

use cases::{Case, random};
use graven::api::{Backend, Compiler, Options, Session, TensorView, TensorViewMut};
use std::error::Error;
use std::time::{Duration, Instant};

struct Arguments {
    filters: Vec<String>,
    backend: Backend,
    seconds: f64,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments { filters: Vec::new(), backend: Backend::Auto, seconds: 0.3 };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            // What Cargo passes.
            "--bench" => {}
            "--backend" => {
                let name = value()?;
                let known = [Backend::Auto, Backend::Wide, Backend::Cranelift];
                let found = known.into_iter().find(|backend| backend.name() == name);
                parsed.backend = found.ok_or(format!("{name} is no backend"))?;
            }
            "--seconds" => parsed.seconds = value()?.parse()?,
            _ => parsed.filters.push(argument),
        }
    }
    Ok(parsed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let width = vector_bytes(arguments.backend)?;
    println!("{} backend, {}-bit vectors", arguments.backend.name(), width * 8);
    println!("{:<20} {:>10} {:>9} {:>7} {:>7} {:>10}", "", "µs", "GFLOP/s", "peak", "", "around µs");
    for (name, case) in cases::all() {
        let wanted = |filter: &String| name.contains(filter.as_str());
        if !arguments.filters.is_empty() && !arguments.filters.iter().any(wanted) {
            continue;
        }
        let peak = peak::gflops(width);
        let times = measure(name, &case, &arguments)?;
        let speed = times.flops as f64 / times.kernel.as_secs_f64() / 1e9;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        print!("{name:<20} {:>10.1} {speed:>9.2}", micros(times.kernel));
        match peak {
            Some(peak) => print!(" {peak:>7.1} {:>6.1}%", speed / peak * 100.0),
            None => print!(" {:>7} {:>7}", "-", "-"),
        }
        println!(" {:>10.1}", micros(times.around));
    }
    Ok(())
}

/// Bytes of the vectors that a backend's kernels use on this machine.
fn vector_bytes(backend: Backend) -> Result<u16, Box<dyn Error>> {
    let target = graven::target::Target::host()?;
    let portable = target.vector_bytes;
    match (backend, target.widened()) {
        (Backend::Auto | Backend::Wide, Some(wide)) => Ok(wide.vector_bytes),
        (Backend::Wide, None) => Err("this CPU has no wide vectors".into()),
        _ => Ok(portable),
    }
}

/// The fastest of the runs.
struct Times {
    kernel: Duration,
    around: Duration,
    flops: u64,
}

fn measure(name: &str, case: &Case, arguments: &Arguments) -> Result<Times, Box<dyn Error>> {
    let options = Options { threads: Some(1), backend: arguments.backend, ..Options::default() };
    let model = Compiler::new(options).module(case.module(name)?).jit()?;
    let mut session = model.session()?;
    let shapes = case.inputs();
    session
        .prepare(&shapes.iter().enumerate().map(|(n, shape)| (format!("x{n}"), shape.clone())).collect())?;
    let tensors: Vec<_> = shapes.iter().map(|shape| random(shape)).collect();
    let elements: Vec<Vec<f32>> = tensors
        .iter()
        .map(|tensor| {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        })
        .collect();
    let output_shape = session.output_shapes()[0].clone();
    let mut output = vec![0f32; output_shape.iter().product()];
    let inputs: Vec<TensorView> = shapes
        .iter()
        .zip(&elements)
        .map(|(shape, data)| TensorView::f32(shape, data))
        .collect::<Result<_, _>>()?;
    let mut outputs = [TensorViewMut::f32(&output_shape, &mut output)?];
    let mut runs = Vec::new();
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(arguments.seconds));
    while runs.len() < 3 || start.elapsed() < limit {
        runs.push(run(&mut session, &inputs, &mut outputs)?);
    }
    let fastest = |of: &dyn Fn(&Times) -> Duration| runs.iter().map(of).min().unwrap_or_default();
    let flops = runs[0].flops;
    Ok(Times { kernel: fastest(&|times| times.kernel), around: fastest(&|times| times.around), flops })
}

/// One run: the launches that compute, and the others.
fn run(
    session: &mut Session,
    inputs: &[TensorView],
    outputs: &mut [TensorViewMut],
) -> Result<Times, Box<dyn Error>> {
    let mut times = Times { kernel: Duration::ZERO, around: Duration::ZERO, flops: 0 };
    for step in session.profile(inputs, outputs)? {
        match step.flops > step.bytes / 4 {
            true => times.kernel += step.time,
            false => times.around += step.time,
        }
        times.flops += step.flops;
    }
    Ok(times)
}
