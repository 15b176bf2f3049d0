//! `test opt fold,cse`: applies passes, in the given order, to every function; `test opt pipeline` applies the whole pipeline.
//!
//! With `grad{wrt=x of=y}` as the first one the `run:` lines need only hold afterwards, as there are more outputs.
//!
//! The directives check the resulting text. The `run:` lines, of which there must be some, hold before and after the passes.
//!
//! `test passes`: the `run:` lines hold after each pass of the pipeline.

use super::{Outcome, cat, eval, no_arguments};
use crate::filetest::file::TestFile;
use graven::accuracy::Accuracy;
use graven::passes::Context;
use graven::passes::pipeline::PIPELINE;
use graven::remarks::Remarks;
use graven::stage::{Stage, parse_stages};
use graven_ir::Module;
use graven_ir::text::parse;

/// How much less exact decomposed composites are than the interpreter's, which round once.
const SLACK: f64 = 8.0;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    let stages = match arguments.join(" ").as_str() {
        "" => return Err("the command takes names of passes, separated by commas".into()),
        "pipeline" => PIPELINE.iter().map(Stage::Pass).collect(),
        names => parse_stages(names)?,
    };
    let mut module = parse(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    if !matches!(stages.first(), Some(Stage::Grad(_))) {
        eval::run_all(file, &module, 1.0).map_err(|message| format!("before the passes: {message}"))?;
    }
    for stage in &stages {
        run_stage(stage, &mut module)?;
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
        run_stage(&Stage::Pass(pass), &mut module)?;
        cat::round_trip(file, &module)?;
        eval::run_all(file, &module, SLACK)
            .map_err(|message| format!("after `{}`: {message}\n{module}", pass.name))?;
    }
    Ok(Outcome::Done)
}

fn run_stage(stage: &Stage, module: &mut Module) -> Result<(), String> {
    for function in &mut module.functions {
        let mut context = Context {
            constants: &mut module.constants,
            symbols: &module.symbols,
            accuracy: Accuracy::Default,
            remarks: &mut Remarks::default(),
        };
        stage
            .apply(&mut context, function)
            .map_err(|error| format!("`{}` on @{}: {error}", stage.name(), function.name))?;
    }
    Ok(())
}
