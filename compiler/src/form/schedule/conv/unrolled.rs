//! How much of the loops over input channels and window one body holds.

use crate::form::schedule::contraction::tile::{BODY, MOST_BODY};

/// How many steps of the innermost loops the body holds.
pub struct Unrolled {
    /// Blocks of input channels.
    pub blocks: i64,
    /// Input channels of a block.
    pub channels: i64,
    /// Places of the innermost dimension of the window: all or one.
    pub window: i64,
}

impl Unrolled {
    /// Input channels first, then a row of the window, then, where the window is one place, blocks: until the body is long enough.
    pub fn choose(block: i64, blocks: i64, window: &[i64], products: i64) -> Unrolled {
        let channels = divisor(block, MOST_BODY / products);
        let row = window.last().copied().unwrap_or(1);
        let body = channels * products;
        let short = channels == block && body < BODY;
        let unrolled_row = if short && row > 1 && row * body <= MOST_BODY { row } else { 1 };
        let taps: i64 = window.iter().product();
        let blocks = if short && taps == 1 { divisor(blocks, BODY / body) } else { 1 };
        Unrolled { blocks, channels, window: unrolled_row }
    }

    /// The block, place of the window and channel of each step, in the order of the weights.
    pub fn places(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        let (window, channels) = (self.window, self.channels);
        let steps = move |part| (0..window).flat_map(move |tap| (0..channels).map(move |c| (part, tap, c)));
        (0..self.blocks).flat_map(steps)
    }
}

/// The largest divisor of an extent up to `most`.
pub fn divisor(extent: i64, most: i64) -> i64 {
    (1..=most.clamp(1, extent.max(1))).rev().find(|part| extent % part == 0).unwrap_or(1)
}
