//! `graven check`.

use super::arguments::{BackendName, ModelArguments};
use super::arrays;
use super::comparison::{Comparison, Elements, Tolerance, compare};
use super::failure::{Failure, Outcome};
use super::model::{InputArguments, prepare};
use super::output::say;
use graven_ir::DType;
use std::path::PathBuf;

/// Run a model and compare its outputs with a file; exit code 1 if they differ
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    inputs: InputArguments,
    /// Expected outputs: an npz file
    #[arg(long, value_name = "FILE")]
    expect: PathBuf,
    /// Relative tolerance
    #[arg(long, value_name = "R", default_value_t = 1e-3, value_parser = parse_tolerance)]
    rtol: f64,
    /// Absolute tolerance
    #[arg(long, value_name = "A", default_value_t = 1e-4, value_parser = parse_tolerance)]
    atol: f64,
    /// What makes the code
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
}

impl Arguments {
    pub(super) fn execute(self) -> Outcome {
        let mut expected = arrays::read(&self.expect, None)?;
        let mut prepared = prepare(&self.model, self.backend, &self.inputs)?;
        if let Some(signature) = prepared.session.signature() {
            arrays::conform(&mut expected, &signature.outputs);
        }
        let outputs = prepared.session.run_tensors(&prepared.inputs)?;
        let tolerance = Tolerance { rtol: self.rtol, atol: self.atol };
        let mut passes = true;
        for (name, tensor) in &outputs {
            let Some(wanted) = expected.remove(name) else {
                say!("{name}: not in {}", self.expect.display());
                passes = false;
                continue;
            };
            let comparison = compare(tensor, &wanted, tolerance);
            passes &= comparison.passes();
            say!("{name}: {}", describe(&comparison, tensor.dtype()));
        }
        for name in expected.keys() {
            say!("{name}: expected, but the model has no such output");
            passes = false;
        }
        say!("{} (rtol {:e}, atol {:e})", if passes { "ok" } else { "MISMATCH" }, self.rtol, self.atol);
        if passes { Ok(()) } else { Err(Failure::Mismatch) }
    }
}

fn describe(comparison: &Comparison, dtype: DType) -> String {
    match comparison {
        Comparison::Type { expected, actual } => format!("expected {expected}, got {actual}"),
        Comparison::Elements(Elements { count, max_abs, max_rel, wrong, worst }) => {
            let mut line = format!("max abs error {max_abs:.3e}, max rel error {max_rel:.3e}");
            if let Some(worst) = worst {
                let number = |value: f64| match dtype.is_float() {
                    true => format!("{value:e}"),
                    false => format!("{value}"),
                };
                let (expected, actual) = (number(worst.expected), number(worst.actual));
                line += &format!(", worst at {:?}: expected {expected}, got {actual}", worst.index);
            }
            match wrong {
                0 => line,
                _ => format!("{line}; {wrong} of {count} elements differ"),
            }
        }
    }
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number")?;
    match value >= 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err("a tolerance must not be negative".into()),
    }
}
