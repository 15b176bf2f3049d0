//! What running a model takes: working memory, states, threads.

use super::custom::{CustomCalls, CustomFunction};
use super::model::{CompiledModel, Inner, Outline};
use super::view::{TensorView, TensorViewMut};
use crate::program::Port;
use graven_ir::{DType, Symbol};
use graven_runtime::abi::{self, RunError};
use graven_runtime::arena::Arena;
use graven_runtime::pool::Pool;
use graven_runtime::sys::float_env::DefaultFloatEnv;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// Why a session can't be made or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Another number of tensors than the model has.
    #[error("{given} {what} given, the model has {expected}")]
    Count {
        /// Inputs, outputs or states.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many the model has.
        expected: usize,
    },
    /// A tensor of another dtype.
    #[error("{what} `{name}` is {given}, the model expects {expected}")]
    DType {
        /// Input, output or state.
        what: &'static str,
        /// Its name.
        name: String,
        /// The dtype given.
        given: DType,
        /// The dtype of the model.
        expected: DType,
    },
    /// A tensor of another shape.
    #[error("{what} `{name}` has shape {given:?}, the model expects {expected}")]
    Shape {
        /// Input, output or state.
        what: &'static str,
        /// Its name.
        name: String,
        /// The shape given.
        given: Vec<usize>,
        /// The type of the model.
        expected: String,
    },
    /// Two inputs that disagree about a run-time extent.
    #[error("`{symbol}` is {} in one input and {} in another", extents.0, extents.1)]
    Disagree {
        /// The extent.
        symbol: Symbol,
        /// Its two values.
        extents: (i64, i64),
    },
    /// A run-time extent that the model was not compiled for.
    #[error("`{symbol}` is {extent}, the model was compiled for {}..={}", symbol.lower(), symbol.upper())]
    Bounds {
        /// The extent.
        symbol: Symbol,
        /// Its value.
        extent: i64,
    },
    /// Memory that is not that of the tensor.
    #[error("{bytes} bytes are no tensor of type {dtype} and shape {shape:?}")]
    Size {
        /// Element type.
        dtype: DType,
        /// Extents.
        shape: Vec<usize>,
        /// Length of the memory.
        bytes: usize,
    },
    /// Memory that is not aligned to the elements.
    #[error("the memory of a {dtype} tensor is not aligned to {} bytes", dtype.bytes())]
    Alignment {
        /// Element type.
        dtype: DType,
    },
    /// The run function's error: the data is wrong.
    #[error("{0}")]
    Run(RunError),
    /// A code that the run function should not return: our bug.
    #[error("the run function returned {0}; this is a bug in the compiler")]
    Code(i32),
    /// The system gives no memory or threads.
    #[error("{0}")]
    System(String),
}

impl SessionError {
    #[cold]
    pub(super) fn shape(what: &'static str, port: &Port, given: &[usize]) -> SessionError {
        let (name, expected) = (port.name.to_string(), port.ty.to_string());
        SessionError::Shape { what, name, given: given.into(), expected }
    }
}

fn system(error: &graven_runtime::Error) -> SessionError {
    SessionError::System(error.message().to_string())
}

/// Memory and threads to run a model. States live here from run to run, zero at first.
pub struct Session {
    pub(super) model: Arc<Inner>,
    pub(super) pool: Pool,
    pub(super) arena: Arena,
    states: Vec<Arena>,
    pub(super) state_pointers: Vec<*mut c_void>,
    pub(super) io: Vec<*mut c_void>,
    pub(super) symbols: Vec<i64>,
    pub(super) custom_calls: CustomCalls,
}

// SAFETY: the pointers in it lead to its own states and custom calls, which can be sent, or are overwritten before they are used.
unsafe impl Send for Session {}

