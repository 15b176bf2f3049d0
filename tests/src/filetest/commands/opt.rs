//! `test opt fold,cse`: applies passes, in the given order, to every function; `test opt pipeline` applies the whole pipeline.
//!
//! The directives check the resulting text. The `run:` lines, of which there must be some, hold before and after the passes.
//!
//! `test passes`: the `run:` lines hold after each pass of the pipeline.

use super::{Outcome, cat, eval, no_arguments};
use crate::filetest::file::TestFile;
use graven::accuracy::Accuracy;
use graven::passes::Context;
use graven::passes::pipeline::{PIPELINE, Pass, apply};
use graven::remarks::Remarks;
use graven_ir::Module;
use graven_ir::text::parse;

/// How much less exact decomposed composites are than the interpreter's, which round once.
const SLACK: f64 = 8.0;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    let [names] = arguments else {
        return Err("the command takes names of passes, separated by commas".into());
    };
    let mut module = parse(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    eval::run_all(file, &module, 1.0).map_err(|message| format!("before the passes: {message}"))?;
    for pass in passes(names)? {
        run_pass(pass, &mut module)?;
    }
    module.compact();
    cat::round_trip(file, &module)?;
    eval::run_all(file, &module, SLACK)
        .map_err(|message| format!("after the passes: {message}\n{module}"))?;
    Ok(Outcome::Text(module.to_string()))
}

pub fn run_passes(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let mut module = parse(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    for pass in PIPELINE {
        run_pass(pass, &mut module)?;
        cat::round_trip(file, &module)?;
        eval::run_all(file, &module, SLACK)
            .map_err(|message| format!("after `{}`: {message}\n{module}", pass.name))?;
    }
    Ok(Outcome::Done)
}

fn passes(names: &str) -> Result<Vec<&'static Pass>, String> {
    if names == "pipeline" {
        return Ok(PIPELINE.iter().collect());
    }
    let find = |name: &str| {
        let known = PIPELINE.iter().map(|pass| pass.name).collect::<Vec<_>>().join(", ");
        let found = PIPELINE.iter().find(|pass| pass.name == name);
        found.ok_or_else(|| format!("there is no pass `{name}`; those that exist: {known}"))
    };
    names.split(',').map(find).collect()
}

fn run_pass(pass: &Pass, module: &mut Module) -> Result<(), String> {
    for function in &mut module.functions {
        let mut context = Context {
            constants: &mut module.constants,
            symbols: &module.symbols,
            accuracy: Accuracy::Default,
            remarks: &mut Remarks::default(),
        };
        function.graph = apply(pass, &mut context, &function.graph)
            .map_err(|error| format!("`{}` on @{}: {error}", pass.name, function.name))?;
    }
    Ok(())
}
