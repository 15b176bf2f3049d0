//! The reference interpreter in place of machine code.

use super::Signature;
use super::port::extents;
use crate::error::{Error, Place};
use crate::program::Port;
use graven_ir::interp::{EvalError, EvalErrorKind, Interpreter, SymbolValues};
use graven_ir::{Module, Tensor};

/// The values of states from run to run.
#[derive(Debug)]
pub(super) struct Interpretation {
    states: Vec<Tensor>,
}

impl Interpretation {
    /// All states are zero.
    pub(super) fn new(signature: &Signature, values: &SymbolValues) -> Result<Interpretation, Error> {
        let states = signature.states.iter().map(|port| zeros(port, values)).collect::<Result<_, _>>()?;
        Ok(Interpretation { states })
    }

    /// The n-th state.
    pub(super) fn state(&mut self, n: usize) -> Result<&mut Tensor, Error> {
        let missing = || Error::internal(Place::new("the interpreter"), format!("it has no state {n}"));
        self.states.get_mut(n).ok_or_else(missing)
    }

    /// The outputs of a run.
    pub(super) fn run(&mut self, module: &Module, mut inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        let Some(function) = module.functions.first() else {
            return Err(Error::bad_input(Place::new("the model"), "has no function"));
        };
        inputs.extend(self.states.iter().cloned());
        let results = Interpreter::new(&module.constants).function(function, &inputs);
        let mut outputs = results.map_err(evaluation_error)?;
        self.states = outputs.split_off(function.outputs.len().min(outputs.len()));
        Ok(outputs)
    }
}

fn zeros(port: &Port, values: &SymbolValues) -> Result<Tensor, Error> {
    let place = || Place::named("state", &port.name);
    let unbound = || Error::unsupported(place(), "no input determines its extents");
    let shape = extents(&port.ty, values).ok_or_else(unbound)?;
    let bytes = shape.iter().try_fold(port.ty.dtype.bytes(), |product, extent| product.checked_mul(*extent));
    let bytes = bytes.ok_or_else(|| Error::bad_input(place(), "is too large"))?;
    Tensor::new(port.ty.dtype, shape, vec![0; bytes])
        .map_err(|error| Error::internal(place(), error.to_string()))
}

fn evaluation_error(error: EvalError) -> Error {
    let place = match error.nodes.last() {
        Some(node) => Place::named("node", node),
        None => Place::new("the inputs"),
    };
    let reason = error.kind.to_string();
    match error.kind {
        EvalErrorKind::UnknownCustomCall(_) | EvalErrorKind::UnboundExtent(_) => {
            Error::unsupported(place, reason)
        }
        EvalErrorKind::IllTyped(_) | EvalErrorKind::Internal(_) => Error::internal(place, reason),
        _ => Error::bad_input(place, reason),
    }
}
