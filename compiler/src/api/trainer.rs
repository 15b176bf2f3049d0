//! Training a model in this process.

use super::{Compiler, LoadedModel, Options, Session, Statistics, TensorView, TensorViewMut};
use crate::autograd::GradError;
use crate::emit::dtypes::native_order;
use crate::emit::jit::SessionError;
use crate::error::{Error, Place};
use crate::program::Training;
use crate::train::random::RANDOM_KEY;
use crate::train::step::{STEP, module_of};
use crate::train::{StepOptions, TrainStep, evaluation, train_step, training_function};
use graven_ir::{DType, Function, Module, Tensor};
use graven_runtime::arena::Arena;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A compiled train step with its states: parameters, the model's own states, moments of the optimiser, the number of steps.
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
    runner: Runner,
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

/// A step's function with memory for what it reports.
struct Runner {
    session: Session,
    loss: Scalar,
    correct: Option<Scalar>,
}

impl Runner {
    fn new(model: &Module, step: &TrainStep, compile: Options) -> Result<Runner, Error> {
        let compiled = Compiler::new(compile).module(module_of(model, step)).jit()?;
        let mut session = compiled.session()?;
        let open = |place| Error::bad_input(place, "has open extents; bind them to train it");
        let signature = compiled.signature().cloned().ok_or_else(|| open(Place::new("the model")))?;
        let mut shapes = BTreeMap::new();
        for port in &signature.inputs {
            let shape = port.ty.const_shape().ok_or_else(|| open(Place::named("input", &port.name)))?;
            shapes.insert(port.name.to_string(), shape);
        }
        session.prepare(&shapes)?;
        let mut scalars = Vec::with_capacity(2);
        for port in &signature.outputs {
            scalars.push(Scalar::new(port.ty.dtype)?);
        }
        let mut scalars = scalars.into_iter();
        let missing = || Error::internal(Place::new("the train step"), "it has no loss");
        Ok(Runner { session, loss: scalars.next().ok_or_else(missing)?, correct: scalars.next() })
    }

    fn run(
        &mut self,
        inputs: &[TensorView<'_>],
        target: Option<TensorView<'_>>,
    ) -> Result<StepReport, Error> {
        let mut all = inputs.to_vec();
        all.extend(target);
        match &mut self.correct {
            None => self.session.run(&all, &mut [self.loss.view()?])?,
            Some(correct) => self.session.run(&all, &mut [self.loss.view()?, correct.view()?])?,
        }
        let correct = self.correct.as_ref().map(Scalar::value).transpose()?;
        Ok(StepReport { loss: self.loss.value()?, correct: correct.map(|count| count as u64) })
    }
}

/// A function of the model.
fn existing(function: Option<&Function>) -> Result<Function, Error> {
    function.cloned().ok_or_else(|| Error::bad_input(Place::new("the model"), "has no function"))
}

/// Gives states their first values.
fn initialise(session: &mut Session, step: &TrainStep) -> Result<(), Error> {
    for (place, state) in step.states.iter().enumerate() {
        session.set_state(place, &state.initial)?;
    }
    Ok(())
}

/// The train step of the model's function as a model to be written to a file: its inputs are the model's and the targets, its outputs the loss and, for
/// losses over classes, the number of right predictions, its states the parameters, the model's own, moments, and the number of steps. `steps` is the
/// number of steps that the schedule is made for, or 0 if it goes with any number.
///
/// As an object it comes with the first values of the states; as an executable it trains from files.
///
/// # Errors
/// Those of [`Trainer::new`].
pub fn train_step_model(
    model: &Module,
    options: &StepOptions,
    compile: Options,
    steps: u64,
) -> Result<LoadedModel, Error> {
    let mut model = model.clone();
    let function = existing(training_function(&model))?;
    let step = train_step(&mut model.constants, &function, options).map_err(gradient_error)?;
    if step.states.iter().any(|state| *state.name == *RANDOM_KEY) {
        let reason =
            "draws random numbers in training, which a step that is compiled ahead of time can't seed";
        return Err(Error::unsupported(Place::new("the model"), reason));
    }
    let module = module_of(&model, &step);
    let saved_states = step.parameters + step.model_states;
    // Moments and the number of steps begin as zeros.
    let initial = step.states.into_iter().take(saved_states).map(|state| state.initial).collect();
    let training = Training { initial, saved_states, steps };
    Ok(Compiler::new(compile).module(module).with_training(training))
}

/// Computes loss and right predictions for given parameters, without an update.
pub struct Evaluator {
    step: TrainStep,
    runner: Runner,
}

impl Evaluator {
    /// Compiles the evaluation of the model's first function. The extents of its inputs must be known; they may differ from the train step's.
    ///
    /// # Errors
    /// Those of [`Trainer::new`].
    pub fn new(model: &Module, options: &StepOptions, compile: Options) -> Result<Evaluator, Error> {
        let mut model = model.clone();
        let function = existing(model.functions.first())?;
        let kept = existing(training_function(&model))?.states;
        let step = evaluation(&mut model.constants, &function, &kept, options).map_err(gradient_error)?;
        let mut runner = Runner::new(&model, &step, compile)?;
        initialise(&mut runner.session, &step)?;
        Ok(Evaluator { step, runner })
    }

