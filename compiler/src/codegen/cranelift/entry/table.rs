//! The launches of a program as a table of 32-bit words, and its control flow around parts of the table.
//!
//! A record per launch:
//!
//! | words | content |
//! |---|---|
//! | 1 | number of the kernel |
//! | 1 | number of buffers, and 2¹⁶ times the number of extents |
//! | 1 | the most tasks that the launch can be split into; 1 where a split isn't worth it |
//! | one per buffer | where it is: the kind of place ([`WEIGHTS`] …) in the low three bits; above, the offset in units of 64 bytes or the number of the pointer |
//! | one per extent | its number among the distinct extents, which are computed when the run begins |

use super::EntryError;
use crate::codegen::copy;
use crate::kernel::{Kernel, KernelOp, Number, Stmt, Val};
use crate::program::{Cost, CustomCall, KernelId, Launch, Loop, Place, Program, SlotId, Step};
use graven_ir::Dim;
use rustc_hash::FxHashMap;
use target_lexicon::Endianness;

/// The place is `offset` bytes into the weights.
pub const WEIGHTS: u32 = 0;
/// The place is `offset` bytes into the arena.
pub const ARENA: u32 = 1;
/// The place is what the n-th pointer of `io` leads to.
pub const IO: u32 = 2;
/// The place is what the n-th pointer of `state` leads to.
pub const STATE: u32 = 3;

/// The place is where the n-th pointer of the frame leads, which loops set.
pub const POINTER: u32 = 4;
/// Bits of a place that say its kind.
pub const KIND_BITS: u32 = 3;

/// Bytes of a record before the buffers.
pub const RECORD_HEADER: i32 = 12;

/// Tasks per worker: enough for those who finish first to take over from others, few enough for each to be worth its start.
pub const TASKS_PER_WORKER: i64 = 4;

/// A launch that takes less than this on one worker isn't split, in nanoseconds. Handing tasks to waiting workers and collecting them takes one to two microseconds.
const SPLIT_FROM: u64 = 5_000;

/// Operations in a nanosecond per lane of a vector: about half of what two multiply-add units do at 2.5 GHz.
const OPERATIONS_PER_LANE: u64 = 5;

/// Bytes in a nanosecond between a worker and memory.
const BYTES: u64 = 10;

/// A part of what the entry function does.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Launches: words of the table from the first to before the last.
    Launches(usize, usize),
    /// One of two lists.
    If {
        /// Place of the condition.
        condition: Place,
        /// Where it holds.
        then: Vec<Piece>,
        /// Where it doesn't.
        otherwise: Vec<Piece>,
    },
    /// A list several times.
    Loop(Box<LoopPieces>),
    /// The n-th symbol gets the value at a place, which must not be above the extents of these numbers.
    Bind(u32, Place, Vec<u32>),
    /// Calls the application's function of this number.
    Call(CallPieces),
}

/// A [`Loop`] with places in the place of slots and numbers of extents in the place of extents.
#[derive(Clone, Debug)]
pub struct LoopPieces {
    /// Number of trips, or the most of them.
    pub trips: u32,
    /// What is done before a trip, and the place of the condition.
    pub condition: Option<(Vec<Piece>, Place)>,
    /// For each slice the place of the whole, the number of its pointer, and its size in bytes.
    pub slices: Vec<(Place, u32, u32)>,
    /// Whether trips go from the last slice to the first.
    pub reverse: bool,
    /// For each carried value its initial place, the numbers of its pointers, and the offsets of its buffers in the arena.
    pub carried: Vec<CarriedPlaces>,
    /// What a trip does.
    pub body: Vec<Piece>,
}

/// A call of the application.
#[derive(Clone, Debug)]
pub struct CallPieces {
    /// Number of the function.
    pub function: u32,
    /// Where the operands are.
    pub operands: Vec<Place>,
    /// Where the results go.
    pub results: Vec<Place>,
    /// Numbers of the extents of operands and results.
    pub extents: Vec<u32>,
}

