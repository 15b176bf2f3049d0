//! Graven compiles neural-network models to native CPU code.
//!
//! * [`pipeline`]: from a module to a program
//! * [`passes`]: graph to graph
//! * [`form`]: fused graphs to kernels
//! * [`kernel`]: the kernel IR
//! * [`program`]: a lowered model
//! * [`target`]: what schedules know about a target
//! * [`codegen`]: machine code
//! * [`emit`]: JIT, objects, executables

pub mod codegen;
pub mod emit;
pub mod form;
pub mod kernel;
pub mod passes;
pub mod pipeline;
pub mod program;
pub mod target;
