//! Systems of deep learning, defined with the layers of [`graven::nn`], compiled and trained.
//!
//! * [`systems`]: one module per system; the binary of that name runs them
//! * [`stepper`]: runs steps that train several things
//! * [`data`]: files of images and text
//! * [`picture`]: grids of samples

pub mod data;
pub mod picture;
pub mod stepper;
pub mod systems;

/// What goes wrong in examples.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