/// A carried value.
#[derive(Clone, Debug)]
pub struct CarriedPlaces {
    /// Where its initial value is.
    pub initial: Place,
    /// Number of the pointer to its value.
    pub current: u32,
    /// Number of the pointer to its next value.
    pub next: u32,
    /// Offsets of its buffers in the arena.
    pub buffers: [u64; 2],
}

/// The launches of a program.
#[derive(Clone, Debug, Default)]
pub struct StepTable {
    words: Vec<u32>,
    /// What the entry function does, in order.
    pub pieces: Vec<Piece>,
    /// Number of pointers in the frame.
    pub pointers: usize,
    /// The distinct extents that kernels take, over the program's symbols.
    pub extents: Vec<Dim>,
    /// The most argument words of a kernel.
    pub argument_words: usize,
    /// Number of kernels, the one that copies included.
    pub kernels: usize,
    /// Whether there are steps that copy; their kernel comes after those of the program.
    pub copies: bool,
    numbers: FxHashMap<Dim, u32>,
    /// Operations in a nanosecond on one worker.
    speed: u64,
}

impl StepTable {
    /// The table of a program with code for `kernels` kernels, for CPUs whose vectors have `vector_bytes` bytes.
    ///
    /// # Errors
    /// [`EntryError::TooLarge`] beyond 32 GiB of weights or arena, or 2¹⁶ arguments of a kernel; [`EntryError::Codegen`] for a program that doesn't
    /// fit its own kernels.
    pub fn new(program: &Program, kernels: usize, vector_bytes: u16) -> Result<StepTable, EntryError> {
        let copies = needs_copy(program);
        let pointers = program.pointers as usize;
        let speed = u64::from(vector_bytes / 4).max(1) * OPERATIONS_PER_LANE;
        let mut table = StepTable { kernels, copies, pointers, speed, ..StepTable::default() };
        if kernels != program.kernels.len() + usize::from(copies) {
            return Err(bug("the number of kernels and of their codes differ"));
        }
        table.pieces = table.steps(program, &program.steps)?;
        Ok(table)
    }

    fn steps(&mut self, program: &Program, steps: &[Step]) -> Result<Vec<Piece>, EntryError> {
        let mut pieces = Vec::new();
        for step in steps {
            let first = self.words.len();
            match step {
                Step::Launch(launch) => self.launch(program, launch)?,
                Step::Copy { from, to } => self.copy(program, *from, *to)?,
                Step::If(branch) => {
                    let condition = place_of(program, branch.condition)?;
                    let then = self.steps(program, &branch.then)?;
                    let otherwise = self.steps(program, &branch.otherwise)?;
                    pieces.push(Piece::If { condition, then, otherwise });
                    continue;
                }
                Step::Call(call) => {
                    pieces.push(Piece::Call(self.call(program, call)?));
                    continue;
                }
                Step::Bind(binding) => {
                    let limits = binding.limits.iter().map(|limit| self.extent_number(limit)).collect();
                    pieces.push(Piece::Bind(binding.symbol, place_of(program, binding.value)?, limits));
                    continue;
                }
                Step::Loop(nest) => {
                    let nest = self.nest(program, nest)?;
                    pieces.push(Piece::Loop(Box::new(nest)));
                    continue;
                }
            }
            let end = self.words.len();
            match pieces.last_mut() {
                Some(Piece::Launches(_, last)) => *last = end,
                _ => pieces.push(Piece::Launches(first, end)),
            }
        }
        Ok(pieces)
    }

    fn call(&mut self, program: &Program, call: &CustomCall) -> Result<CallPieces, EntryError> {
        let places = |slots: &[SlotId]| -> Result<Vec<Place>, EntryError> {
            slots.iter().map(|slot| place_of(program, *slot)).collect()
        };
        let (operands, results) = (places(&call.operands)?, places(&call.results)?);
        let words = operands.len() + results.len() + call.extents.len();
        self.argument_words = self.argument_words.max(words);
        let extents = call.extents.iter().map(|extent| self.extent_number(extent)).collect();
        Ok(CallPieces { function: call.signature, operands, results, extents })
    }