    /// Takes over the parameters and the model's own states of a trainer: its [`state_dict`](Trainer::state_dict).
    ///
    /// # Errors
    /// Bad input where one is missing or has another type.
    pub fn set_states(&mut self, states: &[(Arc<str>, Tensor)]) -> Result<(), Error> {
        let taken = |name: &str| name != RANDOM_KEY;
        for (place, state) in self.step.states.iter().enumerate().filter(|(_, state)| taken(&state.name)) {
            let missing = || Error::bad_input(Place::named("state", &state.name), "is missing");
            let (_, value) = states.iter().find(|(name, _)| *name == state.name).ok_or_else(missing)?;
            self.runner.session.set_state(place, value)?;
        }
        Ok(())
    }

    /// Loss and right predictions of a batch.
    ///
    /// # Errors
    /// Those of [`Trainer::step`].
    pub fn evaluate(
        &mut self,
        inputs: &[TensorView<'_>],
        target: TensorView<'_>,
    ) -> Result<StepReport, Error> {
        self.runner.run(inputs, Some(target))
    }

    /// The loss that a model computes itself ([`Loss::Output`](crate::train::Loss::Output)).
    ///
    /// # Errors
    /// Those of [`Trainer::step`].
    pub fn evaluate_loss(&mut self, inputs: &[TensorView<'_>]) -> Result<StepReport, Error> {
        self.runner.run(inputs, None)
    }
}

impl Trainer {
    /// Compiles the train step of the model's function `train`, or the first if there is none. The extents of its inputs must be known.
    ///
    /// # Errors
    /// Bad input for options that don't fit the model, unsupported for models without gradient; see [`Error`].
    pub fn new(model: &Module, options: &StepOptions, compile: Options) -> Result<Trainer, Error> {
        let mut model = model.clone();
        let function = existing(training_function(&model))?;
        let step = train_step(&mut model.constants, &function, options).map_err(gradient_error)?;
        let runner = Runner::new(&model, &step, compile)?;
        let mut trainer = Trainer { step, runner };
        trainer.reset()?;
        Ok(trainer)
    }

    /// One step on a batch: the model's inputs, and the targets. With the same states and batches it gives the same bits, for any number of threads.
    ///
    /// # Errors
    /// Bad input where the tensors don't fit or data errors occur, such as a class index out of range.
    pub fn step(&mut self, inputs: &[TensorView<'_>], target: TensorView<'_>) -> Result<StepReport, Error> {
        self.runner.run(inputs, Some(target))
    }

    /// One step of a model that computes its loss itself ([`Loss::Output`](crate::train::Loss::Output)), on its inputs.
    ///
    /// # Errors
    /// Those of [`Trainer::step`].
    pub fn step_loss(&mut self, inputs: &[TensorView<'_>]) -> Result<StepReport, Error> {
        self.runner.run(inputs, None)
    }

    /// Sizes of the compiled step, and its arithmetic.
    pub fn statistics(&self) -> Statistics {
        self.runner.session.statistics()
    }

    /// Gives all states their first values.
    ///
    /// # Errors
    /// Our bug.
    pub fn reset(&mut self) -> Result<(), Error> {
        initialise(&mut self.runner.session, &self.step)
    }

    /// All states by name: parameters, the model's own states, moments, the number of steps.
    ///
    /// # Errors
    /// Our bug.
    pub fn states(&mut self) -> Result<Vec<(Arc<str>, Tensor)>, Error> {
        let mut states = Vec::with_capacity(self.step.states.len());
        for (place, state) in self.step.states.iter().enumerate() {
            states.push((state.name.clone(), self.runner.session.state(place)?));
        }
        Ok(states)
    }

    /// How many steps were done, those before a resumption included.
    ///
    /// # Errors
    /// Our bug.
    pub fn steps(&mut self) -> Result<u64, Error> {
        let count = self.runner.session.state(self.step.states.len() - 1)?;
        let count = count.to_i64s().and_then(|count| u64::try_from(*count.first()?).ok());
        count.ok_or_else(|| Error::bad_input(Place::named("state", STEP), "is no number of steps"))
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

    /// What evaluation depends on, by name: the parameters, and the model's own states such as running statistics. It is what PyTorch calls a state dict.
    ///
    /// # Errors
    /// Our bug.
    pub fn state_dict(&mut self) -> Result<Vec<(Arc<str>, Tensor)>, Error> {
        let mut states = self.states()?;
        states.truncate(self.step.parameters + self.step.model_states);
        states.retain(|(name, _)| **name != *RANDOM_KEY);
        Ok(states)
    }

    /// Sets the states that `values` names, others stay as they are.
    ///
    /// # Errors
    /// Bad input where there is no such state or it has another type.
    pub fn load_state_dict(&mut self, values: &[(Arc<str>, Tensor)]) -> Result<(), Error> {
        for (name, value) in values {
            let unknown = || Error::bad_input(Place::named("state", name), "is none of the model's");
            let place = self.step.states.iter().position(|state| state.name == *name).ok_or_else(unknown)?;
            self.runner.session.set_state(place, value)?;
        }
        Ok(())
    }

    /// Sets all states, so that training goes on bit for bit where they come from.
    ///
    /// # Errors
    /// Bad input where a state is missing or has another type.
    pub fn set_states(&mut self, states: &BTreeMap<String, Tensor>) -> Result<(), Error> {
        for (place, state) in self.step.states.iter().enumerate() {
            let missing = || Error::bad_input(Place::named("state", &state.name), "is missing");
            self.runner.session.set_state(place, states.get(&*state.name).ok_or_else(missing)?)?;
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
