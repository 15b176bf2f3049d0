//! The main function of executables that train a model from files.
//!
//! ```text
//! TRAIN --train-x FILE --train-y FILE (--epochs N | --steps N) -o OUT.safetensors [--x-scale F] [--seed N] [--threads N]
//! ```
//!
//! It does what `graven train` does, bit for bit: the same batches in the same order, the same code.
//!
//! - `arguments`: the command line;
//! - `samples`: arrays in files, one sample per first index;
//! - `safetensors`: the file of the result.

mod arguments;
mod safetensors;
mod samples;

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_void};

use super::run::{Call, Inputs, open_weights};
use crate::abi::{self, DType};
use crate::arena::Arena;
use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::npy;
use crate::pool::Pool;
use crate::shuffle::shuffled;
use crate::sys::cpus;
use crate::sys::file::{OutputFile, print};
use crate::text::{Loss, Percent, text};
use arguments::{Arguments, Length};
use samples::Samples;

/// What an executable knows of the training beside the train step, whose inputs are a batch and its targets and whose outputs are the loss and maybe the
/// number of right predictions. Private to the compiler and the runtime of one version.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// First values of the states, one after the other, each rounded up to a multiple of [`abi::ALIGNMENT`].
    pub initial: *const c_void,
    /// Their size; states behind begin as zeros.
    pub initial_bytes: u64,
    /// How many states the result consists of, from the first on.
    pub saved_states: u64,
    /// The number of steps that the schedule is made for, or 0 if it goes with any number.
    pub steps: u64,
}

// SAFETY: a description and what it points to is constant data, so any thread may read it.
unsafe impl Sync for Training {}

/// What happens when a user starts the executable; the result is the exit code.
///
/// # Safety
/// As [`super::main`], and `training` says the truth.
pub unsafe fn main(
    count: i32,
    arguments: *const *const c_char,
    model: &'static abi::Model,
    training: &'static Training,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { super::start(count, arguments, model, |model, words| act(model, training, words)) }
}

fn act(model: &Model<'_>, training: &Training, words: &[&CStr]) -> Result<(), Error> {
    let arguments = Arguments::parse(words.get(1..).unwrap_or(&[]))?;
    let step = Step::new(model)?;
    if arguments.help {
        print(1, &help(model, &step));
        return Ok(());
    }
    if arguments.version {
        print(1, &super::version(model));
        return Ok(());
    }
    super::check_cpu(model)?;
    train(model, training, &step, &arguments)
}

/// The parts of a train step.
struct Step<'m> {
    input: &'m Tensor<'m>,
    target: &'m Tensor<'m>,
    batch: usize,
}

impl<'m> Step<'m> {
    fn new(model: &'m Model<'m>) -> Result<Step<'m>, Error> {
        let wrong = || Error::model(text!("the model is no train step"));
        let [input, target] = &model.inputs[..] else { return Err(wrong()) };
        let batch = input.dims.first().and_then(|dim| usize::try_from(dim.bound).ok()).unwrap_or(0);
        if batch == 0 || model.outputs.is_empty() || model.outputs.len() > 2 || !model.symbols.is_empty() {
            return Err(wrong());
        }
        Ok(Step { input, target, batch })
    }
}

const OPTIONS: &str = "  \
  --train-x FILE   inputs: npy, npz with one array, or IDX, which may be compressed by gzip
  --train-y FILE   targets, one per sample
  --x-scale F      factor of the inputs, such as 0.00392156862745098 for bytes
  --epochs N       how often to go through the samples
  --steps N        or the number of steps
  --seed N         seed of the order of the samples, 0 if not given
  --output FILE    the safetensors file of trained parameters to write
  --threads N      number of threads, by default as many as there are CPUs to use
  --weights FILE   file of what is not trained, by default the executable's name with .weights
  --help           print this
  --version        print name and version
";

fn help(model: &Model<'_>, step: &Step<'_>) -> String {
    let mut help = text!("Trains the model '%' in steps of % samples.\n\n%", model.name, step.batch, OPTIONS);
    help.push_str("\nSamples:\n");
    for (what, tensor) in [("input", step.input), ("target", step.target)] {
        let shape = tensor.bounds();
        let sample = crate::text::Shape(shape.get(1..).unwrap_or(&[]));
        help.push_str(&text!("  % % %\n", what, tensor.dtype.name(), sample));
    }
    help
}

/// The mean over an epoch.
#[derive(Default)]
struct Mean {
    samples: usize,
    loss: f64,
    correct: Option<u64>,
}

impl Mean {
    fn summary(&self) -> String {
        let samples = self.samples.max(1) as f64;
        let mut line = text!("loss %", Loss(self.loss / samples));
        if let Some(correct) = self.correct {
            line.push_str(&text!(", accuracy %", Percent(correct as f64 / samples)));
        }
        line
    }
}

