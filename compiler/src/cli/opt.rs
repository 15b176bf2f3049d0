//! `graven opt`.

use super::arguments::{BackendName, ModelArguments};
use super::failure::{Failure, Outcome};
use super::model::load;
use super::{arrays, output, text};
use crate::error::{Error, Place};
use crate::passes::Context;
use crate::passes::pipeline::PIPELINE;
use crate::remarks::Remarks;
use crate::stage::{Stage, StageError, parse_stages};
use graven_ir::text::display_graph;
use std::path::PathBuf;
use std::time::Instant;

/// Run passes over a model and print it as text
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Passes to run, in this order, such as fold,cse; by default all in the order of the compiler. 'grad{wrt=x,y of=loss}' adds the gradients of an output
    #[arg(long, value_name = "PASSES", value_parser = stages)]
    passes: Option<Stages>,
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
        let all = || Stages(PIPELINE.iter().map(Stage::Pass).collect());
        for stage in self.passes.clone().unwrap_or_else(all).0 {
            let start = Instant::now();
            for function in &mut module.functions {
                let mut context = Context {
                    constants: &mut module.constants,
                    symbols: &module.symbols,
                    accuracy: self.model.accuracy(),
                    remarks: &mut remarks,
                };
                stage.apply(&mut context, function).map_err(|error| match error {
                    StageError::Gradient(reason) => Failure::usage(format!("grad: {reason}")),
                    StageError::Pass(error) => {
                        let place = Place::new(format!("pass `{}` in `{}`", stage.name(), function.name));
                        Failure::Compiler(Error::internal(place, error.to_string()))
                    }
                })?;
                if self.model.print_after_all {
                    eprintln!("// after {}, function {}", stage.name(), function.name);
                    eprintln!("{}", display_graph(&function.graph, &module.constants));
                }
            }
            remarks.take().iter().for_each(|remark| eprintln!("{remark}"));
            if self.model.timing {
                eprintln!("{:>10.3} ms  {}", start.elapsed().as_secs_f64() * 1e3, stage.name());
            }
        }
        module.compact();
        match &self.output {
            Some(path) => text::write(&module, path),
            None => output::print(text::for_reading(&module).as_bytes()),
        }
    }
}

/// The passes of one option.
#[derive(Clone)]
struct Stages(Vec<Stage>);

fn stages(text: &str) -> Result<Stages, String> {
    parse_stages(text).map(Stages)
}
