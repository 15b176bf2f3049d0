//! The systems.
//!
//! * [`linear_regression`]: gradient descent to the closed form
//! * [`table`]: a feed-forward net learns a table of truth values
//! * [`digits`]: a multi-layer perceptron on MNIST
//! * [`characters`]: an LSTM predicts text
//! * [`reverse`]: a transformer reverses sequences
//! * [`gan`], [`vae`]: they draw digits
//! * [`maml`]: learns to learn sinusoids, by gradients of gradients

pub mod characters;
pub mod digits;
pub mod gan;
pub mod linear_regression;
pub mod maml;
pub mod reverse;
pub mod table;
pub mod vae;

use graven_ir::{DType, Dim, TensorType};

/// A type with known extents.
pub fn ty(dtype: DType, shape: &[usize]) -> TensorType {
    TensorType { dtype, shape: shape.iter().map(|extent| Dim::from(*extent as i64)).collect() }
}
