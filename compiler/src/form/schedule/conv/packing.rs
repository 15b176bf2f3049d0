//! How the kernel of a dense convolution is packed.

use super::problem::{Problem, Weights};
use crate::form::schedule::contraction::tile::Tile;
use crate::program::{Packing, PackingLimit};

/// `[group][channel tile][input block][window…][input channel][output channel]`.
pub fn packing(problem: &Problem, tile: &Tile) -> Packing {
    let block = problem.input_block.min(problem.group_inputs.max(1));
    let (features, inputs) = (problem.features / problem.groups, problem.group_inputs);
    let width = tile.columns();
    let size = |value: i64| usize::try_from(value).unwrap_or(0);
    let Weights { offset, outer, inner, window } = &problem.weights;
    let step = |channels: i64, stride: &isize| channels as isize * stride;
    let rank = window.len();
    let around = |before: [i64; 3], after: [i64; 2]| {
        [before.map(size).to_vec(), vec![0; rank], after.map(size).to_vec()].concat()
    };
    let mut extents = around(
        [problem.groups, (features + width - 1) / width, (inputs + block - 1) / block],
        [block, width],
    );
    // A window without places has no weights, but its buffer is not empty.
    extents[3..3 + rank].iter_mut().zip(&problem.window).for_each(|(e, taps)| *e = size((*taps).max(1)));
    let before = [step(features, outer), step(width, outer), step(block, inner)];
    Packing {
        offset: *offset,
        extents,
        strides: [before.to_vec(), window.clone(), vec![*inner, *outer]].concat(),
        limits: vec![
            PackingLimit { weights: around([0, width, 0], [0, 1]), end: size(features) },
            PackingLimit { weights: around([0, 0, block], [1, 0]), end: size(inputs) },
        ],
    }
}
