//! Running a compiled model.

use super::executable::{Executable, Specialised, Statistics};
use super::interpret::Interpretation;
use super::model::in_order;
use super::{CompiledModel, Signature};
use crate::emit::dtypes::native_order;
use crate::emit::jit::{self, CustomFunction, SessionError, TensorView, TensorViewMut};
use crate::error::{Error, Place};
use crate::program::Port;
use graven_ir::interp::SymbolValues;
use graven_ir::{DType, Dim, Tensor};
use graven_runtime::arena::Arena;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What can run a model, one run at a time: memory for intermediate results, the values of states, threads.
///
/// States begin as zeros and go on from run to run, until inputs have other shapes.
pub struct Session {
    model: CompiledModel,
    threads: usize,
    /// What the application provides, by name.
    custom_calls: BTreeMap<String, Arc<CustomFunction>>,
    current: Option<Current>,
}

/// What belongs to the shapes of the last run.
struct Current {
    specialised: Arc<Specialised>,
    /// Shapes of the inputs.
    shapes: Vec<Vec<usize>>,
    /// Shapes of the outputs; bounds where they depend on data.
    output_shapes: Vec<Vec<usize>>,
    /// Shapes of the outputs of the last run.
    result_shapes: Vec<Vec<usize>>,
    runner: Runner,
}

enum Runner {
    Interpretation(Interpretation),
    Code(Box<jit::Session>),
}

/// A launch of a kernel in a profile.
#[derive(Clone, Copy, Debug)]
pub struct StepTime<'s> {
    /// The kernel's name.
    pub kernel: &'s str,
    /// The model's node that it comes from.
    pub origin: Option<&'s str>,
    /// How long it took.
    pub time: Duration,
    /// Arithmetic operations; a multiply-add counts two.
    pub flops: u64,
    /// Bytes read and written, each buffer once.
    pub bytes: u64,
}

impl Session {
    pub(super) fn new(model: CompiledModel, threads: usize) -> Result<Session, Error> {
        Ok(Session { model, threads, custom_calls: BTreeMap::new(), current: None })
    }

    /// How many threads a run uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Inputs, outputs and states, once the model is compiled for known extents.
    pub fn signature(&self) -> Option<&Signature> {
        match &self.current {
            Some(current) => Some(current.specialised.signature()),
            None => self.model.signature(),
        }
    }

    /// Shapes of the outputs for the inputs that the session is prepared for; bounds where they depend on data.
    pub fn output_shapes(&self) -> &[Vec<usize>] {
        self.current.as_ref().map_or(&[], |current| &current.output_shapes)
    }

    /// Lets machine code call `function` where the model has a `custom_call` of this name. A run that calls a function which is not registered fails.
    pub fn register(&mut self, name: impl Into<String>, function: Arc<CustomFunction>) {
        let name = name.into();
        if let Some(Current { runner: Runner::Code(session), .. }) = &mut self.current {
            session.register(&name, &function);
        }
        self.custom_calls.insert(name, function);
    }

    /// Shapes of the outputs of the last run, whose elements lie densely at the start of each output. Only shapes that depend on data differ from
    /// [`Session::output_shapes`].
    pub fn result_shapes(&self) -> Vec<Vec<usize>> {
        match &self.current {
            Some(Current { runner: Runner::Code(session), .. }) => session.output_shapes(),
            Some(current) => current.result_shapes.clone(),
            None => Vec::new(),
        }
    }

    /// Sizes of what is compiled, and its arithmetic.
    pub fn statistics(&self) -> Statistics {
        self.current
            .as_ref()
            .map_or_else(Statistics::default, |current| current.specialised.statistics(self.threads))
    }

