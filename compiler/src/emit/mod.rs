//! Machine code in executable memory, objects, libraries and executables.
//!
//! * [`weights`]: the constants of a program in memory
//! * [`jit`]: executable memory of this process

pub mod jit;
#[cfg(test)]
mod samples;
pub mod weights;
