//! Convolutions with constant kernels: a register tile of output pixels × vectors of output channels, accumulated over input channels and
//! the window, without an intermediate matrix (Georganas et al., "Anatomy of high-performance deep learning convolutions on SIMD
//! architectures", SC'18).
//!
//! Where the input is spread (transposed convolutions), each phase of the output is a convolution by itself. Padding is a halo of zeros around the input, so no place of the window needs a test. The kernel is packed as
//! `[channel tile][input block][window…][input channel][output channel]`, in the order in which a tile reads it. Tasks are batch ×
//! channel tile × rows of the output, in that order, so that a tile's weights stay in cache over the rows.
//!
//! * [`problem`]: the dimensions of a group around one convolution
//! * [`split`]: what one task computes
//! * [`rows`]: how the input is read
//! * [`packing`]: how the weights lie
//! * [`unrolled`]: what the innermost loops hold
//! * [`dense`]: all input channels of a group go into each output channel
//! * [`narrow`]: few output channels
//! * [`depthwise`]: one input channel per output channel

mod dense;
mod depthwise;
mod narrow;
mod packing;
mod problem;
mod rows;
mod split;
mod unrolled;

use super::{Context, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
pub use problem::{Problem, halo_of, is_direct};

/// The kernel of a group around one `conv`, or `None` if the schedule doesn't take it.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(phases) = Problem::of(group, context) else { return Ok(None) };
    let mut kernels = Vec::with_capacity(phases.len());
    for problem in &phases {
        let kernel = match problem.is_depthwise() {
            true => depthwise::kernel(group, context, problem)?,
            false => match narrow::kernel(group, context, problem)? {
                Some(kernel) => Some(kernel),
                None => dense::kernel(group, context, problem)?,
            },
        };
        let Some(mut kernel) = kernel else { return Ok(None) };
        // Each phase has its share of the pixels, and of each window only the places that meet elements.
        let share = phases.len() as u64;
        kernel.cost.flops /= share * share;
        kernel.cost.bytes /= share;
        kernels.push(kernel);
    }
    Ok(Some(kernels))
}
