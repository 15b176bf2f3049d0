//! Ways to run a module.

use graven::accuracy::Accuracy;
use graven::emit::jit::{CompiledModel, JitOptions, Session, TensorView, TensorViewMut};
use graven::pipeline;
use graven::remarks::Remarks;
use graven::target::Target;
use graven_ir::{DType, Module, Tensor, interp};

/// Runs the function `main` of a module.
pub trait Executor: Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// The outputs for inputs in the order of the signature.
    ///
    /// # Errors
    /// One sentence.
    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String>;
}

/// The reference interpreter.
pub struct Interpreter;

impl Executor for Interpreter {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        interp::evaluate(module, "main", inputs).map_err(|error| error.to_string())
    }
}

/// Compiled code in this process, run by one and by three workers, whose results must have the same bits.
pub struct Jit;

impl Executor for Jit {
    fn name(&self) -> &'static str {
        "jit"
    }

    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let target = Target::host().map_err(|error| error.to_string())?;
        compile_and_run(&target, module, inputs)
    }
}

/// As [`Jit`], by the wide backend; the portable one where the host has no wide vectors. That is what `auto` gives.
pub struct Wide;

impl Executor for Wide {
    fn name(&self) -> &'static str {
        "wide"
    }

    fn run(&self, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let target = Target::host().map_err(|error| error.to_string())?;
        compile_and_run(&target.clone().widened().unwrap_or(target), module, inputs)
    }
}

/// Compiles for a target of this machine; one and three workers must leave the same bits.
fn compile_and_run(target: &Target, module: &Module, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut remarks = Remarks::default();
    let program = pipeline::lower(module, target, Accuracy::Default, &mut remarks, &mut |_, _, _| {});
    let program = program.map_err(|error| error.to_string())?;
    let model = CompiledModel::new(&program, target, JitOptions::default());
    let model = model.map_err(|error| error.to_string())?;
    let single = run_compiled(&model, inputs, 1)?;
    let shared = run_compiled(&model, inputs, 3)?;
    match single.iter().zip(&shared).position(|(one, other)| one != other) {
        None => Ok(single),
        Some(output) => Err(format!("output {output} depends on the number of workers")),
    }
}

/// Runs a compiled model with so many workers.
fn run_compiled(model: &CompiledModel, inputs: &[Tensor], workers: usize) -> Result<Vec<Tensor>, String> {
    let failed = |error: graven::emit::jit::SessionError| error.to_string();
    let mut session = Session::new(model, workers).map_err(failed)?;
    let memory: Vec<Aligned> = inputs.iter().map(|tensor| Aligned::of(tensor.data())).collect();
    let views = memory.iter().zip(inputs);
    let views: Result<Vec<TensorView<'_>>, _> = views
        .map(|(memory, tensor)| TensorView::new(tensor.dtype(), tensor.shape(), memory.bytes()))
        .collect();
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let shapes = model.output_shapes(&shapes).map_err(failed)?;
    let dtypes: Vec<DType> = model.outputs().iter().map(|port| port.ty.dtype).collect();
    let size = |(shape, dtype): (&Vec<usize>, &DType)| shape.iter().product::<usize>() * dtype.bytes();
    let mut results: Vec<Aligned> =
        shapes.iter().zip(&dtypes).map(|pair| Aligned::zeros(size(pair))).collect();
    let targets = results.iter_mut().zip(shapes.iter().zip(&dtypes));
    let targets: Result<Vec<TensorViewMut<'_>>, _> = targets
        .map(|(memory, (shape, dtype))| TensorViewMut::new(*dtype, shape, memory.bytes_mut()))
        .collect();
    session.run(&views.map_err(failed)?, &mut targets.map_err(failed)?).map_err(failed)?;
    let tensor = |(memory, (shape, dtype)): (&Aligned, (&Vec<usize>, &DType))| {
        Tensor::new(*dtype, shape.clone(), memory.bytes().to_vec()).map_err(|error| error.to_string())
    };
    results.iter().zip(shapes.iter().zip(&dtypes)).map(tensor).collect()
}

/// Bytes in memory that is aligned for every dtype.
struct Aligned {
    words: Vec<f64>,
    len: usize,
}

impl Aligned {
    fn zeros(len: usize) -> Aligned {
        Aligned { words: vec![0.0; len.div_ceil(8)], len }
    }

    fn of(bytes: &[u8]) -> Aligned {
        let mut memory = Aligned::zeros(bytes.len());
        memory.bytes_mut().copy_from_slice(bytes);
        memory
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}