    fn nest(&mut self, program: &Program, nest: &Loop) -> Result<LoopPieces, EntryError> {
        let trips = self.extent_number(&nest.trips);
        let mut slices = Vec::with_capacity(nest.slices.len());
        for slice in &nest.slices {
            let stride = self.extent_number(&slice.stride);
            slices.push((place_of(program, slice.whole)?, pointer(program, slice.slice)?, stride));
        }
        let mut carried = Vec::with_capacity(nest.carried.len());
        for value in &nest.carried {
            let [first, second] = value.buffers;
            carried.push(CarriedPlaces {
                initial: place_of(program, value.initial)?,
                current: pointer(program, value.current)?,
                next: pointer(program, value.next)?,
                buffers: [arena_offset(program, first)?, arena_offset(program, second)?],
            });
        }
        let condition = match &nest.condition {
            Some(condition) => {
                Some((self.steps(program, &condition.steps)?, place_of(program, condition.value)?))
            }
            None => None,
        };
        let body = self.steps(program, &nest.body)?;
        Ok(LoopPieces { trips, condition, slices, reverse: nest.reverse, carried, body })
    }

    /// The table in memory.
    pub fn bytes(&self, endianness: Result<Endianness, ()>) -> Vec<u8> {
        let big = endianness == Ok(Endianness::Big);
        self.words.iter().flat_map(|word| if big { word.to_be_bytes() } else { word.to_le_bytes() }).collect()
    }

    fn launch(&mut self, program: &Program, launch: &Launch) -> Result<(), EntryError> {
        let kernel = program
            .kernels
            .get(launch.kernel)
            .ok_or_else(|| bug(format!("there is no {}", launch.kernel)))?;
        let arguments = kernel.arguments().count();
        if arguments != launch.arguments.len() || kernel.extents.len() != launch.extents.len() {
            return Err(bug(format!("a launch of `{}` has other arguments than the kernel", kernel.name)));
        }
        let tasks = self.most_tasks(kernel, launch);
        self.record(program, kernel_number(launch.kernel), tasks, &launch.arguments, &launch.extents)
    }

    fn copy(&mut self, program: &Program, from: SlotId, to: SlotId) -> Result<(), EntryError> {
        // The source may be a tensor whose first rows are copied.
        let slot = program.slots.get(to).ok_or_else(|| bug(format!("there is no {to}")))?;
        let bytes = &slot.elements * slot.dtype.bytes() as i64;
        let cost = Cost { flops: 0, bytes: slot.upper_bytes().saturating_mul(2) };
        let tasks = if self.worth_a_split(&cost) { u32::MAX } else { 1 };
        let arguments = [from, from, to, to];
        self.record(program, program.kernels.len() as u32, tasks, &arguments, &[copy::blocks(&bytes), bytes])
    }

    /// The most tasks that a launch is split into.
    fn most_tasks(&self, kernel: &Kernel, launch: &Launch) -> u32 {
        let worthwhile = self.worth_a_split(&launch.cost);
        let Some(nest) = kernel.parallel_loop().filter(|_| worthwhile) else { return 1 };
        let bounds = (constant(kernel, nest.lower), constant(kernel, nest.upper));
        let (Some(lower), Some(upper)) = bounds else { return u32::MAX };
        let trips = upper.saturating_sub(lower).max(0) as u64;
        u32::try_from(trips.div_ceil(nest.step.max(1) as u64)).unwrap_or(u32::MAX).max(1)
    }

    /// By a guess at the time on one worker, which works while it waits for memory.
    fn worth_a_split(&self, cost: &Cost) -> bool {
        (cost.flops / self.speed).max(cost.bytes / BYTES) >= SPLIT_FROM
    }

