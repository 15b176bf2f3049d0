//! A lowered model: kernels, buffers and the steps that launch them. What code generation takes.

use crate::kernel::Kernel;
use cranelift_entity::{PrimaryMap, entity_impl};
use graven_ir::{DType, Dim, Symbol, Tensor, TensorType};
use std::sync::Arc;

/// A kernel of the program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(u32);
entity_impl!(KernelId, "kernel");

/// A buffer of the program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(u32);
entity_impl!(SlotId, "slot");

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The n-th input.
    Input(u32),
    /// The n-th output.
    Output(u32),
    /// The n-th state; it holds the old value until it is overwritten.
    State(u32),
    /// `offset` bytes into the weights blob; a multiple of 64.
    Weights {
        /// Offset in bytes.
        offset: u64,
    },
    /// `offset` bytes into the arena; a multiple of 64. The memory plan sets it.
    Arena {
        /// Offset in bytes.
        offset: u64,
    },
    /// Where the n-th pointer of the program leads at that time: a slice of a scanned value or a carried value. Loops set it.
    Pointer(u32),
}

/// A buffer: memory with a place and a largest size.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Where it lives.
    pub place: Place,
    /// Element type in memory.
    pub dtype: DType,
    /// Number of elements, padding included.
    pub elements: Dim,
}

impl Slot {
    /// The most bytes that it takes.
    pub fn upper_bytes(&self) -> u64 {
        u64::try_from(self.elements.upper()).unwrap_or(0).saturating_mul(self.dtype.bytes() as u64)
    }
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub kernel: KernelId,
    /// One slot per argument of the kernel.
    pub arguments: Vec<SlotId>,
    /// Values of the kernel's run-time extents, in its order, over the model's symbols.
    pub extents: Vec<Dim>,
    /// What the launch costs, which decides whether it is split over workers, and which profiles report.
    pub cost: Cost,
    /// The model's node that it comes from, for profiles.
    pub origin: Option<Arc<str>>,
}

/// Work of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Arithmetic operations; a multiply-add counts two.
    pub flops: u64,
    /// Bytes read and written, each buffer once.
    pub bytes: u64,
}

/// A step of the entry function.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Runs a kernel.
    Launch(Launch),
    /// Copies `elements` elements between two slots.
    Copy {
        /// From.
        from: SlotId,
        /// To.
        to: SlotId,
    },
    /// Runs one of two lists of steps.
    If(Branch),
    /// Runs a list of steps several times.
    Loop(Box<Loop>),
    /// Gives a symbol its value. It stands outside of branches and loops, and before everything that depends on the symbol.
    Bind(Binding),
    /// Calls a function of the application.
    Call(CustomCall),
}

/// A call of a function of the application.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomCall {
    /// Number of the signature among the program's.
    pub signature: u32,
    /// What it reads.
    pub operands: Vec<SlotId>,
    /// What it writes.
    pub results: Vec<SlotId>,
    /// Extents of each operand, then of each result.
    pub extents: Vec<Dim>,
}

/// A function that the application provides. Calls of one name with other dtypes or ranks are functions of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSignature {
    /// Its name.
    pub name: String,
    /// Element types and ranks of the operands.
    pub operands: Vec<(DType, usize)>,
    /// Element types and ranks of the results.
    pub results: Vec<(DType, usize)>,
}

/// A symbol that data give a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Its number among the program's symbols.
    pub symbol: u32,
    /// Its value, one `i64`; outside the symbol's bounds the run fails.
    pub value: SlotId,
    /// Extents that the value must not exceed.
    pub limits: Vec<Dim>,
}

/// Steps that depend on a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// One bool.
    pub condition: SlotId,
    /// Steps where it holds.
    pub then: Vec<Step>,
    /// Steps where it doesn't.
    pub otherwise: Vec<Step>,
}

/// Steps that are repeated.
///
/// Before the first trip, every carried value's `current` leads to its initial value and its `next` to the first of its buffers, and every slice to
/// the first one in the order of the trips. After each trip `current` becomes what `next` was, `next` the other buffer, and slices go one on.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// Number of trips; for a loop with a condition the most trips, beyond which the run fails.
    pub trips: Dim,
    /// What is computed before each trip to decide whether it takes place.
    pub condition: Option<Condition>,
    /// Slices of the buffers that the trips go along.
    pub slices: Vec<Slice>,
    /// Whether trips go from the last slice to the first.
    pub reverse: bool,
    /// Values that go from trip to trip.
    pub carried: Vec<Carried>,
    /// The steps of a trip.
    pub body: Vec<Step>,
}

