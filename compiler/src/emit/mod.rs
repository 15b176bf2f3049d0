//! Machine code in executable memory, objects, libraries and executables.
//!
//! * [`identifier`]: names as C identifiers
//! * [`weights`], `packing`, [`packed`]: the constants of a program in memory and in files
//! * [`dtypes`]: element types of the compiler and of the interface
//! * [`descriptor`]: what a generic caller needs to know about a model
//! * [`training`]: what train steps have beside the model
//! * [`object`]: objects for linkers
//! * [`header`]: what C programs include
//! * [`archive`], [`linker`]: the formats and tools of libraries and executables
//! * [`library`], [`executable`]: what users link or run
//! * [`mod@file`]: files that are there only when they are complete
//! * [`listing`]: code as text
//! * [`jit`]: executable memory of this process

pub mod archive;
pub mod descriptor;
pub mod dtypes;
pub mod executable;
pub mod file;
pub mod header;
pub mod identifier;
pub mod jit;
pub mod library;
pub mod linker;
pub mod listing;
pub mod object;
pub mod packed;
mod packing;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
pub mod training;
pub mod weights;
