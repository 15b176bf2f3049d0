//! The runtime of compiled models.
//!
//! One crate for two uses. The compiler links it as an ordinary library, for its just-in-time compiled models.
//! Executables made by `graven compile` link it as an object file without the standard library, which adds some tens
//! of kilobytes to them; [`standalone`] is their main function, and `standalone_object.rs` beside this crate's manifest
//! builds it.
//!
//! - [`abi`]: the interface between a model and its caller;
//! - [`model`]: a checked view of a model's descriptor, and the shapes that follow from given inputs;
//! - [`pool`], [`arena`], [`weights`]: what a run uses;
//! - [`budget`]: a bound on the memory that the compiler takes;
//! - [`npy`], [`npz`], [`idx`], [`summary`]: arrays in files and in words;
//! - [`shuffle`]: the order of samples in training;
//! - [`sys`]: the operating system.
//!
//! It needs a Unix-like system with 64-bit addresses.
#![no_std]

#[cfg(not(unix))]
compile_error!("graven-runtime needs a Unix-like system");

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
pub mod arena;
pub mod budget;
mod error;
pub mod idx;
pub mod model;
pub mod npy;
pub mod npz;
pub mod pool;
pub mod shuffle;
pub mod standalone;
pub mod summary;
pub mod sys;
mod text;
pub mod weights;

pub use error::{Error, Kind};
