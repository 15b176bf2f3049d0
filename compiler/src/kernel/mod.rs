//! The kernel IR: loop nests over buffers with vectors, scheduled for one target.
//!
//! * [`types`]: scalars, vectors, masks
//! * [`ops`]: operations on register values
//! * [`ir`]: kernels, statements, loops, buffers
//! * [`builder`]: builds kernels from index expressions
//! * [`in_place`]: whether a result may take an operand's memory
//! * [`text`]: the `.kir` form
//! * [`mod@verify`]: the invariants
//! * [`interp`]: runs kernels with checked memory
//! * [`math`]: the graph's elementwise functions as operations

pub mod builder;
pub mod in_place;
mod infer;
pub mod interp;
pub mod ir;
pub mod math;
pub mod ops;
pub mod text;
pub mod types;
pub mod verify;
mod visit;

pub use builder::{Features, KernelBuilder, OpenLoop};
pub use infer::TypeError;
pub use ir::{Access, Address, Block, Buffer, BufferId, Carried, For, If, Kernel, Spread, Stmt, Val};
pub use ops::{Binary, Compare, Horizontal, KernelOp, Number, Unary};
pub use types::{Element, Type};
pub use verify::{Path, PathStep, VerifyError, VerifyLimits, verify};
