//! Graven compiles neural-network models to native CPU code.
//!
//! * [`import`]: model files to graph IR
//! * [`accuracy`], [`remarks`]: what passes and schedules may do, and what they say they did
//! * [`pipeline`]: from a module to a program
//! * [`passes`]: graph to graph
//! * [`autograd`]: gradients of graphs
//! * [`train`]: train steps
//! * [`nn`]: models of layers
//! * [`stage`]: passes and gradients by name
//! * [`form`]: fused graphs to kernels
//! * [`kernel`]: the kernel IR
//! * [`program`]: a lowered model
//! * [`target`]: what schedules know about a target
//! * [`codegen`]: machine code
//! * [`emit`]: JIT, objects, executables
//! * [`api`]: compile a model and run it in this process
//! * [`cli`]: the command line
//! * [`error`]: what can go wrong

pub mod accuracy;
pub mod api;
pub mod autograd;
pub mod cli;
pub mod codegen;
pub mod emit;
pub mod error;
mod flops;
pub mod form;
pub mod import;
pub mod kernel;
mod mapped;
pub mod nn;
pub mod passes;
pub mod pipeline;
pub mod program;
pub mod remarks;
pub mod stage;
pub mod target;
pub mod train;
