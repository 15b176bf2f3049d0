//! Just-in-time compilation: machine code in executable memory of this process.
//!
//! * `code`: executable memory
//! * [`kernel`]: a single kernel, for tests and tuning

mod code;
pub mod kernel;

pub use code::JitError;
pub use kernel::JitKernel;
