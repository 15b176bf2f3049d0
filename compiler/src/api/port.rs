//! Inputs, outputs and states of a compiled model.

use crate::error::{Error, Place};
use crate::program::Port;
use graven_ir::interp::SymbolValues;
use graven_ir::{Function, TensorType};

/// The signature of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// States.
    pub states: Vec<Port>,
}

impl Signature {
    /// The signature of a function.
    pub fn of(function: &Function) -> Signature {
        let graph = &function.graph;
        let ports = |names: &[std::sync::Arc<str>], values: &[graven_ir::ValueId]| -> Vec<Port> {
            let port = |(name, value): (&std::sync::Arc<str>, &graven_ir::ValueId)| Port {
                name: name.clone(),
                ty: graph.ty(*value).clone(),
            };
            names.iter().zip(values).map(port).collect()
        };
        let states = graph.params().get(function.inputs.len()..).unwrap_or(&[]);
        Signature {
            inputs: ports(&function.inputs, graph.params()),
            outputs: ports(&function.outputs, graph.results()),
            states: ports(&function.states, states),
        }
    }

    /// The values of symbols for inputs of these shapes, one per input.
    ///
    /// # Errors
    /// Bad input, naming the input, where a shape does not fit.
    pub fn bind(&self, shapes: &[&[usize]]) -> Result<SymbolValues, Error> {
        let mut values = SymbolValues::new();
        for (port, shape) in self.inputs.iter().zip(shapes) {
            let place = || Place::named("input", &port.name);
            if port.ty.rank() != shape.len() {
                return Err(mismatch(port, shape));
            }
            for (dim, extent) in port.ty.shape.iter().zip(*shape) {
                if let Some(symbol) = dim.as_symbol() {
                    let extent = i64::try_from(*extent).unwrap_or(i64::MAX);
                    values
                        .bind(symbol, extent)
                        .map_err(|error| Error::bad_input(place(), error.to_string()))?;
                }
            }
        }
        for (port, shape) in self.inputs.iter().zip(shapes) {
            if extents(&port.ty, &values).as_deref() != Some(*shape) {
                return Err(mismatch(port, shape));
            }
        }
        Ok(values)
    }
}

/// The extents of a type for values of its symbols.
pub(crate) fn extents(ty: &TensorType, values: &SymbolValues) -> Option<Vec<usize>> {
    ty.shape.iter().map(|dim| usize::try_from(values.dim(dim)?).ok()).collect()
}

fn mismatch(port: &Port, shape: &[usize]) -> Error {
    Error::bad_input(
        Place::named("input", &port.name),
        format!("must be {}, not of shape {shape:?}", port.ty),
    )
}
