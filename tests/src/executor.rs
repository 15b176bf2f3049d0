//! Ways to run a module.

use graven_ir::{Module, Tensor, interp};

/// Runs the function `main` of a module.
pub trait Executor: Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// The outputs for inputs in the order of the signature.
    ///
    /// # Errors
    /// One sentence.
    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String>;
}

/// The reference interpreter.
pub struct Interpreter;

impl Executor for Interpreter {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        interp::evaluate(module, "main", inputs).map_err(|error| error.to_string())
    }
}
