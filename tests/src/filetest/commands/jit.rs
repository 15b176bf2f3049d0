//! `test jit`: the `run:` lines of the first function hold for compiled code, by both backends, with one and with three threads.
//!
//! Where an error is expected, compiled code must give one too, with whatever message.

use super::eval::{Expected, Run};
use super::{Outcome, cat, no_arguments};
use crate::filetest::file::TestFile;
use graven::api::{Backend, Compiler, Options};
use graven_ir::text::parse;
use graven_ir::{Module, Tensor};
use std::collections::BTreeMap;

/// How much less exact compiled code is than the interpreter, which rounds once: polynomials and sums in f32.
const SLACK: f64 = 16.0;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let module = parse(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    let mut failures = Vec::new();
    let mut count = 0;
    for (line, text) in &file.runs {
        let run = Run::parse(&module, text).map_err(|message| format!("{}: {message}", file.at(*line)))?;
        if module.functions.first().is_none_or(|first| first.name != run.function.name) {
            continue;
        }
        count += 1;
        for (backend, threads) in [(Backend::Auto, 1), (Backend::Auto, 3), (Backend::Cranelift, 3)] {
            let results = compiled(&module, &run, backend, threads);
            let judged = match (&run.expected, results) {
                (Expected::Failure, Ok(_)) => Err("no error".to_owned()),
                (Expected::Failure, Err(_)) => Ok(()),
                (_, Err(message)) => Err(message),
                (_, Ok(results)) => run.compare(&results, SLACK),
            };
            failures.extend(
                judged
                    .err()
                    .map(|message| format!("{}: {backend:?}, {threads} threads: {message}", file.at(*line))),
            );
        }
    }
    match failures.is_empty() {
        true if count == 0 => Err("no `// run:` line of the first function".into()),
        true => Ok(Outcome::Done),
        false => Err(failures.join("\n")),
    }
}

fn compiled(module: &Module, run: &Run<'_>, backend: Backend, threads: usize) -> Result<Vec<Tensor>, String> {
    if !run.function.states.is_empty() {
        return Err("functions with states are not run here".into());
    }
    let options = Options { threads: Some(threads), backend, ..Options::default() };
    let model = Compiler::new(options).module(module.clone()).jit().map_err(|error| error.to_string())?;
    let names = run.function.inputs.iter().map(|name| name.to_string());
    let inputs: BTreeMap<String, Tensor> = names.zip(run.inputs.iter().cloned()).collect();
    let mut session = model.session().map_err(|error| error.to_string())?;
    let results = session.run_tensors(&inputs).map_err(|error| error.to_string())?;
    Ok(results.into_iter().map(|(_, tensor)| tensor).collect())
}
