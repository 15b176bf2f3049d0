//! Models defined in Rust: layers with parameters and first values.
//!
//! * [`model()`], [`ModelBuilder`]: modules from layers; [`state_dict`], [`load_state_dict`], [`save`], [`load`]: their weights
//! * [`ModelBuilder::step`], [`Forward::minimise`], [`initial_states`]: steps with several losses and optimisers
//! * [`Forward`]: what layers build their graph with
//! * [`Layer`], [`Sequential`], [`Residual`], [`Flatten`]: composition
//! * [`Dense`], [`Embedding`]
//! * [`Conv`], [`ConvTranspose`], [`Pool`], [`GlobalAveragePool`]
//! * [`BatchNorm`], [`LayerNorm`], [`GroupNorm`]
//! * [`Activation`], [`Dropout`]
//! * [`Recurrent`]: RNN, LSTM, GRU
//! * [`MultiHeadAttention`], [`TransformerEncoderLayer`], [`TransformerDecoderLayer`], [`SinusoidalPosition`], [`LearnedPosition`]
//!
//! Layers learn the extents of their inputs from what they are given. Names, shapes, order of gates and first values of parameters are PyTorch's, so that the
//! state dict of the same model there can be loaded; each layer's doc lists them.
//!
//! A digit classifier, defined, trained and run:
//!
//! ```
//! use graven::api::{Compiler, Options, TensorView, TensorViewMut, Trainer};
//! use graven::nn::{self, Activation, BatchNorm, Conv2d, Dense, Dropout, Flatten, Layer, Pool, Sequential};
//! use graven::train::{Loss, Optimizer, StepOptions, trainable};
//! use graven_ir::{DType, Dim, TensorType};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layers = Sequential::new()
//!     .then(Conv2d::new(4, [3, 3]).padding([1, 1]))
//!     .then(BatchNorm::new())
//!     .then(Activation::Relu)
//!     .then(Pool::max([2, 2]))
//!     .then(Flatten)
//!     .then(Dropout::new(0.1))
//!     .then(Dense::new(10));
//! let images = TensorType { dtype: DType::F32, shape: [2, 1, 8, 8].map(Dim::from).into_iter().collect() };
//! let mut model = nn::model("digits", 1, &[("image", images)], |f, x| layers.forward(f, x[0]))?;
//!
//! let options = StepOptions {
//!     optimizer: Optimizer::ADAM,
//!     learning_rate: 0.01,
//!     ..StepOptions::new(Loss::CrossEntropy, trainable(&model))
//! };
//! let mut trainer = Trainer::new(&model, &options, Options::default())?;
//! let pixels: Vec<f32> = (0..128).map(|place| if place < 64 { 0.0 } else { 1.0 }).collect();
//! let labels = [3i64, 7];
//! let image = TensorView::f32(&[2, 1, 8, 8], &pixels)?;
//! let target = TensorView::new(DType::I64, &[2], bytemuck::cast_slice(&labels))?;
//! let first = trainer.step(&[image], target)?.loss;
//! let mut last = first;
//! for _ in 0..20 {
//!     last = trainer.step(&[image], target)?.loss;
//! }
//! assert!(last < first);
//!
//! nn::load_state_dict(&mut model, &trainer.state_dict()?, true)?;
//! let compiled = Compiler::new(Options::default()).module(model).jit()?;
//! let mut scores = [0.0f32; 20];
//! let mut session = compiled.session()?;
//! session.prepare(&[("image".to_string(), vec![2, 1, 8, 8])].into())?;
//! session.run(&[image], &mut [TensorViewMut::f32(&[2, 10], &mut scores)?])?;
//! assert!(scores[3] > scores[7] && scores[17] > scores[13]);
//! # Ok(()) }
//! ```

mod activation;
mod attention;
mod conv;
mod dense;
mod error;
mod forward;
mod layer;
mod model;
mod norm;
mod pool;
mod recurrent;
mod step;
mod transformer;

pub use activation::{Activation, Dropout};
pub use attention::MultiHeadAttention;
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
};
pub use dense::{Dense, Embedding};
pub use error::NnError;
pub use forward::{Built, Forward, Mode};
pub use layer::{Flatten, Layer, Residual, Sequential};
pub use model::{
    ModelBuilder, Outputs, initial_states, load, load_state_dict, model, only, save, state_dict,
};
pub use norm::{BatchNorm, GroupNorm, LayerNorm};
pub use pool::{GlobalAveragePool, Pool};
pub use recurrent::{Cell, Recurrent, Sequence};
pub use transformer::{
    LearnedPosition, SinusoidalPosition, TransformerDecoderLayer, TransformerEncoderLayer,
};
