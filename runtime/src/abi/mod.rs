//! The interface between a compiled model and its caller, version 1.
//!
//! These definitions are the single source for the runtime, the just-in-time compiler and the objects that
//! the compiler writes; `include/graven_abi.h` says the same in C ([`C_DECLARATIONS`], compared field by
//! field in the tests), and `docs/abi.md` explains it. Layouts are those of C on a 64-bit target, so that
//! [`core::mem::offset_of!`] on any such host gives the offsets for every target.

mod dtype;
mod run_error;

use core::ffi::{c_char, c_void};

pub use dtype::DType;
pub use run_error::RunError;

/// The version of this interface; a caller and a model work together only if theirs are equal.
pub const ABI_VERSION: u32 = 1;

/// Alignment in bytes of the arena and of the weights.
pub const ALIGNMENT: usize = 64;

/// The same declarations in C, to stand at the head of every generated header.
pub const C_DECLARATIONS: &str = include_str!("../../include/graven_abi.h");

const _: () = assert!(size_of::<usize>() == 8, "the interface is laid out for 64-bit targets");

/// One piece of parallel work: task number `task` of a `parallel_for`, done by worker number `worker`.
pub type Task = unsafe extern "C" fn(arg: *mut c_void, task: i64, worker: i64);

/// Runs `task(arg, i, w)` for each `i` in `0..ntasks` and returns when all are done.
///
/// `w` is in `0..workers`, and each worker runs one task at a time. Tasks may run in any order.
pub type ParallelFor = unsafe extern "C" fn(context: *mut c_void, task: Task, arg: *mut c_void, ntasks: i64);

/// The run function of a model: 0, or the code of a [`RunError`].
///
/// `io` holds a pointer per input, then one per output; `state` one per state; `dims` one value per symbol,
/// of which those whose source is [`SYMBOL_RESULT`] are written. `exec` may be null: one thread, embedded weights.
pub type Run = unsafe extern "C" fn(
    io: *const *mut c_void,
    state: *const *mut c_void,
    dims: *mut i64,
    arena: *mut c_void,
    exec: *const Exec,
) -> i32;

/// Zero if this CPU has every feature that the model was compiled for.
pub type CheckCpu = unsafe extern "C" fn() -> i32;

/// Computes the extents that are neither constant nor known to the caller, from one value per symbol.
pub type Extents = unsafe extern "C" fn(dims: *const i64, extents: *mut i64);

/// A function of the embedding application that a model calls.
///
/// `extents` holds the extents of every operand, then of every result, each in dimension order. 0 is
/// success; anything else makes the run return [`RunError::CustomCall`].
pub type CustomFunction = unsafe extern "C" fn(
    context: *mut c_void,
    operands: *const *const c_void,
    results: *const *mut c_void,
    extents: *const i64,
) -> i32;

/// A custom call as the caller supplies it, at the index that its name has in [`Model::custom_calls`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CustomCall {
    /// The function.
    pub call: Option<CustomFunction>,
    /// Its first argument.
    pub context: *mut c_void,
}

/// What a run may use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exec {
    /// [`ABI_VERSION`] of the caller.
    pub abi_version: u32,
    /// How many workers there are, at least 1; the arena has room for their scratch.
    pub workers: u32,
    /// First argument of `parallel_for`.
    pub context: *mut c_void,
    /// May be null only if `workers` is 1.
    pub parallel_for: Option<ParallelFor>,
    /// The weights, [`ALIGNMENT`]-aligned, or null for those embedded in the model.
    pub weights: *const c_void,
    /// One entry per custom call of the model.
    pub custom_calls: *const CustomCall,
    /// How many entries `custom_calls` has.
    pub custom_call_count: u64,
}

/// [`Symbol::source`]: an extent of an input, which the caller sets before the run.
pub const SYMBOL_INPUT: u32 = 0;
/// [`Symbol::source`]: an extent that depends on data, which the run sets.
pub const SYMBOL_RESULT: u32 = 1;

/// A symbolic extent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// Name, in UTF-8.
    pub name: *const c_char,
    /// Smallest legal value.
    pub lower: i64,
    /// Greatest legal value.
    pub upper: i64,
    /// [`SYMBOL_INPUT`] or [`SYMBOL_RESULT`].
    pub source: u32,
}

/// One dimension of a tensor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Dim {
    /// Greatest extent that the dimension can have.
    pub bound: i64,
    /// The symbol that the extent is equal to (in an input this binds it), or -1.
    pub symbol: i32,
    /// Where [`Model::extents`] writes the extent, or -1 if it is always `bound`.
    pub extent: i32,
}

/// Name and type of an input, output or state.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// Name, in UTF-8.
    pub name: *const c_char,
    /// Code of a [`DType`].
    pub dtype: u32,
    /// Number of dimensions.
    pub rank: u32,
    /// `rank` dimensions, outermost first.
    pub dims: *const Dim,
}

/// The descriptor of a model: what a generic caller needs to know to run it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// [`ABI_VERSION`] of the compiler that made the model.
    pub abi_version: u32,
    /// Length of `inputs`.
    pub input_count: u32,
    /// Length of `outputs`.
    pub output_count: u32,
    /// Length of `states`.
    pub state_count: u32,
    /// Length of `symbols`.
    pub symbol_count: u32,
    /// How many values `extents` writes.
    pub extent_count: u32,
    /// Length of `custom_calls`.
    pub custom_call_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Name of the model, in UTF-8.
    pub name: *const c_char,
    /// The CPU features that the code needs, in words.
    pub cpu: *const c_char,
    /// Inputs in the order of the run function's `io`.
    pub inputs: *const Tensor,
    /// Outputs, which follow the inputs in `io`.
    pub outputs: *const Tensor,
    /// States in the order of `state`.
    pub states: *const Tensor,
    /// Symbols in the order of `dims`.
    pub symbols: *const Symbol,
    /// Names of the custom calls.
    pub custom_calls: *const *const c_char,
    /// Size of the arena without the workers' scratch.
    pub arena_bytes: u64,
    /// What each worker adds to the size of the arena.
    pub arena_bytes_per_worker: u64,
    /// Size of all states at their bounds, each rounded up to a multiple of [`ALIGNMENT`].
    pub state_bytes: u64,
    /// Size of the weights, embedded or not.
    pub weights_bytes: u64,
    /// Their [`crate::weights::hash`].
    pub weights_hash: [u8; 16],
    /// The weights, or null if they are in a file.
    pub embedded_weights: *const c_void,
    /// The run function.
    pub run: Option<Run>,
    /// The CPU check.
    pub check_cpu: Option<CheckCpu>,
    /// The extent function; null if `extent_count` is 0.
    pub extents: Option<Extents>,
}

// SAFETY: a descriptor and what it points to is constant data, so any thread may read it.
unsafe impl Sync for Model {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Model {}