    /// Makes everything ready for inputs of these shapes, which compiles a model with open extents. States become zeros if the shapes are
    /// others than before.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn prepare(&mut self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
        let specialised = self.model.specialised(shapes)?;
        let signature = specialised.signature();
        if let Some(name) =
            shapes.keys().find(|name| !signature.inputs.iter().any(|port| *port.name == ***name))
        {
            return Err(super::model::unknown_input(signature, name));
        }
        let shape = |port: &Port| {
            let missing =
                || Error::bad_input(Place::named("input", &port.name), format!("is missing ({})", port.ty));
            shapes.get(&*port.name).cloned().ok_or_else(missing)
        };
        let shapes: Vec<Vec<usize>> = signature.inputs.iter().map(shape).collect::<Result<_, _>>()?;
        let same =
            |current: &Current| current.shapes == shapes && Arc::ptr_eq(&current.specialised, &specialised);
        if self.current.as_ref().is_some_and(same) {
            return Ok(());
        }
        let borrowed: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let values = signature.bind(&borrowed)?;
        let output_shapes: Vec<Vec<usize>> =
            signature.outputs.iter().map(|port| bounds(port, &values)).collect::<Result<_, _>>()?;
        let runner = match &specialised.executable {
            Executable::Interpreted(_) => Runner::Interpretation(Interpretation::new(signature, &values)?),
            Executable::Compiled(model) => {
                let mut session = jit::Session::new(model, self.threads).map_err(session_error)?;
                for (name, function) in &self.custom_calls {
                    session.register(name, function);
                }
                Runner::Code(Box::new(session))
            }
        };
        let result_shapes = output_shapes.clone();
        self.current = Some(Current { specialised, shapes, output_shapes, result_shapes, runner });
        Ok(())
    }

    /// Runs the model once: inputs in the order of the signature, outputs of the shapes in [`Session::output_shapes`]. Machine code allocates
    /// nothing for it.
    ///
    /// # Errors
    /// Bad input where the tensors don't fit or data errors occur, such as an index out of range.
    pub fn run(&mut self, inputs: &[TensorView<'_>], outputs: &mut [TensorViewMut<'_>]) -> Result<(), Error> {
        let current = prepared(&mut self.current, inputs)?;
        match (&mut current.runner, &current.specialised.executable) {
            (Runner::Code(session), _) => session.run(inputs, outputs).map_err(session_error),
            (Runner::Interpretation(run), Executable::Interpreted(module)) => {
                let results = run.run(module, inputs.iter().map(tensor).collect::<Result<_, _>>()?)?;
                current.result_shapes = results.iter().map(|tensor| tensor.shape().to_vec()).collect();
                store(current.specialised.signature(), &results, outputs)
            }
            _ => Err(Error::internal(Place::new("the session"), "it belongs to another model")),
        }
    }

    /// The value of the n-th state.
    ///
    /// # Errors
    /// Bad input if the session is not prepared or there is no such state.
    pub fn state(&mut self, n: usize) -> Result<Tensor, Error> {
        let (port, runner) = state_of(&mut self.current, n)?;
        match runner {
            Runner::Interpretation(run) => Ok(run.state(n)?.clone()),
            Runner::Code(session) => {
                let (shape, bytes) = state_size(&port)?;
                let memory = session.state(n).and_then(|memory| memory.get(..bytes)).unwrap_or(&[]);
                Tensor::new(port.ty.dtype, shape, native_order(port.ty.dtype, memory.to_vec()))
                    .map_err(|error| Error::internal(Place::named("state", &port.name), error.to_string()))
            }
        }
    }

    /// Sets the n-th state.
    ///
    /// # Errors
    /// Bad input if the session is not prepared, there is no such state, or the tensor has another type.
    pub fn set_state(&mut self, n: usize, value: &Tensor) -> Result<(), Error> {
        let (port, runner) = state_of(&mut self.current, n)?;
        let (shape, _) = state_size(&port)?;
        if value.dtype() != port.ty.dtype || value.shape() != shape {
            let reason = format!("must be {}, not {}", port.ty, value.ty());
            return Err(Error::bad_input(Place::named("state", &port.name), reason));
        }
        match runner {
            Runner::Interpretation(run) => *run.state(n)? = value.clone(),
            Runner::Code(session) => {
                let data = native_order(value.dtype(), value.data().to_vec());
                if let Some(memory) = session.state(n).and_then(|memory| memory.get_mut(..data.len())) {
                    memory.copy_from_slice(&data);
                }
            }
        }
        Ok(())
    }

    /// Runs the model once, launch by launch, and measures each.
    ///
    /// # Errors
    /// Those of [`Session::run`]; unsupported for the interpreter.
    pub fn profile(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<Vec<StepTime<'_>>, Error> {
        let current = prepared(&mut self.current, inputs)?;
        let Runner::Code(session) = &mut current.runner else {
            return Err(Error::unsupported(
                Place::new("backend"),
                "the interpreter has no kernels to profile",
            ));
        };
        let times = session.profile(inputs, outputs).map_err(session_error)?;
        let steps = session.steps().iter().zip(times).map(|(step, time)| StepTime {
            kernel: &step.kernel,
            origin: step.origin.as_deref(),
            time,
            flops: step.cost.flops,
            bytes: step.cost.bytes,
        });
        Ok(steps.collect())
    }

    /// Runs the model once on inputs by name and gives the outputs in order.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run_tensors(&mut self, inputs: &BTreeMap<String, Tensor>) -> Result<Vec<(String, Tensor)>, Error> {
        let shapes: BTreeMap<String, Vec<usize>> =
            inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
        self.prepare(&shapes)?;
        let Some(current) = &mut self.current else {
            return Err(Error::internal(Place::new("the session"), "it is not prepared"));
        };
        let specialised = current.specialised.clone();
        let signature = specialised.signature();
        let ordered = in_order(signature, inputs)?;
        let results = match (&mut current.runner, &specialised.executable) {
            (Runner::Interpretation(run), Executable::Interpreted(module)) => {
                run.run(module, ordered.into_iter().cloned().collect())?
            }
            (Runner::Code(session), _) => run_code(session, signature, &ordered, &current.output_shapes)?,
            _ => return Err(Error::internal(Place::new("the session"), "it belongs to another model")),
        };
        Ok(signature.outputs.iter().map(|port| port.name.to_string()).zip(results).collect())
    }
}

