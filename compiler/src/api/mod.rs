//! The library's interface: compile a model and run it in this process.
//!
//! * [`Compiler`], [`LoadedModel`]: models as they come
//! * [`Options`]: what the user decides
//! * [`CompiledModel`]: code, shared between threads
//! * [`Session`]: runs it
//! * [`Trainer`], [`Evaluator`]: train a model
//! * [`TensorView`], [`TensorViewMut`]: tensors that the application owns
//!
//! ```no_run
//! use graven::api::{Compiler, Options, TensorView, TensorViewMut};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Compiler::new(Options::default()).load("digits.onnx")?.jit()?;
//! let mut session = model.session()?;
//! let shape = [1, 1, 28, 28];
//! session.prepare(&[("image".to_string(), shape.to_vec())].into())?;
//! let (image, mut probabilities) = (vec![0.0f32; 784], vec![0.0f32; 10]);
//! let input = TensorView::f32(&shape, &image)?;
//! let output = TensorViewMut::f32(&[1, 10], &mut probabilities)?;
//! session.run(&[input], &mut [output])?;
//! # Ok(()) }
//! ```

mod aot;
mod bind;
mod cache;
mod executable;
mod interpret;
mod lower;
mod model;
mod options;
mod port;
mod session;
mod source;
mod trainer;
mod weights;

pub use crate::emit::jit::{CustomFunction, TensorView, TensorViewMut};
pub(crate) use crate::flops::flops;
pub use aot::{Listing, Product};
pub use executable::Statistics;
pub use model::CompiledModel;
pub use options::{Accuracy, Backend, Observer, Options, Remark, WeightsMode};
pub use port::Signature;
pub use session::{Session, StepTime};
pub use source::{Compiler, LoadedModel, ReadTextError, TextError, read_json, read_text};
pub use trainer::{Evaluator, StepReport, Trainer, train_step_model};
