//! Graven compiles neural-network models to native CPU code.
//!
//! * [`kernel`]: the kernel IR
//! * [`program`]: a lowered model
//! * [`target`]: what schedules know about a target

pub mod kernel;
pub mod program;
pub mod target;
