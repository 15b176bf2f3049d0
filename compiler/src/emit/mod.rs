//! Machine code in executable memory, objects, libraries and executables.
//!
//! * [`jit`]: executable memory of this process

pub mod jit;
