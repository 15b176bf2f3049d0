//! Training a model in this process.

use super::{Compiler, Options, Session, TensorView, TensorViewMut};
use crate::autograd::GradError;
use crate::emit::dtypes::native_order;
use crate::emit::jit::SessionError;
use crate::error::{Error, Place};
use crate::train::step::module_of;
use crate::train::{StepOptions, TrainStep, train_step};
use graven_ir::{DType, Module, Tensor};
use graven_runtime::arena::Arena;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A compiled train step with its states: parameters, moments of the optimiser, the number of steps.
///
/// ```no_run
/// use graven::api::{Compiler, Options, TensorView, Trainer};
/// use graven::train::{Loss, Optimizer, StepOptions, trainable};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Compiler::new(Options::default()).load("mlp.gir")?.module()?.module;
/// let options = StepOptions { optimizer: Optimizer::ADAM, learning_rate: 1e-3, ..StepOptions::new(Loss::CrossEntropy, trainable(&model)) };
/// let mut trainer = Trainer::new(&model, &options, Options::default())?;
/// let (images, labels) = (vec![0.0f32; 100 * 784], vec![0i64; 100]);
/// let target = TensorView::new(graven_ir::DType::I64, &[100], bytemuck::cast_slice(&labels))?;
/// let report = trainer.step(&[TensorView::f32(&[100, 784], &images)?], target)?;
/// println!("loss {}", report.loss);
/// # Ok(()) }
/// ```
pub struct Trainer {
    step: TrainStep,
    session: Session,
    loss: Scalar,
    correct: Option<Scalar>,
}

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The loss before the update.
    pub loss: f64,
    /// For losses over classes how many predictions were right before the update.
    pub correct: Option<u64>,
}

/// Memory of a scalar output.
struct Scalar {
    dtype: DType,
    memory: Arena,
}

impl Scalar {
    fn new(dtype: DType) -> Result<Scalar, Error> {
        let memory = Arena::new(dtype.bytes());
        let memory = memory.map_err(|error| Error::bad_input(Place::new("memory"), error.message()))?;
        Ok(Scalar { dtype, memory })
    }

    fn view(&mut self) -> Result<TensorViewMut<'_>, Error> {
        let memory = self.memory.get_mut(..self.dtype.bytes()).unwrap_or(&mut []);
        TensorViewMut::new(self.dtype, &[], memory).map_err(our_bug)
    }

    fn value(&self) -> Result<f64, Error> {
        let bytes = self.memory.get(..self.dtype.bytes()).unwrap_or(&[]);
        let tensor = Tensor::new(self.dtype, vec![], native_order(self.dtype, bytes.to_vec()));
        let tensor =
            tensor.map_err(|error| Error::internal(Place::new("the train step"), error.to_string()))?;
        Ok(tensor.to_f64s().first().copied().unwrap_or(f64::NAN))
    }
}

impl Trainer {
    /// Compiles the train step of the model's function. The extents of its inputs must be known.
    ///
    /// # Errors
    /// Bad input for options that don't fit the model, unsupported for models without gradient; see [`Error`].
    pub fn new(model: &Module, options: &StepOptions, compile: Options) -> Result<Trainer, Error> {
        let mut model = model.clone();
        let Some(function) = model.functions.first().cloned() else {
            return Err(Error::bad_input(Place::new("the model"), "has no function"));
        };
        let step = train_step(&mut model.constants, &function, options).map_err(gradient_error)?;
        let compiled = Compiler::new(compile).module(module_of(&model, &step)).jit()?;
        let mut session = compiled.session()?;
        let signature = compiled.signature().cloned();
        let signature = signature.ok_or_else(|| {
            Error::bad_input(Place::new("the model"), "has open extents; bind them to train it")
        })?;
        let mut shapes = BTreeMap::new();
        for port in &signature.inputs {
            let open = || {
                Error::bad_input(Place::named("input", &port.name), "has open extents; bind them to train it")
            };
            shapes.insert(port.name.to_string(), port.ty.const_shape().ok_or_else(open)?);
        }
        session.prepare(&shapes)?;
        let scalars: Vec<Scalar> =
            signature.outputs.iter().map(|port| Scalar::new(port.ty.dtype)).collect::<Result<_, _>>()?;
        let mut scalars = scalars.into_iter();
        let loss = scalars.next();
        let loss = loss.ok_or_else(|| Error::internal(Place::new("the train step"), "it has no loss"))?;
        let mut trainer = Trainer { step, session, loss, correct: scalars.next() };
        trainer.reset()?;
        Ok(trainer)
    }

    /// One step on a batch: the model's inputs, and the targets. With the same states and batches it gives the same bits, for any number of threads.
    ///
    /// # Errors
    /// Bad input where the tensors don't fit or data errors occur, such as a class index out of range.
    pub fn step(&mut self, inputs: &[TensorView<'_>], target: TensorView<'_>) -> Result<StepReport, Error> {
        let mut all = inputs.to_vec();
        all.push(target);
        match &mut self.correct {
            None => self.session.run(&all, &mut [self.loss.view()?])?,
            Some(correct) => self.session.run(&all, &mut [self.loss.view()?, correct.view()?])?,
        }
        let correct = self.correct.as_ref().map(Scalar::value).transpose()?;
        Ok(StepReport { loss: self.loss.value()?, correct: correct.map(|count| count as u64) })
    }

    /// Gives all states their first values.
    ///
    /// # Errors
    /// Our bug.
    pub fn reset(&mut self) -> Result<(), Error> {
        for (place, state) in self.step.states.iter().enumerate() {
            self.session.set_state(place, &state.initial)?;
        }
        Ok(())
    }

    /// All states by name: parameters, moments, the number of steps.
    ///
    /// # Errors
    /// Our bug.
    pub fn states(&mut self) -> Result<Vec<(Arc<str>, Tensor)>, Error> {
        let mut states = Vec::with_capacity(self.step.states.len());
        for (place, state) in self.step.states.iter().enumerate() {
            states.push((state.name.clone(), self.session.state(place)?));
        }
        Ok(states)
    }

    /// The parameters by name.
    ///
    /// # Errors
    /// Our bug.
    pub fn parameters(&mut self) -> Result<Vec<(Arc<str>, Tensor)>, Error> {
        let mut states = self.states()?;
        states.truncate(self.step.parameters);
        Ok(states)
    }

    /// Sets all states, so that training goes on bit for bit where they come from.
    ///
    /// # Errors
    /// Bad input where a state is missing or has another type.
    pub fn set_states(&mut self, states: &BTreeMap<String, Tensor>) -> Result<(), Error> {
        for (place, state) in self.step.states.iter().enumerate() {
            let missing = || Error::bad_input(Place::named("state", &state.name), "is missing");
            self.session.set_state(place, states.get(&*state.name).ok_or_else(missing)?)?;
        }
        Ok(())
    }
}

fn gradient_error(error: GradError) -> Error {
    let reason = error.to_string();
    let place = Place::new("the model");
    match error {
        GradError::NotDifferentiable { .. } => Error::unsupported(place, reason),
        GradError::Usage(_) => Error::bad_input(place, reason),
        GradError::Rule(_) | GradError::Pass(_) => Error::internal(place, reason),
    }
}

fn our_bug(error: SessionError) -> Error {
    Error::internal(Place::new("the train step"), error.to_string())
}