/// Whether a loop goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The steps that compute it.
    pub steps: Vec<Step>,
    /// One bool.
    pub value: SlotId,
}

/// A part of a buffer that a loop goes along.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The buffer: one slice per trip, one after the other.
    pub whole: SlotId,
    /// The slice of the current trip, a [`Place::Pointer`].
    pub slice: SlotId,
    /// Bytes of a slice.
    pub stride: Dim,
    /// Whether trips write the slice, rather than read it.
    pub written: bool,
}

/// A value that goes from trip to trip of a loop: it alternates between two buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// Its value before the first trip, which the loop only reads.
    pub initial: SlotId,
    /// Its value, in the loop and after it; a [`Place::Pointer`].
    pub current: SlotId,
    /// Where a trip puts the next value; a [`Place::Pointer`].
    pub next: SlotId,
    /// The two buffers, in the arena.
    pub buffers: [SlotId; 2],
}

impl Step {
    /// Calls `visit` for this step and all steps within it, in the order of the program.
    pub fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s Step)) {
        visit(self);
        let mut all = |steps: &'s [Step]| steps.iter().for_each(|step| step.for_each(visit));
        match self {
            Step::Launch(_) | Step::Copy { .. } | Step::Bind(_) | Step::Call(_) => {}
            Step::If(branch) => {
                all(&branch.then);
                all(&branch.otherwise);
            }
            Step::Loop(nest) => {
                all(nest.condition.as_ref().map_or(&[], |condition| &condition.steps));
                all(&nest.body);
            }
        }
    }
}

impl Program {
    /// Whether the run gives the n-th symbol its value; else the caller does.
    pub fn is_result(&self, symbol: usize) -> bool {
        let binds = |step: &Step| matches!(step, Step::Bind(binding) if binding.symbol as usize == symbol);
        self.steps.iter().any(binds)
    }
}

/// A named value of the signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: TensorType,
}

/// A part of the weights blob: `bytes` long at `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsPart {
    /// Offset in bytes, a multiple of 64.
    pub offset: u64,
    /// The bytes, made when the blob is written, so that only one packed tensor is in memory at a time.
    pub source: WeightsSource,
}

/// Where the bytes of a part come from.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightsSource {
    /// A constant as it is.
    Plain(Tensor),
    /// A constant of rank `gather.len()` rearranged: element n of the part is the element of the tensor at the index of the map, or zero where it is outside.
    Packed {
        /// The constant.
        tensor: Tensor,
        /// How.
        packing: Packing,
    },
}

/// A rearrangement of a constant with zero padding.
///
/// The packed tensor is row-major over `extents`. Its coordinate c maps to the source element `offset` + Σ c\[d\]·`strides`\[d\], and is zero where, for any of
/// `limits`, Σ c\[d\]·`weights`\[d\] ≥ `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// Extents of the packed tensor, outermost first.
    pub extents: Vec<usize>,
    /// The source element of the first one.
    pub offset: isize,
    /// Source elements per step of each packed dimension.
    pub strides: Vec<isize>,
    /// Padding conditions.
    pub limits: Vec<PackingLimit>,
}

/// See [`Packing`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PackingLimit {
    /// One factor per packed dimension.
    pub weights: Vec<usize>,
    /// The logical extent.
    pub end: usize,
}

/// A lowered model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// The model's name: the prefix of its symbols.
    pub name: String,
    /// Run-time extents, in the order of the `m_dims` struct.
    pub symbols: Vec<Symbol>,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// States.
    pub states: Vec<Port>,
    /// Distinct kernels.
    pub kernels: PrimaryMap<KernelId, Kernel>,
    /// Buffers.
    pub slots: PrimaryMap<SlotId, Slot>,
    /// What the entry function does.
    pub steps: Vec<Step>,
    /// Functions that the application provides.
    pub custom_calls: Vec<CustomSignature>,
    /// Number of pointers that loops set; see [`Place::Pointer`].
    pub pointers: u32,
    /// Bytes of arena that all workers share.
    pub arena_bytes: u64,
    /// Bytes of arena per worker, for scratch buffers; a multiple of 64.
    pub scratch_bytes: u64,
    /// The weights blob.
    pub weights: Vec<WeightsPart>,
    /// Size of the weights blob in bytes.
    pub weights_bytes: u64,
    /// What a train step has beside its code.
    pub training: Option<Training>,
}

/// How the states of a train step begin, and what its result is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// First values of the first states; the others begin as zeros.
    pub initial: Vec<Tensor>,
    /// How many states the result consists of, from the first on.
    pub saved_states: usize,
    /// The number of steps that the schedule is made for, or 0 if it goes with any number.
    pub steps: u64,
}