/// The n-th state's name and type, and what holds it.
fn state_of(current: &mut Option<Current>, n: usize) -> Result<(Port, &mut Runner), Error> {
    let unprepared = || Error::bad_input(Place::new("the session"), "is not prepared");
    let current = current.as_mut().ok_or_else(unprepared)?;
    let port = current.specialised.signature().states.get(n).cloned();
    let port =
        port.ok_or_else(|| Error::bad_input(Place::new("the session"), format!("has no state {n}")))?;
    Ok((port, &mut current.runner))
}

/// Shape and bytes of a state, whose extents must be known.
fn state_size(port: &Port) -> Result<(Vec<usize>, usize), Error> {
    let open = || Error::unsupported(Place::named("state", &port.name), "has open extents");
    let shape = port.ty.const_shape().ok_or_else(open)?;
    let bytes = shape.iter().product::<usize>() * port.ty.dtype.bytes();
    Ok((shape, bytes))
}

/// The state of a session that is prepared for these inputs.
fn prepared<'c>(
    current: &'c mut Option<Current>,
    inputs: &[TensorView<'_>],
) -> Result<&'c mut Current, Error> {
    let fits = |current: &&mut Current| {
        let shapes = &current.shapes;
        shapes.len() == inputs.len() && shapes.iter().zip(inputs).all(|(shape, input)| shape == input.shape())
    };
    current.as_mut().filter(fits).ok_or_else(|| {
        let reason = "the session is not prepared for inputs of these shapes";
        Error::bad_input(Place::new("the inputs"), reason)
    })
}

