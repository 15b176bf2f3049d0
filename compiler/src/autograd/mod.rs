//! Reverse-mode differentiation, graph to graph.
//!
//! A gradient is a graph of the same primitives as the model, so it is fused, laid out and compiled like any other, and has a
//! gradient itself.
//!
//! * [`vjp`]: the walk over a graph in reverse order; adds up what the users of a value pass back
//! * [`rules`]: one gradient rule per row of the op table
//! * [`function`]: a function's gradient with respect to some of its parameters
//! * `calculus`: short forms for what rules build
//!
//! The method is reverse accumulation (Linnainmaa, 1970; Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3). Before, with
//! `wrt = [x]`:
//!
//! ```text
//! func @main(%x: f32[4]) -> (y: f32[]) {
//!   %1 = exp %x : f32[4]
//!   %2 = reduce %1 {combine = sum, axes = [0]} : f32[]
//!   return %2
//! }
//! ```
//!
//! After:
//!
//! ```text
//! func @main(%x: f32[4]) -> (y: f32[], x.grad: f32[4]) {
//!   %1 = exp %x : f32[4]
//!   %2 = reduce %1 {combine = sum, axes = [0]} : f32[]
//!   %3 = constant 1.0 : f32[]
//!   %4 = broadcast %3 {shape = [4], dimensions = []} : f32[4]
//!   %5 = mul %4, %1 : f32[4]
//!   return %2, %5
//! }
//! ```

mod calculus;
mod error;
mod function;
mod rules;
#[cfg(test)]
mod tests;
mod vjp;

pub use error::GradError;
pub use function::{grad, keep_for_gradient, value_and_grad};
pub use vjp::vjp;
