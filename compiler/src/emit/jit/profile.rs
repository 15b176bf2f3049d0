//! The time of each launch: a run that calls the kernels one by one.

use super::session::{Session, SessionError, status};
use super::view::{TensorView, TensorViewMut};
use crate::codegen::abi::KernelFunction;
use crate::program::{Cost, KernelId, Launch, Loop, Place, Program, SlotId, Step};
use graven_ir::Dim;
use graven_runtime::abi::RunError;
use graven_runtime::sys::float_env::DefaultFloatEnv;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The steps of a program with the places of their buffers.
pub(super) struct Steps {
    launches: Vec<ProfiledStep>,
    flow: Vec<Action>,
    /// Number of pointers that loops set.
    pointers: usize,
}

/// What a run does.
enum Action {
    /// The step of this number.
    Step(usize),
    If {
        condition: Place,
        then: Vec<Action>,
        otherwise: Vec<Action>,
    },
    Loop(Box<LoopActions>),
    Call(CallAction),
    /// The n-th symbol gets the value at the place, which must not be above the extents.
    Bind(usize, Place, Vec<Dim>),
}

/// A call of the application with places instead of slots.
struct CallAction {
    function: usize,
    operands: Vec<Place>,
    results: Vec<Place>,
    extents: Vec<Dim>,
}

/// A [`Loop`] with places instead of slots.
struct LoopActions {
    trips: Dim,
    condition: Option<(Vec<Action>, Place)>,
    /// The whole, the pointer to the slice, bytes.
    slices: Vec<(Place, Place, Dim)>,
    reverse: bool,
    /// The initial value, the pointers to it and the next one, the buffers.
    carried: Vec<[Place; 5]>,
    body: Vec<Action>,
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
        let mut steps = Steps { launches: Vec::new(), flow: Vec::new(), pointers: program.pointers as usize };
        steps.flow = steps.actions(program, &program.steps);
        steps
    }

    fn actions(&mut self, program: &Program, steps: &[Step]) -> Vec<Action> {
        let place = |slot: SlotId| program.slots[slot].place;
        let mut actions = Vec::with_capacity(steps.len());
        for step in steps {
            let launch = match step {
                Step::Launch(launch) => profiled_launch(program, launch),
                Step::Copy { from, to } => profiled_copy(program, *from, *to),
                Step::If(branch) => {
                    let condition = place(branch.condition);
                    let then = self.actions(program, &branch.then);
                    let otherwise = self.actions(program, &branch.otherwise);
                    actions.push(Action::If { condition, then, otherwise });
                    continue;
                }
                Step::Call(call) => {
                    actions.push(Action::Call(CallAction {
                        function: call.signature as usize,
                        operands: call.operands.iter().map(|slot| place(*slot)).collect(),
                        results: call.results.iter().map(|slot| place(*slot)).collect(),
                        extents: call.extents.clone(),
                    }));
                    continue;
                }
                Step::Bind(binding) => {
                    let (symbol, limits) = (binding.symbol as usize, binding.limits.clone());
                    actions.push(Action::Bind(symbol, place(binding.value), limits));
                    continue;
                }
                Step::Loop(nest) => {
                    let nest = self.nest(program, nest);
                    actions.push(Action::Loop(Box::new(nest)));
                    continue;
                }
            };
            actions.push(Action::Step(self.launches.len()));
            self.launches.push(launch);
        }
        actions
    }

    fn nest(&mut self, program: &Program, nest: &Loop) -> LoopActions {
        let place = |slot: SlotId| program.slots[slot].place;
        let condition = nest.condition.as_ref();
        LoopActions {
            trips: nest.trips.clone(),
            condition: condition.map(|c| (self.actions(program, &c.steps), place(c.value))),
            slices: nest.slices.iter().map(|s| (place(s.whole), place(s.slice), s.stride.clone())).collect(),
            reverse: nest.reverse,
            carried: nest
                .carried
                .iter()
                .map(|c| [c.initial, c.current, c.next, c.buffers[0], c.buffers[1]].map(place))
                .collect(),
            body: self.actions(program, &nest.body),
        }
    }
}

fn profiled_launch(program: &Program, launch: &Launch) -> ProfiledStep {
    ProfiledStep {
        kernel: program.kernels[launch.kernel].name.clone(),
        origin: launch.origin.clone(),
        cost: launch.cost,
        run: StepKind::Kernel(launch.kernel),
        places: launch.arguments.iter().map(|slot| program.slots[*slot].place).collect(),
        extents: launch.extents.clone(),
        parallel: program.kernels[launch.kernel].parallel_loop().is_some(),
    }
}

fn profiled_copy(program: &Program, from: SlotId, to: SlotId) -> ProfiledStep {
    let (slot, from) = (&program.slots[to], &program.slots[from]);
    ProfiledStep {
        kernel: "copy".into(),
        origin: None,
        cost: Cost { flops: 0, bytes: slot.upper_bytes().saturating_mul(2) },
        run: StepKind::Copy,
        places: vec![from.place, slot.place],
        extents: vec![&slot.elements * slot.dtype.bytes() as i64],
        parallel: false,
    }
}

/// A profiled run.
struct Profile<'s> {
    session: &'s Session,
    pointers: Vec<u64>,
    symbols: Vec<i64>,
    times: Vec<Duration>,
    /// The status that failed checks set.
    code: i32,
}