fn train(
    model: &Model<'_>,
    training: &Training,
    step: &Step<'_>,
    arguments: &Arguments<'_>,
) -> Result<(), Error> {
    let files =
        [(arguments.train_x, "--train-x"), (arguments.train_y, "--train-y"), (arguments.output, "--output")];
    let [x, y, output] = files.map(|(path, flag)| {
        path.ok_or_else(|| Error::bad_input(text!("% FILE is missing, see --help", flag)))
    });
    let (x, y, output) = (x?, y?, output?);
    let x = Samples::read(x, step.input, arguments.x_scale)?;
    let y_samples = Samples::read(y, step.target, None)?;
    let samples = x.count();
    if y_samples.count() != samples {
        let (found, path) = (y_samples.count(), crate::sys::file::quoted(y));
        return Err(Error::bad_input(text!("%: has % targets for % inputs", path, found, samples)));
    }
    let per_epoch = (samples / step.batch) as u64;
    if per_epoch == 0 {
        return Err(Error::bad_input(text!("% samples are too few for steps of %", samples, step.batch)));
    }
    let total = match arguments.length {
        Some(Length::Epochs(epochs)) => epochs.saturating_mul(per_epoch),
        Some(Length::Steps(steps)) => steps,
        None => return Err(Error::bad_input(text!("--epochs N or --steps N is missing, see --help"))),
    };
    if training.steps != 0 && training.steps != total {
        let message = text!("the schedule was compiled for % steps, not for %", training.steps, total);
        return Err(Error::bad_input(message));
    }
    let weights = open_weights(model, arguments.weights)?;
    // Before the work, so that a folder that isn't there is noticed now.
    let output = OutputFile::create(output)?;
    let pool = Pool::new(arguments.threads.unwrap_or_else(cpus::available))?;
    let mut call = Call::new(model, &pool, first(model, training)?, weights.as_ref())?;
    let mut done = 0;
    while done < total {
        let epoch = done / per_epoch;
        let order = shuffled(samples, arguments.seed, epoch);
        let end = total.min((epoch + 1).saturating_mul(per_epoch));
        let mut mean = Mean::default();
        for chosen in order.chunks_exact(step.batch).take((end - done) as usize) {
            x.fill(chosen, call.io(0));
            y_samples.fill(chosen, call.io(1));
            call.run()?;
            done += 1;
            report(model, &mut call, step.batch, &mut mean).map_err(|loss| {
                let (loss, epoch) = (Loss(loss), epoch + 1);
                Error::bad_input(text!("the loss is % in step % (epoch %)", loss, done, epoch))
            })?;
        }
        print(1, &text!("epoch %: %\n", epoch + 1, mean.summary()));
    }
    let saved = usize::try_from(training.saved_states).unwrap_or(usize::MAX).min(model.states.len());
    safetensors::write(output, &model.states[..saved], &call)
}

/// A batch of zeros, and the states' first values.
fn first(model: &Model<'_>, training: &Training) -> Result<Inputs, Error> {
    let mut inputs = Inputs { shapes: Vec::new(), buffers: Vec::new(), states: Vec::new() };
    for input in &model.inputs {
        let shape = input.bounds();
        inputs.buffers.push(super::run::allocate(input, &shape)?);
        inputs.shapes.push(shape);
    }
    let size = usize::try_from(training.initial_bytes).unwrap_or(0);
    let mut rest: &[u8] = &[];
    if size > 0 {
        // SAFETY: so many bytes of constant data, says the compiler.
        rest = unsafe { core::slice::from_raw_parts(training.initial.cast(), size) };
    }
    for state in &model.states {
        let shape = state.bounds();
        let mut buffer: Arena = super::run::allocate(state, &shape)?;
        let bytes = state.dtype.byte_len(npy::element_count(&shape)?).unwrap_or(0);
        let place = bytes.next_multiple_of(abi::ALIGNMENT);
        if let Some((given, after)) = rest.split_at_checked(place) {
            buffer[..bytes].copy_from_slice(&given[..bytes]);
            rest = after;
        } else {
            rest = &[];
        }
        inputs.states.push(Some((buffer, shape)));
    }
    Ok(inputs)
}

/// Adds what the step says; the loss as an error if it is no number.
fn report(model: &Model<'_>, call: &mut Call<'_>, batch: usize, mean: &mut Mean) -> Result<(), f64> {
    let outputs = model.inputs.len();
    let scalar = |dtype: DType, bytes: &[u8]| samples::number(dtype, bytes).unwrap_or(f64::NAN);
    let loss = scalar(model.outputs[0].dtype, call.io(outputs));
    if !loss.is_finite() {
        return Err(loss);
    }
    mean.samples += batch;
    mean.loss += loss * batch as f64;
    if let Some(correct) = model.outputs.get(1) {
        *mean.correct.get_or_insert(0) += scalar(correct.dtype, call.io(outputs + 1)) as u64;
    }
    Ok(())
}
