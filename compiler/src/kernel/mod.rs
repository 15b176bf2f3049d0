//! The kernel IR: loop nests over buffers with vectors, scheduled for one target.
//!
//! * [`types`]: scalars, vectors, masks
//! * [`ops`]: operations on register values
//! * [`ir`]: kernels, statements, loops, buffers
//! * [`builder`]: builds kernels from index expressions

pub mod builder;
pub mod ir;
pub mod math;
pub mod ops;
pub mod types;

pub use builder::{Features, KernelBuilder, OpenLoop};
pub use ir::{Access, Address, Block, Buffer, BufferId, Carried, For, If, Kernel, Spread, Stmt, Val};
pub use ops::{Binary, Compare, Horizontal, KernelOp, Number, Unary};
pub use types::{Element, Type};
