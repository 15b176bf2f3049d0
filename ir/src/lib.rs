//! The graph IR of Graven: pure tensors in SSA form.
//!
//! * [`DType`], [`Dim`], [`TensorType`], [`Tensor`]: element types, symbolic extents, types and host values
//! * [`Op`]: the closed table of operations
//! * [`Graph`], [`Function`], [`Module`]: nodes over values, signatures, constants
//! * [`GraphBuilder`]: builds graphs, with numpy-style broadcasting
//! * [`infer`]: result types from operand types
//! * [`verify`], [`patch`], [`analysis`]: the rules of the IR, edits that keep them, petgraph over graphs
//! * [`text`], [`json`]: modules as text
//! * [`interp`]: the reference interpreter
//! * [`decompose`]: composites in primitives
//! * [`deferred`]: tensors that are computed when they are needed

#![forbid(unsafe_code)]

pub mod analysis;
mod builder;
pub mod decompose;
pub mod deferred;
mod dim;
mod dtype;
pub mod element;
mod entity;
mod graph;
pub mod infer;
pub mod interp;
pub mod json;
mod module;
mod op;
pub mod patch;
mod tensor;
pub mod text;
pub mod verify;
pub mod weights;

pub use builder::{GraphBuilder, broadcast_shapes};
pub use dim::{Atom, Dim, MAX_ELEMENTS, Product, Symbol};
pub use dtype::{DType, DTypeClass, UnknownDType};
pub use entity::{ConstantId, NodeId, ValueId};
pub use graph::{Definition, Graph, Node, Uses, Value};
pub use module::{Constant, Constants, Function, Module};
pub use op::*;
pub use tensor::{Shape, SizeMismatch, Tensor, TensorType};
