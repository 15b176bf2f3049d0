//! Just-in-time compilation: machine code in executable memory of this process.
//!
//! * `code`: executable memory
//! * `custom`: code of the application that models call
//! * [`kernel`]: a single kernel, for tests and tuning
//! * [`model`]: a compiled model
//! * [`view`]: tensors in the caller's memory
//! * [`session`]: what running a model takes
//! * [`profile`]: the time of each launch

mod code;
mod custom;
pub mod kernel;
pub mod model;
pub mod profile;
pub mod session;
#[cfg(test)]
mod tests;
pub mod view;

pub use code::JitError;
pub use custom::CustomFunction;
pub use kernel::JitKernel;
pub use model::{CompiledModel, JitOptions};
pub use session::{Session, SessionError};
pub use view::{TensorView, TensorViewMut};
