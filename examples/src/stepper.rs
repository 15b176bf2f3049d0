//! Runs functions that train parameters themselves, and functions that use these.

use crate::Result;
use graven::api::{Compiler, Options, Session, TensorView, TensorViewMut};
use graven::nn;
use graven_ir::{Module, Tensor};
use std::sync::Arc;

/// A function of a model with the values of its states. Inputs and outputs are f32.
pub struct Stepper {
    session: Session,
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Vec<usize>>,
    states: Vec<Arc<str>>,
}

impl Stepper {
    /// Compiles a function of a model and gives its states their first values.
    ///
    /// # Errors
    /// Those of the compiler.
    pub fn new(model: &Module, function: &str, seed: u64) -> Result<Stepper> {
        let module = nn::only(model, function)?;
        let states = nn::initial_states(&module, seed)?;
        let compiled = Compiler::new(Options::default()).module(module).jit()?;
        let signature = compiled.signature().ok_or("the model has open extents")?.clone();
        let mut session = compiled.session()?;
        let shape = |port: &graven::program::Port| port.ty.const_shape().ok_or("open extents");
        let inputs = signature.inputs.iter().map(shape).collect::<std::result::Result<Vec<_>, _>>()?;
        let outputs = signature.outputs.iter().map(shape).collect::<std::result::Result<Vec<_>, _>>()?;
        let names = signature.inputs.iter().map(|port| port.name.to_string());
        session.prepare(&names.zip(inputs.iter().cloned()).collect())?;
        for (place, (_, value)) in states.iter().enumerate() {
            session.set_state(place, value)?;
        }
        Ok(Stepper { session, inputs, outputs, states: states.into_iter().map(|(name, _)| name).collect() })
    }

    /// Runs the function once.
    ///
    /// # Errors
    /// Inputs of other sizes.
    pub fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let mut views = Vec::with_capacity(inputs.len());
        for (shape, values) in self.inputs.iter().zip(inputs) {
            views.push(TensorView::f32(shape, values)?);
        }
        let sizes = self.outputs.iter().map(|shape| shape.iter().product());
        let mut results: Vec<Vec<f32>> = sizes.map(|size| vec![0.0; size]).collect();
        let mut outputs = Vec::with_capacity(results.len());
        for (shape, values) in self.outputs.iter().zip(&mut results) {
            outputs.push(TensorViewMut::f32(shape, values)?);
        }
        self.session.run(&views, &mut outputs)?;
        Ok(results)
    }

    /// The states by name.
    ///
    /// # Errors
    /// Our bug.
    pub fn states(&mut self) -> Result<Vec<(Arc<str>, Tensor)>> {
        let mut states = Vec::with_capacity(self.states.len());
        for (place, name) in self.states.iter().enumerate() {
            states.push((name.clone(), self.session.state(place)?));
        }
        Ok(states)
    }

    /// Puts the states into the model's constants of the same names.
    ///
    /// # Errors
    /// Our bug.
    pub fn store(&mut self, model: &mut Module) -> Result<()> {
        let known: Vec<Arc<str>> = nn::state_dict(model).into_iter().map(|(name, _)| name).collect();
        let mut states = self.states()?;
        states.retain(|(name, _)| known.contains(name));
        Ok(nn::load_state_dict(model, &states, false)?)
    }
}
