//! Forms kernels: fused graph IR → [`Program`](crate::program::Program).
//!
//! * [`layout`], [`view`], [`domain`]: where tensors lie, tensors in buffers, loops over them
//! * [`constant`]: constants seen through movement ops
//! * [`group`]: what becomes one kernel
//! * [`element`]: evaluates graph values element by element into kernel code
//! * [`schedule`]: the loop nests of each kind of group
//! * [`mod@lower`]: walks the graph, places values, launches kernels
//! * [`plan`]: the memory plan

pub mod constant;
pub mod domain;
pub mod element;
pub mod group;
pub mod layout;
pub mod lower;
mod philox;
pub mod plan;
pub mod schedule;
pub mod view;

pub use lower::lower;
pub use schedule::conv::{halo_of as conv_halo, is_direct as conv_is_direct};

use graven_ir::infer::InferError;

/// Why a graph can't be lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The op has no lowering.
    #[error("{place}: {reason}")]
    Unsupported {
        /// The model's node.
        place: String,
        /// One sentence.
        reason: String,
    },
    /// A pass left a graph that the lowering does not expect.
    #[error("internal error while lowering: {0}")]
    Internal(String),
}

impl FormError {
    /// Our bug.
    pub fn internal(reason: impl Into<String>) -> FormError {
        FormError::Internal(reason.into())
    }
}

impl From<InferError> for FormError {
    fn from(error: InferError) -> FormError {
        FormError::internal(error.to_string())
    }
}
