//! Graven compiles neural-network models to native CPU code.
//!
//! * [`kernel`]: the kernel IR
//! * [`program`]: a lowered model
//! * [`target`]: what schedules know about a target
//! * [`codegen`]: machine code
//! * [`emit`]: JIT, objects, executables

pub mod codegen;
pub mod emit;
pub mod kernel;
pub mod program;
pub mod target;