/// Runs machine code on tensors, through aligned copies.
fn run_code(
    session: &mut jit::Session,
    signature: &Signature,
    inputs: &[&Tensor],
    output_shapes: &[Vec<usize>],
) -> Result<Vec<Tensor>, Error> {
    let given = inputs.iter().map(|tensor| aligned(tensor.dtype(), tensor.data().to_vec()));
    let given: Vec<Arena> = given.collect::<Result<_, _>>()?;
    let views =
        inputs.iter().zip(&given).map(|(tensor, data)| TensorView::new(tensor.dtype(), tensor.shape(), data));
    let views: Vec<TensorView<'_>> = views.collect::<Result<_, _>>().map_err(session_error)?;
    let mut buffers = Vec::new();
    for (port, shape) in signature.outputs.iter().zip(output_shapes) {
        let place = || Place::named("output", &port.name);
        let bytes =
            shape.iter().try_fold(port.ty.dtype.bytes(), |product, extent| product.checked_mul(*extent));
        let bytes = bytes.ok_or_else(|| Error::bad_input(place(), "is too large"))?;
        buffers.push(Arena::new(bytes).map_err(|error| Error::bad_input(place(), error.message()))?);
    }
    let mut outputs = Vec::new();
    for ((port, shape), data) in signature.outputs.iter().zip(output_shapes).zip(&mut buffers) {
        outputs.push(TensorViewMut::new(port.ty.dtype, shape, data).map_err(session_error)?);
    }
    session.run(&views, &mut outputs).map_err(session_error)?;
    let mut results = Vec::new();
    for ((port, shape), data) in signature.outputs.iter().zip(session.output_shapes()).zip(&buffers) {
        let bytes = shape.iter().product::<usize>().saturating_mul(port.ty.dtype.bytes());
        let data = native_order(port.ty.dtype, data[..bytes.min(data.len())].to_vec());
        let result = Tensor::new(port.ty.dtype, shape, data);
        results.push(
            result.map_err(|error| Error::internal(Place::named("output", &port.name), error.to_string()))?,
        );
    }
    Ok(results)
}

/// A copy in the CPU's byte order and at the alignment of code.
fn aligned(dtype: DType, data: Vec<u8>) -> Result<Arena, Error> {
    let mut memory =
        Arena::new(data.len()).map_err(|error| Error::bad_input(Place::new("memory"), error.message()))?;
    memory.copy_from_slice(&native_order(dtype, data));
    Ok(memory)
}

fn tensor(view: &TensorView<'_>) -> Result<Tensor, Error> {
    let data = native_order(view.dtype(), view.data().to_vec());
    Tensor::new(view.dtype(), view.shape().to_vec(), data)
        .map_err(|error| Error::internal(Place::new("the inputs"), error.to_string()))
}

/// Copies results of the interpreter to the caller's memory.
fn store(signature: &Signature, results: &[Tensor], outputs: &mut [TensorViewMut<'_>]) -> Result<(), Error> {
    if results.len() != outputs.len() {
        let reason = format!("{} are given, the model has {}", outputs.len(), results.len());
        return Err(Error::bad_input(Place::new("the outputs"), reason));
    }
    for ((port, result), output) in signature.outputs.iter().zip(results).zip(outputs) {
        let data = native_order(result.dtype(), result.data().to_vec());
        let same_type = output.dtype() == result.dtype();
        match output.data().get_mut(..data.len()).filter(|_| same_type) {
            Some(memory) => memory.copy_from_slice(&data),
            None => {
                let reason = format!("must have room for {}", port.ty);
                return Err(Error::bad_input(Place::named("output", &port.name), reason));
            }
        }
    }
    Ok(())
}

/// The shape of an output; the bounds of extents that depend on data.
fn bounds(port: &Port, values: &SymbolValues) -> Result<Vec<usize>, Error> {
    let bound = |dim: &Dim| usize::try_from(values.dim(dim).unwrap_or_else(|| dim.upper())).ok();
    let shape: Option<Vec<usize>> = port.ty.shape.iter().map(bound).collect();
    shape.ok_or_else(|| Error::internal(Place::named("output", &port.name), "has no bounds"))
}

#[cold]
fn session_error(error: SessionError) -> Error {
    let reason = error.to_string();
    match error {
        SessionError::Code(_) => Error::internal(Place::new("the run"), reason),
        SessionError::Run(_) => Error::bad_input(Place::new("the run"), reason),
        _ => Error::bad_input(Place::new("the tensors"), reason),
    }
}
