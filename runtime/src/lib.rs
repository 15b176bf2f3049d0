#![no_std]
//! The runtime that executables made by Graven link.

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
pub mod arena;
mod error;
pub mod npy;
pub mod npz;
pub mod pool;
pub mod sys;
mod text;
pub mod weights;

pub use error::Error;
