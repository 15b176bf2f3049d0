//! Convolutions to few output channels, which vectors of output channels would leave mostly empty: vectors are input channels.
//!
//! A tile is as many pixels of a row as a vector has lanes, for one output channel: each has a vector of partial sums over the input channels. In the end the square of
//! sums is turned around and added up, so that the epilogue works on a vector of pixels.

use super::problem::{Problem, Weights};
use crate::form::FormError;
use crate::form::element::{Source, multiply_add};
use crate::form::group::Group;
use crate::form::schedule::contraction::pieces;
use crate::form::schedule::pointwise::{self, transpose, unflatten};
use crate::form::schedule::{Argument, Context, Draft, Scheduled, contraction};
use crate::form::view::View;
use crate::kernel::{BufferId, Spread, Type};
use crate::program::{Packing, PackingLimit};
use graven_ir::Dim;

/// Lanes per output channel at least, for this to be less work than empty lanes.
const LANES_PER_FEATURE: i64 = 4;

/// The kernel, or `None` if there are more output channels or vectors of input channels can't be loaded.
pub fn kernel(group: &Group, context: &Context, problem: &Problem) -> Result<Option<Scheduled>, FormError> {
    let lanes = context.target.lanes(4);
    let (block, wide) = (problem.input_block, i64::from(lanes));
    let fits = problem.groups == 1
        && problem.features * LANES_PER_FEATURE <= wide
        && block % wide == 0
        && problem.group_inputs >= block
        && problem.taps() > 0;
    if !fits || lanes < 4 {
        return Ok(None);
    }
    let mut draft = Draft::without(&pointwise::name(group), group, context, &[problem.kernel]);
    let packing = packing(problem);
    let elements = Dim::from(packing.extents.iter().product::<usize>());
    let weights =
        draft.packed(Argument::Packed { operand: problem.kernel, packing }, problem.dtype, elements);
    let views: Vec<View> = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let Source::Memory(input) = draft.evaluator.source(problem.input).clone() else {
        return Err(FormError::internal("the input of a convolution is not in memory"));
    };
    let Some((length, outer)) = problem.output.split_last() else { return Ok(None) };
    let rows = outer.iter().fold(Dim::ONE, |product, extent| product * extent);
    let extents = [problem.batch.clone(), Dim::from(problem.features), rows];
    let parallel =
        draft.builder.open_parallel(&extents.iter().fold(Dim::ONE, |product, extent| product * extent));
    let places = unflatten(&parallel.index, &extents);
    let row = unflatten(&places[2], outer);
    let mut kernel = Emission {
        draft: &mut draft,
        problem,
        weights,
        input: *input,
        views,
        lanes,
        batch: &places[0],
        feature: &places[1],
        row: &row,
    };
    for ((first, last, step), count) in pieces((&Dim::ZERO, length), wide, length) {
        let nest = kernel.draft.builder.open_loop((&first, &last, step), &[]);
        let first = nest.index.clone();
        kernel.tile(&first, count)?;
        kernel.draft.builder.close_loop(nest, Vec::new());
    }
    draft.builder.close_loop(parallel, Vec::new());
    Ok(Some(draft.finish(pointwise::cost(group))))
}

/// Blocks of input channels.
fn blocks(problem: &Problem) -> i64 {
    (problem.group_inputs + problem.input_block - 1) / problem.input_block
}

/// `[output channel][input block][window…][input channel]`.
fn packing(problem: &Problem) -> Packing {
    let size = |value: i64| usize::try_from(value).unwrap_or(0);
    let Weights { offset, outer, inner, window } = &problem.weights;
    let block = problem.input_block;
    let around =
        |before: [usize; 2], last: usize| [before.to_vec(), vec![0; window.len()], vec![last]].concat();
    let mut extents = around([size(problem.features), size(blocks(problem))], size(block));
    extents[2..2 + window.len()].iter_mut().zip(&problem.window).for_each(|(e, taps)| *e = size(*taps));
    Packing {
        offset: *offset,
        extents,
        strides: [vec![*outer, inner * block as isize], window.clone(), vec![*inner]].concat(),
        limits: vec![PackingLimit { weights: around([0, size(block)], 1), end: size(problem.group_inputs) }],
    }
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    problem: &'k Problem,
    weights: BufferId,
    input: View,
    views: Vec<View>,
    lanes: u16,
    batch: &'k Dim,
    feature: &'k Dim,
    row: &'k [Dim],
}

impl Emission<'_, '_> {
    /// The pixels `first..first + count` of the row.
    fn tile(&mut self, first: &Dim, count: i64) -> Result<(), FormError> {
        let (problem, lanes) = (self.problem, i64::from(self.lanes));
        let ty = Type::vector(problem.dtype, self.lanes);
        let zero = self.draft.builder.constant(0.0, ty);
        let mut sums = vec![zero; count as usize];
        // Blocks and all dimensions of the window but the last are loops.
        let (last, outer) = problem.window.split_last().map_or((1, &[][..]), |(last, outer)| (*last, outer));
        let extents: Vec<i64> = [blocks(problem)].iter().chain(outer).copied().collect();
        let mut loops = Vec::with_capacity(extents.len());
        for extent in &extents {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &Dim::from(*extent), 1), &sums);
            sums.clone_from(&nest.params);
            loops.push(nest);
        }
        let places: Vec<Dim> = loops.iter().map(|nest| nest.index.clone()).collect();
        let before = places.iter().zip(&extents).fold(self.feature.clone(), |n, (p, e)| n * *e + p);
        for tap in 0..last {
            let window: Vec<Dim> = places[1..].iter().cloned().chain([Dim::from(tap)]).collect();
            for part in (0..problem.input_block).step_by(usize::from(self.lanes)) {
                let b = &mut self.draft.builder;
                let place = (&before * last + tap) * problem.input_block + part;
                let weight = b.load(self.weights, &place, ty, Spread::Contiguous, None);
                for (p, sum) in sums.iter_mut().enumerate() {
                    let pixel: Vec<Dim> = self.row.iter().cloned().chain([first + p as i64]).collect();
                    let channel = &places[0] * problem.input_block + part;
                    let index = problem.input_index(self.batch, channel, &pixel, &window);
                    let place = self.input.address(&index);
                    let element = b.load(self.input.buffer, &place, ty, Spread::Contiguous, None);
                    *sum = multiply_add(b, weight, element, *sum, problem.dtype);
                }
            }
        }
        for nest in loops.into_iter().rev() {
            sums = self.draft.builder.close_loop(nest, sums);
        }
        sums.resize(self.lanes.into(), zero);
        let b = &mut self.draft.builder;
        let mut totals = transpose(b, &sums);
        while totals.len() > 1 {
            totals = totals.chunks(2).map(|pair| b.add(pair[0], pair[1])).collect();
        }
        let (batch, feature, row) = (self.batch, self.feature, self.row);
        let index = |offset: &Dim| {
            let pixel: Vec<Dim> = row.iter().cloned().chain([first + offset]).collect();
            problem.output_index(batch, feature.clone(), &pixel)
        };
        let sum = (problem.value, totals[0]);
        contraction::finish(self.draft, sum, &self.views, &index, (count.min(lanes), self.lanes))
    }
}
