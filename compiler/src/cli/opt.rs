//! `graven opt`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::{Failure, Outcome};
use super::model::load;
use super::{arrays, output, text};
use crate::error::{Error, Place};
use crate::passes::Context;
use crate::passes::pipeline::{PIPELINE, Pass, apply};
use crate::remarks::Remarks;
use graven_ir::text::display_graph;
use std::path::PathBuf;
use std::time::Instant;

/// Run passes over a model and print it as text
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Passes to run, in this order; by default all in the order of the compiler
    #[arg(long, value_name = "PASSES", value_delimiter = ',', value_parser = find_pass)]
    passes: Option<Vec<&'static Pass>>,
    /// Take the extents of the inputs from the arrays of this npz file
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    /// Write the text, or JSON if the name ends with .json, to a file, and large constants to a safetensors file next to it; without it, large constants are left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let options = self.model.options(BackendName::Auto)?;
        let _limits = self.model.limits();
        let mut loaded = load(&self.model.model, options)?;
        if let Some(path) = &self.inputs {
            let arrays = arrays::read(path, None)?;
            let shapes = arrays.into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec()));
            loaded = loaded.with_input_shapes(shapes.collect());
        }
        let mut module = loaded.module()?.module;
        let mut remarks = Remarks::new(self.model.remarks);
        let all = || PIPELINE.iter().collect();
        for pass in self.passes.clone().unwrap_or_else(all) {
            let start = Instant::now();
            for function in &mut module.functions {
                let mut context = Context {
                    constants: &mut module.constants,
                    symbols: &module.symbols,
                    accuracy: self.model.accuracy(),
                    remarks: &mut remarks,
                };
                function.graph = apply(pass, &mut context, &function.graph).map_err(|error| {
                    let place = Place::new(format!("pass `{}` in `{}`", pass.name, function.name));
                    Failure::Compiler(Error::internal(place, error.to_string()))
                })?;
                if self.model.print_after_all {
                    eprintln!("// after {}, function {}", pass.name, function.name);
                    eprintln!("{}", display_graph(&function.graph, &module.constants));
                }
            }
            remarks.take().iter().for_each(|remark| eprintln!("{remark}"));
            if self.model.timing {
                eprintln!("{:>10.3} ms  {}", start.elapsed().as_secs_f64() * 1e3, pass.name);
            }
        }
        module.compact();
        match &self.output {
            Some(path) => text::write(&module, path),
            None => output::print(text::for_reading(&module).as_bytes()),
        }
    }
}

fn find_pass(name: &str) -> Result<&'static Pass, String> {
    PIPELINE.iter().find(|pass| pass.name == name).ok_or_else(|| {
        let names: Vec<&str> = PIPELINE.iter().map(|pass| pass.name).collect();
        format!("there is no pass `{name}`; the passes are {}", names.join(", "))
    })
}
