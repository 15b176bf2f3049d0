//! Training as graphs: a train step is a function like any other, and is compiled like one.
//!
//! * [`loss`]: losses of predictions against targets
//! * `logits`: losses that hold a model's last softmax or sigmoid
//! * [`optimizer`]: update rules of parameters
//! * [`schedule`]: learning rates over the steps
//! * [`clip`]: bounds on gradients
//! * [`step`]: forward function + loss + gradients + updates = one function
//! * `signature`: what steps and evaluations have in common
//! * `weights`: parameters in the place of constants
//! * [`initializer`]: first values of parameters
//! * [`random`]: random numbers as graphs
//!
//! Formulas are those of the papers named in each doc; where implementations differ, PyTorch's default is ours.

pub mod clip;
pub mod initializer;
mod logits;
pub mod loss;
pub mod optimizer;
pub mod random;
pub mod schedule;
mod signature;
pub mod step;
#[cfg(test)]
mod tests;
mod weights;

pub use clip::Clip;
pub use initializer::Initializer;
pub use loss::Loss;
pub use optimizer::Optimizer;
pub use schedule::Schedule;
pub use step::{State, StepOptions, TRAIN, TrainStep, evaluation, train_step, trainable, training_function};