impl Profile<'_> {
    fn actions(&mut self, actions: &[Action]) -> Result<(), SessionError> {
        for action in actions {
            match action {
                Action::Step(n) => self.timed(*n),
                Action::If { condition, then, otherwise } => {
                    let taken = if self.truth(*condition) { then } else { otherwise };
                    self.actions(taken)?;
                }
                Action::Loop(nest) => self.nest(nest)?,
                Action::Call(call) => self.call(call)?,
                Action::Bind(symbol, place, limits) => self.bind(*symbol, *place, limits)?,
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &CallAction) -> Result<(), SessionError> {
        let addresses = |places: &[Place]| -> Vec<*mut c_void> {
            places.iter().map(|place| self.address(*place) as *mut c_void).collect()
        };
        let (operands, results) = (addresses(&call.operands), addresses(&call.results));
        let extents: Vec<i64> = call.extents.iter().map(|extent| self.extent(extent) as i64).collect();
        let entry = self.session.custom_calls.table().get(call.function);
        let code = match entry.and_then(|entry| Some((entry.call?, entry.context))) {
            // SAFETY: the function is a registered one with its own context; the addresses are those that the run function would pass.
            Some((function, context)) => unsafe {
                function(context, operands.as_ptr().cast(), results.as_ptr(), extents.as_ptr())
            },
            None => 1,
        };
        if code == 0 { Ok(()) } else { status(RunError::CustomCall as i32) }
    }

    fn bind(&mut self, n: usize, place: Place, limits: &[Dim]) -> Result<(), SessionError> {
        // SAFETY: the address is that of a buffer of at least one `i64`, aligned to it.
        let value = unsafe { *(self.address(place) as *const i64) };
        let symbol = &self.session.model.program.symbols[n];
        let within = |limit: &Dim| u64::try_from(value).is_ok_and(|value| value <= self.extent(limit));
        if !(symbol.lower()..=symbol.upper()).contains(&value) || !limits.iter().all(within) {
            return status(RunError::DimOutOfRange as i32);
        }
        self.symbols[n] = value;
        Ok(())
    }

    fn timed(&mut self, n: usize) {
        let model = &self.session.model;
        let step = &model.program.steps.launches[n];
        let words: Vec<u64> = step.places.iter().map(|place| self.address(*place)).collect();
        let extents: Vec<u64> = step.extents.iter().map(|dim| self.extent(dim)).collect();
        let start = Instant::now();
        // SAFETY: the addresses are those that the run function would compute, of memory that `prepare` has checked or that the session owns.
        unsafe { self.session.step(step, words, extents, &mut self.code) };
        self.times[n] += start.elapsed();
    }

    fn nest(&mut self, nest: &LoopActions) -> Result<(), SessionError> {
        let trips = self.extent(&nest.trips);
        for [initial, current, next, buffer, _] in &nest.carried {
            self.point(*current, self.address(*initial));
            self.point(*next, self.address(*buffer));
        }
        for trip in 0.. {
            status(self.code)?;
            let goes_on = match &nest.condition {
                None => trip < trips,
                Some((actions, place)) => {
                    self.actions(actions)?;
                    self.truth(*place)
                }
            };
            if !goes_on {
                break;
            }
            if trip >= trips {
                return status(RunError::TripBudget as i32);
            }
            for (whole, slice, stride) in &nest.slices {
                let place = if nest.reverse { trips - 1 - trip } else { trip };
                self.point(*slice, self.address(*whole) + place * self.extent(stride));
            }
            self.actions(&nest.body)?;
            for [_, current, next, first, second] in &nest.carried {
                let (written, first) = (self.address(*next), self.address(*first));
                self.point(*current, written);
                self.point(*next, if written == first { self.address(*second) } else { first });
            }
        }
        Ok(())
    }

    fn extent(&self, dim: &Dim) -> u64 {
        self.session.model.program.extent(dim, &self.symbols) as u64
    }

    fn truth(&self, place: Place) -> bool {
        // SAFETY: the address is that of a buffer that holds at least one element.
        unsafe { *(self.address(place) as *const u8) != 0 }
    }

    fn point(&mut self, place: Place, address: u64) {
        if let Place::Pointer(n) = place {
            self.pointers[n as usize] = address;
        }
    }

    fn address(&self, place: Place) -> u64 {
        let session = self.session;
        let inputs = session.model.program.inputs.len();
        match place {
            Place::Input(n) => session.io[n as usize] as u64,
            Place::Output(n) => session.io[inputs + n as usize] as u64,
            Place::State(n) => session.state_pointers[n as usize] as u64,
            Place::Weights { offset } => session.model.weights.as_ptr() as u64 + offset,
            Place::Arena { offset } => session.arena.as_ptr() as u64 + offset,
            Place::Pointer(n) => self.pointers[n as usize],
        }
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
        let steps = &self.model.program.steps;
        let times = vec![Duration::ZERO; steps.launches.len()];
        let (pointers, symbols) = (vec![0; steps.pointers], self.symbols.clone());
        let mut profile = Profile { session: self, pointers, symbols, times, code: 0 };
        profile.actions(&steps.flow)?;
        let Profile { symbols, times, code, .. } = profile;
        self.symbols = symbols;
        status(code)?;
        Ok(times)
    }

    /// # Safety
    /// The addresses are those of the step's buffers.
    unsafe fn step(&self, step: &ProfiledStep, mut words: Vec<u64>, extents: Vec<u64>, code: &mut i32) {
        let StepKind::Kernel(kernel) = step.run else {
            let (from, to, bytes) = (words[0] as *const u8, words[1] as *mut u8, extents[0] as usize);
            // SAFETY: the caller's promise; the memory plan may give both buffers one place.
            return unsafe { std::ptr::copy(from, to, bytes) };
        };
        let model = &self.model;
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
