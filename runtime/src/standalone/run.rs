//! Preparing a run, doing it, and reporting it.

use alloc::vec::Vec;
use core::ffi::{CStr, c_void};
use core::ptr;

use super::arguments::Arguments;
use super::bench;
use super::inputs;
pub(super) use super::inputs::Inputs;
use crate::abi::{self, RunError};
use crate::arena::Arena;
use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::npy;
use crate::npz::Writer;
use crate::pool::Pool;
use crate::summary;
use crate::sys::cpus;
use crate::sys::file::{self, OutputFile};
use crate::sys::memory::{MappedFile, exhausted};
use crate::text::text;
use crate::weights;

/// Runs the model as the user asked.
pub(super) fn run(model: &Model<'_>, arguments: &Arguments<'_>) -> Result<(), Error> {
    let inputs = inputs::read(model, arguments.inputs)?;
    let weights = open_weights(model, arguments.weights)?;
    // Before the work, so that a folder that isn't there is noticed now.
    let output = arguments.outputs.map(OutputFile::create).transpose()?;
    let pool = Pool::new(arguments.threads.unwrap_or_else(cpus::available))?;
    let mut call = Call::new(model, &pool, inputs, weights.as_ref())?;
    call.run()?;
    call.report(output)?;
    if arguments.bench {
        file::print(1, &bench::measure(&mut call, pool.workers())?);
    }
    Ok(())
}

/// The weights file of a model that has one.
pub(super) fn open_weights(model: &Model<'_>, path: Option<&CStr>) -> Result<Option<MappedFile>, Error> {
    let raw = model.raw;
    if raw.weights_bytes == 0 || !raw.embedded_weights.is_null() {
        return match path {
            Some(_) => {
                Err(Error::bad_input(text!("this executable has its weights inside and takes no --weights")))
            }
            None => Ok(None),
        };
    }
    let default = file::beside_executable(".weights");
    let path = path.or(default.as_deref());
    let path = path.ok_or_else(|| Error::bad_input(text!("--weights FILE is missing, see --help")))?;
    weights::open(path, raw.weights_bytes, &raw.weights_hash).map(Some)
}

/// Everything that a run function takes.
pub(super) struct Call<'a> {
    model: &'a Model<'a>,
    exec: abi::Exec,
    arena: Arena,
    /// Inputs, then outputs.
    io: Vec<Arena>,
    states: Vec<Arena>,
    symbols: Vec<i64>,
    io_pointers: Vec<*mut c_void>,
    state_pointers: Vec<*mut c_void>,
}

impl<'a> Call<'a> {
    /// Checks the shapes and allocates outputs, states and arena. The result must not outlive pool and weights.
    pub(super) fn new(
        model: &'a Model<'a>,
        pool: &'a Pool,
        inputs: Inputs,
        weights: Option<&'a MappedFile>,
    ) -> Result<Call<'a>, Error> {
        let shapes: Vec<&[i64]> = inputs.shapes.iter().map(Vec::as_slice).collect();
        let symbols = model.bind(&shapes)?;
        let extents = model.extents(&symbols);
        let depends_on_data = model.symbols.iter().any(|symbol| symbol.is_result);
        let mut io = inputs.buffers;
        for output in &model.outputs {
            let shape = if depends_on_data { output.bounds() } else { output.shape(&symbols, &extents) };
            io.push(allocate(output, &shape)?);
        }
        let mut states = Vec::new();
        for (state, given) in model.states.iter().zip(inputs.states) {
            let shape = state.shape(&symbols, &extents);
            states.push(match given {
                Some((_, given)) if given != shape => return Err(model.mismatch("state", state, &given)),
                Some((buffer, _)) => buffer,
                None => allocate(state, &shape)?,
            });
        }
        let raw = model.raw;
        let arena = Arena::for_workers(raw.arena_bytes, raw.arena_bytes_per_worker, pool.workers())?;
        let mut exec = pool.exec();
        exec.weights = weights.map_or(ptr::null(), |weights| weights.as_ptr().cast());
        let pointers = |buffers: &[Arena]| buffers.iter().map(|buffer| buffer.as_ptr().cast()).collect();
        let (io_pointers, state_pointers) = (pointers(&io), pointers(&states));
        Ok(Call { model, exec, arena, io, states, symbols, io_pointers, state_pointers })
    }

    /// Runs the model once.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        // SAFETY: buffers, states and arena have the sizes that the descriptor demands, belong to this call alone and
        // live as long as it does, as do pool and weights.
        let code = unsafe {
            (self.model.run)(
                self.io_pointers.as_ptr(),
                self.state_pointers.as_ptr(),
                self.symbols.as_mut_ptr(),
                self.arena.as_ptr().cast(),
                &raw const self.exec,
            )
        };
        match (code, RunError::from_code(code)) {
            (0, _) => Ok(()),
            (_, Some(error)) => Err(error.into()),
            _ => Err(Error::model(text!("the model failed with the unknown code %", i64::from(code)))),
        }
    }

    /// The buffer of an input or, behind these, of an output.
    pub(super) fn io(&mut self, place: usize) -> &mut [u8] {
        self.io.get_mut(place).map_or(&mut [], |buffer| &mut buffer[..])
    }

    /// The buffer of a state.
    pub(super) fn state(&self, place: usize) -> &[u8] {
        self.states.get(place).map_or(&[], |buffer| &buffer[..])
    }

    /// Writes outputs and new states to the file, then prints a line for each output.
    fn report(&self, output: Option<OutputFile>) -> Result<(), Error> {
        let extents = self.model.extents(&self.symbols);
        let outputs = self.model.outputs.iter().zip(self.io.iter().skip(self.model.inputs.len()));
        if let Some(output) = output {
            let mut writer = Writer::new(output);
            for (tensor, buffer) in outputs.clone().chain(self.model.states.iter().zip(&self.states)) {
                let shape = tensor.shape(&self.symbols, &extents);
                writer.add(tensor.name, tensor.dtype, &shape, contents(tensor, &shape, buffer)?)?;
            }
            writer.finish()?.commit()?;
        }
        for (tensor, buffer) in outputs {
            let shape = tensor.shape(&self.symbols, &extents);
            let line = summary::line(tensor.name, tensor.dtype, &shape, contents(tensor, &shape, buffer)?);
            file::print(1, &text!("%\n", line));
        }
        Ok(())
    }
}

/// Memory for a tensor of this shape.
pub(super) fn allocate(tensor: &Tensor<'_>, shape: &[i64]) -> Result<Arena, Error> {
    let bytes = tensor.dtype.byte_len(npy::element_count(shape)?).ok_or_else(|| exhausted(usize::MAX))?;
    Arena::new(bytes)
}

/// The bytes that a tensor of this shape occupies in its buffer.
fn contents<'b>(tensor: &Tensor<'_>, shape: &[i64], buffer: &'b Arena) -> Result<&'b [u8], Error> {
    let bytes = npy::element_count(shape).ok().and_then(|count| tensor.dtype.byte_len(count));
    let contents = bytes.and_then(|bytes| buffer.get(..bytes));
    contents.ok_or_else(|| Error::model(text!("output '%' is larger than its bounds", tensor.name)))
}
