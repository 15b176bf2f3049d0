//! Kernels of single operations against what Rust's own arithmetic gives, on every CPU level that this machine can run, scalar and in vectors
//! narrower than, equal to and wider than those of the target.
//!
//! * `harness`: runs a kernel
//! * `emulated`: on other architectures
//! * `reference`: the operations on single elements

mod control;
mod elementwise;
mod emulated;
pub(in crate::codegen) mod harness;
mod lanes;
mod memory;
mod reference;
mod targets;