impl Session {
    /// A session with so many workers, the calling thread included.
    ///
    /// # Errors
    /// [`SessionError::System`] if there is not enough memory or the system gives no threads.
    pub fn new(model: &CompiledModel, workers: usize) -> Result<Session, SessionError> {
        let model = model.0.clone();
        let program = &model.program;
        let pool = Pool::new(workers).map_err(|error| system(&error))?;
        let arena = Arena::for_workers(program.arena_bytes, program.scratch_bytes, workers);
        let arena = arena.map_err(|error| system(&error))?;
        let mut states = Vec::new();
        for port in &program.states {
            let bytes = Outline::upper_bytes(&port.ty).unwrap_or(usize::MAX);
            states.push(Arena::new(bytes).map_err(|error| system(&error))?);
        }
        let state_pointers = states.iter().map(|state| state.as_ptr().cast()).collect();
        let io = vec![ptr::null_mut(); program.inputs.len() + program.outputs.len()];
        let symbols = vec![0; program.symbols.len()];
        let custom_calls = CustomCalls::new(&program.custom_calls);
        Ok(Session { pool, arena, states, state_pointers, io, symbols, custom_calls, model })
    }

    /// Lets the model call `function` under this name; whether it does. A run that calls a function which is not registered fails.
    pub fn register(&mut self, name: &str, function: &Arc<CustomFunction>) -> bool {
        self.custom_calls.register(&self.model.program.custom_calls, name, function)
    }

    /// The memory of the n-th state, as large as its greatest extents; `None` if there is no such state.
    pub fn state(&mut self, n: usize) -> Option<&mut [u8]> {
        self.states.get_mut(n).map(|state| &mut **state)
    }

    /// Runs the model. It allocates nothing unless it fails. An output whose shape depends on data takes memory for its bounds;
    /// [`Session::output_shapes`] gives its shape then.
    ///
    /// # Errors
    /// [`SessionError`] for tensors that are not those of the model, and what the run function reports.
    pub fn run(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), SessionError> {
        self.prepare(inputs, outputs)?;
        let exec = self.exec();
        let _environment = DefaultFloatEnv::enter();
        // SAFETY: the pointers were set just now, to memory that is checked to be of the model's types; states and arena are of the sizes that the model
        // needs with the pool's number of workers; the session is borrowed exclusively.
        let code = unsafe {
            (self.model.run)(
                self.io.as_ptr(),
                self.state_pointers.as_ptr(),
                self.symbols.as_mut_ptr(),
                self.arena.as_ptr().cast(),
                &raw const exec,
            )
        };
        status(code)
    }

    /// The shapes of the outputs of the last run, whose elements lie densely at the start of each output.
    pub fn output_shapes(&self) -> Vec<Vec<usize>> {
        let program = &self.model.program;
        let shape =
            |port: &Port| port.ty.shape.iter().map(|dim| program.extent(dim, &self.symbols)).collect();
        program.outputs.iter().map(shape).collect()
    }

    /// What a run may use.
    pub(super) fn exec(&self) -> abi::Exec {
        let custom_calls = self.custom_calls.table();
        abi::Exec {
            weights: self.model.weights.as_ptr().cast_const().cast(),
            custom_calls: custom_calls.as_ptr(),
            custom_call_count: custom_calls.len() as u64,
            ..self.pool.exec()
        }
    }

    /// Checks the tensors, sets the symbols and the pointers.
    pub(super) fn prepare(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), SessionError> {
        let program = &self.model.program;
        program.bind(inputs.len(), |n| inputs[n].shape(), &mut self.symbols)?;
        if outputs.len() != program.outputs.len() {
            let (given, expected) = (outputs.len(), program.outputs.len());
            return Err(SessionError::Count { what: "outputs", given, expected });
        }
        for (n, (port, input)) in program.inputs.iter().zip(inputs).enumerate() {
            check_dtype("input", port, input.dtype())?;
            self.io[n] = input.data().as_ptr().cast_mut().cast();
        }
        for (n, (port, output)) in program.outputs.iter().zip(outputs).enumerate() {
            check_dtype("output", port, output.dtype())?;
            program.check_shape("output", port, output.shape(), &self.symbols)?;
            self.io[program.inputs.len() + n] = output.data().as_mut_ptr().cast();
        }
        Ok(())
    }
}

fn check_dtype(what: &'static str, port: &Port, given: DType) -> Result<(), SessionError> {
    if port.ty.dtype == given {
        return Ok(());
    }
    Err(SessionError::DType { what, name: port.name.to_string(), given, expected: port.ty.dtype })
}

/// The error that a code of the run function stands for.
pub(super) fn status(code: i32) -> Result<(), SessionError> {
    match code {
        0 => Ok(()),
        code => Err(RunError::from_code(code).map_or(SessionError::Code(code), SessionError::Run)),
    }
}
