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
/// The packed tensor is row-major over `extents`. Its coordinate c maps to the source element Σ c\[d\]·`strides`\[d\], and is zero where, for any of
/// `limits`, Σ c\[d\]·`weights`\[d\] ≥ `end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// Extents of the packed tensor, outermost first.
    pub extents: Vec<usize>,
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
    /// Bytes of arena that all workers share.
    pub arena_bytes: u64,
    /// Bytes of arena per worker, for scratch buffers; a multiple of 64.
    pub scratch_bytes: u64,
    /// The weights blob.
    pub weights: Vec<WeightsPart>,
    /// Size of the weights blob in bytes.
    pub weights_bytes: u64,
}
