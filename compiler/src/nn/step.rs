//! Functions that train parameters themselves: several losses and optimisers in one step, gradients of gradients.

use super::{Forward, NnError};
use crate::autograd::grad;
use crate::train::Optimizer;
use crate::train::optimizer::Rate;
use graven_ir::{BinaryOp, DType, TensorType, ValueId};

impl Forward<'_> {
    /// The parameters so far whose full names begin with `prefix`, with their current values. Only functions of [`ModelBuilder::step`](super::ModelBuilder::step) have any.
    pub fn parameters(&self, prefix: &str) -> Vec<(String, ValueId)> {
        let chosen = self.states.iter().filter(|state| state.is_parameter && state.name.starts_with(prefix));
        chosen.map(|state| (state.name.to_string(), state.current)).collect()
    }

    /// One step of an optimiser on the parameters whose full names begin with `prefix`. What is built afterwards sees the new values, so that losses take turns as those of
    /// generator and discriminator do. Moments and the number of steps are states, named after the parameters and the prefix.
    ///
    /// # Errors
    /// [`NnError::Layer`] if there is no such parameter; [`NnError::Grad`].
    pub fn minimise(
        &mut self,
        loss: ValueId,
        prefix: &str,
        optimizer: &Optimizer,
        learning_rate: f64,
    ) -> Result<(), NnError> {
        let parameters = self.parameters(prefix);
        if parameters.is_empty() {
            return self.refuse(format!("no parameter begins with `{prefix}`"));
        }
        let values: Vec<ValueId> = parameters.iter().map(|(_, value)| *value).collect();
        let gradients = grad(self, loss, &values)?;
        let counter = format!("{prefix}.step");
        let count = self.own_state(&counter, TensorType::scalar(DType::I64));
        let one = self.scalar(DType::I64, 1.0)?;
        let next = self.binary(BinaryOp::Add, count, one)?;
        self.set_state(&counter, next);
        let rate = Rate {
            learning_rate: self.scalar(DType::F64, learning_rate)?,
            step: self.cast(next, DType::F64)?,
        };
        for ((name, value), gradient) in parameters.into_iter().zip(gradients) {
            let ty = self.ty(value).clone();
            let names: Vec<String> =
                optimizer.moments().iter().map(|moment| format!("{name}.{moment}")).collect();
            let moments: Vec<ValueId> = names.iter().map(|name| self.own_state(name, ty.clone())).collect();
            let mut updated = optimizer.update(self, rate, [value, gradient], &moments)?.into_iter();
            if let Some(new) = updated.next() {
                self.set_state(&name, new);
            }
            for (name, new) in names.iter().zip(updated) {
                self.set_state(name, new);
            }
        }
        Ok(())
    }

    /// The value so far of a state that begins with zeros.
    fn own_state(&mut self, name: &str, ty: TensorType) -> ValueId {
        match self.states.iter().find(|state| *state.name == *name) {
            Some(state) => state.current,
            None => self.add_state(name, ty),
        }
    }

    fn set_state(&mut self, name: &str, value: ValueId) {
        if let Some(state) = self.states.iter_mut().find(|state| *state.name == *name) {
            state.current = value;
        }
    }
}