    fn record(
        &mut self,
        program: &Program,
        kernel: u32,
        tasks: u32,
        arguments: &[SlotId],
        extents: &[Dim],
    ) -> Result<(), EntryError> {
        let (Ok(buffers), Ok(count)) = (u16::try_from(arguments.len()), u16::try_from(extents.len())) else {
            return Err(EntryError::TooLarge("a kernel has more than 65535 arguments".into()));
        };
        self.argument_words = self.argument_words.max(arguments.len() + extents.len() + 4);
        self.words.extend([kernel, u32::from(buffers) | u32::from(count) << 16, tasks]);
        for argument in arguments {
            let place = place_word(program, *argument)?;
            self.words.push(place);
        }
        for extent in extents {
            let number = self.extent_number(extent);
            self.words.push(number);
        }
        Ok(())
    }

    fn extent_number(&mut self, extent: &Dim) -> u32 {
        if let Some(number) = self.numbers.get(extent) {
            return *number;
        }
        let number = self.extents.len() as u32;
        self.extents.push(extent.clone());
        self.numbers.insert(extent.clone(), number);
        number
    }
}

/// Whether a program has steps that copy, which take a kernel of their own.
pub fn needs_copy(program: &Program) -> bool {
    let mut found = false;
    let mut visit = |step: &Step| found |= matches!(step, Step::Copy { .. });
    program.steps.iter().for_each(|step| step.for_each(&mut visit));
    found
}

fn kernel_number(kernel: KernelId) -> u32 {
    kernel.as_u32()
}

fn place_of(program: &Program, slot: SlotId) -> Result<Place, EntryError> {
    let place = program.slots.get(slot).map(|slot| slot.place);
    place.ok_or_else(|| bug(format!("there is no {slot}")))
}

fn pointer(program: &Program, slot: SlotId) -> Result<u32, EntryError> {
    match place_of(program, slot)? {
        Place::Pointer(n) if n < program.pointers => Ok(n),
        place => Err(bug(format!("a loop sets {slot}, which is at {place:?}"))),
    }
}

fn arena_offset(program: &Program, slot: SlotId) -> Result<u64, EntryError> {
    match place_of(program, slot)? {
        Place::Arena { offset } => Ok(offset),
        place => Err(bug(format!("a loop alternates between buffers, of which {slot} is at {place:?}"))),
    }
}

fn place_word(program: &Program, slot: SlotId) -> Result<u32, EntryError> {
    let (kind, value) = match place_of(program, slot)? {
        Place::Input(n) => (IO, u64::from(n)),
        Place::Output(n) => (IO, program.inputs.len() as u64 + u64::from(n)),
        Place::State(n) => (STATE, u64::from(n)),
        Place::Weights { offset } => (WEIGHTS, whole_units(offset)?),
        Place::Arena { offset } => (ARENA, whole_units(offset)?),
        Place::Pointer(n) => (POINTER, u64::from(n)),
    };
    match u32::try_from(value).ok().filter(|value| *value < 1 << (32 - KIND_BITS)) {
        Some(value) => Ok(value << KIND_BITS | kind),
        None => Err(EntryError::TooLarge("the model takes more than 32 GiB of memory".into())),
    }
}

fn whole_units(offset: u64) -> Result<u64, EntryError> {
    match offset % 64 {
        0 => Ok(offset / 64),
        _ => Err(bug(format!("a buffer at offset {offset}, which is no multiple of 64"))),
    }
}

/// The value of an index that is a constant of the kernel's outermost block.
fn constant(kernel: &Kernel, value: Val) -> Option<i64> {
    kernel.body.stmts.iter().find_map(|stmt| match stmt {
        Stmt::Op { result, op: KernelOp::Constant(Number::Int(number)), .. } if *result == value => {
            Some(*number)
        }
        _ => None,
    })
}

fn bug(what: impl Into<String>) -> EntryError {
    crate::codegen::CodegenError::Bug { kernel: "run".into(), what: what.into() }.into()
}
