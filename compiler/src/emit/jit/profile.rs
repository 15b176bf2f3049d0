//! The time of each launch: a run that calls the kernels one by one.

use super::model::Inner;
use super::session::{Session, SessionError, status};
use super::view::{TensorView, TensorViewMut};
use crate::codegen::abi::KernelFunction;
use crate::program::{Cost, KernelId, Launch, Place, Program, SlotId, Step};
use graven_ir::Dim;
use graven_runtime::sys::float_env::DefaultFloatEnv;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The steps of a program with the places of their buffers.
pub(super) struct Steps {
    launches: Vec<ProfiledStep>,
}

/// A step of a profile.
#[derive(Clone, Debug)]
pub struct ProfiledStep {
    /// The kernel's name, or `copy`.
    pub kernel: String,
    /// The model's node that it comes from.
    pub origin: Option<Arc<str>>,
    /// What it was expected to cost.
    pub cost: Cost,
    run: StepKind,
    places: Vec<Place>,
    extents: Vec<Dim>,
    parallel: bool,
}

#[derive(Clone, Copy, Debug)]
enum StepKind {
    Kernel(KernelId),
    Copy,
}

impl Steps {
    /// The steps of a program.
    pub fn of(program: &Program) -> Steps {
        let place = |slot: &SlotId| program.slots[*slot].place;
        let launch = |launch: &Launch| ProfiledStep {
            kernel: program.kernels[launch.kernel].name.clone(),
            origin: launch.origin.clone(),
            cost: launch.cost,
            run: StepKind::Kernel(launch.kernel),
            places: launch.arguments.iter().map(place).collect(),
            extents: launch.extents.clone(),
            parallel: program.kernels[launch.kernel].parallel_loop().is_some(),
        };
        let copy = |from: &SlotId, to: &SlotId| ProfiledStep {
            kernel: "copy".into(),
            origin: None,
            cost: Cost { flops: 0, bytes: program.slots[*from].upper_bytes().saturating_mul(2) },
            run: StepKind::Copy,
            places: vec![place(from), place(to)],
            extents: vec![&program.slots[*from].elements * program.slots[*from].dtype.bytes() as i64],
            parallel: false,
        };
        let launches = program.steps.iter().map(|step| match step {
            Step::Launch(step) => launch(step),
            Step::Copy { from, to } => copy(from, to),
        });
        Steps { launches: launches.collect() }
    }
}

impl Session {
    /// The steps that [`Session::profile`] measures.
    pub fn steps(&self) -> &[ProfiledStep] {
        &self.model.program.steps.launches
    }

    /// Runs the model step by step; the result has the time of each.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn profile(
        &mut self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<Vec<Duration>, SessionError> {
        self.prepare(inputs, outputs)?;
        let _environment = DefaultFloatEnv::enter();
        let mut code = 0i32;
        let model = self.model.clone();
        let mut times = Vec::with_capacity(model.program.steps.launches.len());
        for step in &model.program.steps.launches {
            let words: Vec<u64> = step.places.iter().map(|place| self.address(&model, *place)).collect();
            let extents = step.extents.iter().map(|dim| model.program.extent(dim, &self.symbols) as u64);
            let extents: Vec<u64> = extents.collect();
            let start = Instant::now();
            // SAFETY: the addresses are those that the run function would compute, of memory that `prepare` has checked or that the session owns.
            unsafe { self.step(step, &model, words, extents, &mut code) };
            times.push(start.elapsed());
        }
        status(code)?;
        Ok(times)
    }

    fn address(&self, model: &Inner, place: Place) -> u64 {
        let inputs = model.program.inputs.len();
        match place {
            Place::Input(n) => self.io[n as usize] as u64,
            Place::Output(n) => self.io[inputs + n as usize] as u64,
            Place::State(n) => self.state_pointers[n as usize] as u64,
            Place::Weights { offset } => model.weights.as_ptr() as u64 + offset,
            Place::Arena { offset } => self.arena.as_ptr() as u64 + offset,
        }
    }

    /// # Safety
    /// The addresses are those of the step's buffers.
    unsafe fn step(
        &self,
        step: &ProfiledStep,
        model: &Inner,
        mut words: Vec<u64>,
        extents: Vec<u64>,
        code: &mut i32,
    ) {
        let StepKind::Kernel(kernel) = step.run else {
            let (from, to, bytes) = (words[0] as *const u8, words[1] as *mut u8, extents[0] as usize);
            // SAFETY: the caller's promise; the memory plan may give both buffers one place.
            return unsafe { std::ptr::copy(from, to, bytes) };
        };
        let function: KernelFunction = model.kernels[kernel.as_u32() as usize];
        let tasks = if step.parallel { 4 * self.pool.workers() as i64 } else { 1 };
        let scratch = self.arena.as_ptr() as u64 + model.program.arena_bytes;
        words.extend(extents);
        words.extend([tasks as u64, scratch, model.program.scratch_bytes, std::ptr::from_mut(code) as u64]);
        let words = &*words;
        self.pool.parallel_for(tasks, |task, worker| {
            // SAFETY: the words have the layout that the kernel expects; the caller vouches for the addresses.
            unsafe { function(words.as_ptr(), task, worker) };
        });
    }
}
