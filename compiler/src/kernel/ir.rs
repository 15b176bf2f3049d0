//! Kernels: loop nests over buffers.

use super::ops::KernelOp;
use super::types::Type;
use cranelift_entity::{PrimaryMap, entity_impl};
use graven_ir::{DType, Dim, Symbol};
use smallvec::SmallVec;

/// A register value: `v3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Val(u32);
entity_impl!(Val, "v");

/// A buffer: `b3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u32);
entity_impl!(BufferId, "b");

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads an argument.
    Read,
    /// Writes an argument. It never overlaps other arguments, except where the memory plan reuses a `Read` argument in place: then
    /// each element is read before it is written, by the same task.
    Write,
    /// Reads and writes an argument.
    ReadWrite,
    /// Memory of the worker, undefined at the start of each task.
    Scratch,
}

/// Memory that a kernel works on: a flat array of elements, aligned to 64 bytes unless it is a model's input or output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Its name in the text form.
    pub name: String,
    /// Element type in memory.
    pub dtype: DType,
    /// Number of elements.
    pub elements: Dim,
    /// Direction.
    pub access: Access,
}

/// Where a load or store goes: element `index + offset` of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The buffer.
    pub buffer: BufferId,
    /// The variable part, in elements.
    pub index: Val,
    /// The constant part, in elements.
    pub offset: i64,
}

/// How the lanes of a load or store spread over memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spread {
    /// Neighbouring elements.
    Contiguous,
    /// Elements this far apart.
    Strided(i64),
    /// Lane i is at the address plus lane i of an i32 or i64 vector of equally many lanes.
    Gathered(Val),
    /// One element in all lanes (loads only).
    Broadcast,
}

impl Spread {
    /// The vector of distances of a gather.
    pub fn indices(self) -> Option<Val> {
        match self {
            Spread::Gathered(indices) => Some(indices),
            Spread::Contiguous | Spread::Strided(_) | Spread::Broadcast => None,
        }
    }
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    /// A pure operation.
    Op {
        /// The new value.
        result: Val,
        /// What is computed.
        op: KernelOp,
        /// From what.
        args: SmallVec<[Val; 3]>,
    },
    /// Reads elements, converted from the buffer's dtype to the result's type. The dtypes are equal, or the buffer's is
    /// narrower: bool, i4, u4, i8, u8, i16 and u16 are read as i32, u32 or f32, f16 and bf16 as f32, and scalars of all of them as anything
    /// that `Convert` takes.
    Load {
        /// The new value.
        result: Val,
        /// From where.
        address: Address,
        /// How the lanes lie.
        spread: Spread,
        /// Lanes to read; the others are 0 and are not accessed.
        mask: Option<Val>,
    },
    /// Writes elements, converted from the value's type to the buffer's dtype, the converse of a load. Bool buffers take masks, which give 0 and 1, and
    /// nothing else.
    Store {
        /// What.
        value: Val,
        /// Where to.
        address: Address,
        /// How the lanes lie.
        spread: Spread,
        /// Lanes to write.
        mask: Option<Val>,
    },
    /// A loop.
    For(Box<For>),
    /// A branch.
    If(Box<If>),
    /// A hint that an element will be read soon; may be dropped.
    Prefetch {
        /// Which.
        address: Address,
    },
    /// Reports a data error unless the condition holds; execution goes on. Where several checks fail, one of their codes is reported.
    Check {
        /// A scalar mask.
        condition: Val,
        /// The code that the run function returns.
        code: i32,
    },
}

/// `for var in lower..upper step step`, zero or more trips.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct For {
    /// The loop variable, an index.
    pub var: Val,
    /// First value.
    pub lower: Val,
    /// End, exclusive.
    pub upper: Val,
    /// Step, ≥ 1.
    pub step: i64,
    /// Values that go from trip to trip.
    pub carried: Vec<Carried>,
    /// The body; it yields the next values of `carried`.
    pub body: Block,
    /// Whether the trips are independent tasks. Only one statement of the outermost block may be parallel. It has no carried values; the statements around
    /// it, which every task executes, store nothing, and after it come no loops or branches.
    pub parallel: bool,
}

/// A value carried around a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Carried {
    /// Value before the first trip, defined outside.
    pub init: Val,
    /// Value within the body.
    pub param: Val,
    /// Value after the loop.
    pub result: Val,
}

/// `if condition { … } else { … }`; both blocks yield the results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct If {
    /// A scalar mask.
    pub condition: Val,
    /// Taken when set.
    pub then: Block,
    /// Taken when clear.
    pub otherwise: Block,
    /// Values after the branch.
    pub results: Vec<Val>,
}

/// Statements in order, and the values that the block gives to its loop or branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Block {
    /// The statements.
    pub stmts: Vec<Stmt>,
    /// What the block yields.
    pub yields: Vec<Val>,
}

/// A kernel: what one launch computes, scheduled for one target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Its name; a symbol in objects.
    pub name: String,
    /// Arguments, in order, then scratch buffers.
    pub buffers: PrimaryMap<BufferId, Buffer>,
    /// Run-time extents that it takes, with the index values that hold them.
    pub extents: Vec<(Symbol, Val)>,
    /// Types of all values.
    pub values: PrimaryMap<Val, Type>,
    /// What it does.
    pub body: Block,
}

impl Kernel {
    /// The parallel loop, if the kernel has one.
    pub fn parallel_loop(&self) -> Option<&For> {
        self.body.stmts.iter().find_map(|stmt| match stmt {
            Stmt::For(nest) if nest.parallel => Some(&**nest),
            _ => None,
        })
    }

    /// Offsets of the scratch buffers in a worker's memory, in bytes, and their total size; all multiples of 64.
    pub fn scratch_layout(&self) -> (Vec<(BufferId, u64)>, u64) {
        let mut offsets = Vec::new();
        let mut total = 0u64;
        for (id, buffer) in self.buffers.iter().filter(|(_, buffer)| buffer.access == Access::Scratch) {
            offsets.push((id, total));
            let elements = u64::try_from(buffer.elements.upper()).unwrap_or(0);
            let bytes = elements.saturating_mul(buffer.dtype.bytes() as u64);
            total = total.saturating_add(bytes.next_multiple_of(64));
        }
        (offsets, total)
    }

    /// Bytes of scratch memory that a worker needs.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_layout().1
    }

    /// Buffers that callers pass, in order.
    pub fn arguments(&self) -> impl Iterator<Item = (BufferId, &Buffer)> {
        self.buffers.iter().filter(|(_, buffer)| buffer.access != Access::Scratch)
    }
}
