//! The reference interpreter: the oracle for every pass and every code generator.
//!
//! * [`evaluate`]: a function of a module, with its symbols bound from the input shapes
//! * [`evaluate_graph`]: a graph, for given symbols
//! * [`evaluate_op`]: one op, for constant folding
//! * [`Interpreter`]: the same with [`Limits`] and [`CustomCalls`]
//!
//! # Numbers
//! Floats are computed in f64 and rounded once per op to the dtype, to nearest with ties to even; contractions, reductions and composites
//! accumulate in f64 too. So results in f32 and narrower are those of exact arithmetic but for the rounding of f64, which shows only where
//! the exact value lies within 2⁻⁵² relative of a midpoint between two neighbours of the dtype; for + − × ÷ √ it never shows, since
//! 53 ≥ 2·24 + 2 bits (Figueroa, "When is double rounding innocuous?", 1995). In f64 itself sums are plain sums in row-major order and
//! the mathematical functions are those of `libm`, with errors below 2 ulp; they are the same on every platform.
//! Integers are computed in i128 and wrapped to the dtype; bool is 0 or 1.
//!
//! # Errors
//! [`EvalErrorKind`] says of each kind whether it is bad input, a run-time data error, unsupported, or our bug. Every op is checked by
//! inference on the actual operand types before it is evaluated, so ill-typed graphs give an error rather than a panic. That ids
//! refer to something is the verifier's matter.

mod composite;
mod contraction;
mod control;
mod custom;
mod dispatch;
mod elementwise;
mod error;
mod evaluation;
mod index;
mod indexing;
mod leaf;
mod limits;
mod movement;
mod quantize;
mod reduction;
mod sorting;
mod symbols;
mod taps;
mod values;
mod window;

pub use custom::{CustomCall, CustomCalls};
pub use error::{EvalError, EvalErrorKind};
pub use limits::Limits;
pub use symbols::SymbolValues;

use crate::{Constants, Dim, Function, Graph, Module, Op, Tensor};
use evaluation::{Evaluation, Plan};

/// The outputs, then the states, of a function of a module, from its inputs, then its states.
///
/// Symbols are bound from the input shapes; see [`SymbolValues::from_inputs`].
///
/// # Errors
/// See [`EvalErrorKind`].
pub fn evaluate(module: &Module, function: &str, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    let found = module.functions.iter().find(|candidate| candidate.name == function);
    let function = found.ok_or_else(|| EvalErrorKind::UnknownFunction(function.into()))?;
    Interpreter::new(&module.constants).function(function, inputs)
}

/// The results of a graph for given values of its symbols.
///
/// # Errors
/// See [`EvalErrorKind`].
pub fn evaluate_graph(
    constants: &Constants,
    graph: &Graph,
    inputs: &[Tensor],
    symbols: &SymbolValues,
) -> Result<Vec<Tensor>, EvalError> {
    Interpreter::new(constants).graph(graph, inputs, symbols)
}

/// The results of an op without regions and symbols that refers to no constant of a module.
///
/// # Errors
/// See [`EvalErrorKind`].
pub fn evaluate_op(op: &Op, operands: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
    Interpreter::new(&Constants::new()).op(op, operands, &[], &SymbolValues::new())
}

/// An interpreter with limits and custom calls.
pub struct Interpreter<'a> {
    constants: &'a Constants,
    custom_calls: CustomCalls<'a>,
    limits: Limits,
}

impl<'a> Interpreter<'a> {
    /// An interpreter over a module's constants, with default limits and no custom calls.
    pub fn new(constants: &'a Constants) -> Interpreter<'a> {
        Interpreter { constants, custom_calls: CustomCalls::new(), limits: Limits::default() }
    }

    /// The same with these limits, for each evaluation anew.
    pub fn with_limits(self, limits: Limits) -> Interpreter<'a> {
        Interpreter { limits, ..self }
    }

    /// The same with these custom calls.
    pub fn with_custom_calls(self, custom_calls: CustomCalls<'a>) -> Interpreter<'a> {
        Interpreter { custom_calls, ..self }
    }

    /// The outputs, then the states, of a function; see [`evaluate`].
    pub fn function(&self, function: &Function, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvalError> {
        let types = function.graph.params().iter().map(|param| function.graph.ty(*param));
        self.graph(&function.graph, inputs, &SymbolValues::from_inputs(types.zip(inputs))?)
    }

    /// The results of a graph; see [`evaluate_graph`].
    pub fn graph(
        &self,
        graph: &Graph,
        inputs: &[Tensor],
        symbols: &SymbolValues,
    ) -> Result<Vec<Tensor>, EvalError> {
        self.evaluation(symbols).run(&Plan::new(graph), inputs)
    }

    /// The results of one op.
    pub fn op(
        &self,
        op: &Op,
        operands: &[Tensor],
        regions: &[Graph],
        symbols: &SymbolValues,
    ) -> Result<Vec<Tensor>, EvalError> {
        self.evaluation(symbols).op(op, operands, regions)
    }

    fn evaluation(&self, symbols: &SymbolValues) -> Evaluation<'_> {
        Evaluation::new(self.constants, &self.custom_calls, symbols.clone(), self.limits)
    }
}

/// Exactly `N` operands.
fn operands<const N: usize>(operands: &[Tensor]) -> Result<[&Tensor; N], EvalErrorKind> {
    let given = operands.len();
    let operands: Vec<&Tensor> = operands.iter().collect();
    operands.try_into().map_err(|_| EvalErrorKind::Internal(format!("{given} operands instead of {N}")))
}

/// The value of an extent in an attribute, where the symbols have been replaced by their values.
fn constant(dim: &Dim) -> Result<i64, EvalErrorKind> {
    dim.as_const().ok_or_else(|| EvalErrorKind::UnboundExtent(dim.to_string()))
}

/// The values of the extents in an attribute.
fn constants(dims: &[Dim]) -> Result<Vec<i64>, EvalErrorKind> {
    dims.iter().map(constant).collect()
}
