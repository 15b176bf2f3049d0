//! Convolutions of each channel by itself, on blocked channels: vectors are channels, so input, weights and output are loaded and stored whole.

use super::problem::{Problem, Weights};
use crate::form::FormError;
use crate::form::element::{Source, multiply_add};
use crate::form::group::Group;
use crate::form::schedule::pointwise::{self, unflatten};
use crate::form::schedule::{Argument, Context, Draft, Scheduled, contraction};
use crate::form::view::{Lane, View, load_lanes};
use crate::kernel::{BufferId, Spread, Type, Val};
use crate::program::{Packing, PackingLimit};
use graven_ir::Dim;

/// Window places that are unrolled at most; of larger windows only the innermost dimension is.
const UNROLLED_TAPS: i64 = 25;

/// The kernel, or `None` if the channels are not blocked.
pub fn kernel(group: &Group, context: &Context, problem: &Problem) -> Result<Option<Scheduled>, FormError> {
    let lanes = context.target.lanes(4);
    let block = problem.input_block;
    if block < i64::from(lanes) {
        return Ok(None);
    }
    let mut draft = Draft::without(&pointwise::name(group), group, context, &[problem.kernel]);
    let packing = packing(problem, block);
    let elements = Dim::from(packing.extents.iter().product::<usize>());
    let weights =
        draft.packed(Argument::Packed { operand: problem.kernel, packing }, problem.dtype, elements);
    let views: Vec<View> = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let rank = problem.output.len();
    let rows = problem.output[..rank - 1].iter().fold(Dim::ONE, |product, extent| product * extent);
    let vectors = (problem.features + i64::from(lanes) - 1) / i64::from(lanes);
    let extents = [problem.batch.clone(), Dim::from(vectors), rows];
    let parallel =
        draft.builder.open_parallel(&extents.iter().fold(Dim::ONE, |product, extent| product * extent));
    let places = unflatten(&parallel.index, &extents);
    let row = unflatten(&places[2], &problem.output[..rank - 1]);
    let accumulators = i64::from(context.target.accumulators);
    let mut kernel =
        Emission { draft: &mut draft, problem, weights, views, lanes, block, batch: places[0].clone(), row };
    let rest = problem.features % i64::from(lanes);
    let end = Dim::from(vectors - i64::from(rest > 0));
    if rest == 0 {
        kernel.row(&places[1], i64::from(lanes), accumulators)?;
    } else {
        // Zero or one trips of each: the vector is a whole one or the last.
        let nest = kernel.draft.builder.open_loop((&places[1], &(&places[1] + 1).minimum(&end), 1), &[]);
        kernel.row(&places[1], i64::from(lanes), accumulators)?;
        kernel.draft.builder.close_loop(nest, Vec::new());
        let nest = kernel.draft.builder.open_loop((&places[1].maximum(&end), &(&places[1] + 1), 1), &[]);
        kernel.row(&end, rest, accumulators)?;
        kernel.draft.builder.close_loop(nest, Vec::new());
    }
    draft.builder.close_loop(parallel, Vec::new());
    Ok(Some(draft.finish(pointwise::cost(group))))
}

/// `[channel block][window…][channel]`.
fn packing(problem: &Problem, block: i64) -> Packing {
    let size = |value: i64| usize::try_from(value).unwrap_or(0);
    let Weights { offset, outer, window, .. } = &problem.weights;
    let rank = window.len();
    let blocks = size((problem.features + block - 1) / block);
    let between = |first: usize, last: usize| [vec![first], vec![0; rank], vec![last]].concat();
    Packing {
        offset: *offset,
        extents: [vec![blocks], problem.window.iter().copied().map(size).collect(), vec![size(block)]]
            .concat(),
        strides: [vec![outer * block as isize], window.clone(), vec![*outer]].concat(),
        limits: vec![PackingLimit { weights: between(size(block), 1), end: size(problem.features) }],
    }
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    problem: &'k Problem,
    weights: BufferId,
    views: Vec<View>,
    lanes: u16,
    block: i64,
    batch: Dim,
    row: Vec<Dim>,
}

impl Emission<'_, '_> {
    /// A row of the output for the `vector`-th vector of channels, of which the first `valid` exist.
    fn row(&mut self, vector: &Dim, valid: i64, accumulators: i64) -> Result<(), FormError> {
        let Some(length) = self.problem.output.last().cloned() else { return Ok(()) };
        let most = accumulators.min(length.upper().max(1));
        let tiles = (length.upper().max(1) + most - 1) / most;
        let step = (length.upper().max(1) + tiles - 1) / tiles;
        let whole = length.floor_div(&Dim::from(step)) * step;
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, step), &[]);
            let first = nest.index.clone();
            self.tile(vector, valid, &first, step)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        match (&length - &whole).as_const() {
            Some(0) => Ok(()),
            Some(rest) => self.tile(vector, valid, &whole, rest),
            None => {
                let nest = self.draft.builder.open_loop((&whole, &length, 1), &[]);
                let first = nest.index.clone();
                self.tile(vector, valid, &first, 1)?;
                self.draft.builder.close_loop(nest, Vec::new());
                Ok(())
            }
        }
    }

    fn tile(&mut self, vector: &Dim, valid: i64, first: &Dim, pixels: i64) -> Result<(), FormError> {
        let problem = self.problem;
        let ty = Type::vector(problem.dtype, self.lanes);
        let zero = self.draft.builder.constant(0.0, ty);
        let mut sums = vec![zero; pixels as usize];
        let taps = problem.taps();
        let extents: Vec<Dim> = problem.window.iter().map(|extent| Dim::from(*extent)).collect();
        let looped = if taps > UNROLLED_TAPS { extents.len() - 1 } else { 0 };
        let mut loops = Vec::with_capacity(looped);
        for extent in &extents[..looped] {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, extent, 1), &sums);
            sums.clone_from(&nest.params);
            loops.push(nest);
        }
        let unrolled = problem.window[looped..].iter().product::<i64>();
        let per_block = Dim::from(self.block / i64::from(self.lanes));
        let (block, part) = (vector.floor_div(&per_block), vector.modulo(&per_block));
        let Source::Memory(view) = self.draft.evaluator.source(problem.input).clone() else {
            return Err(FormError::internal("the input of a depthwise convolution is not in memory"));
        };
        for tap in 0..unrolled {
            let outer = loops.iter().map(|nest| nest.index.clone());
            let window: Vec<Dim> = outer.chain(unflatten(&Dim::from(tap), &extents[looped..])).collect();
            let b = &mut self.draft.builder;
            let tap =
                window.iter().zip(&extents).fold(Dim::ZERO, |tap, (place, extent)| tap * extent + place);
            let weights = (&block * taps + tap) * self.block + &part * i64::from(self.lanes);
            let weight = b.load(self.weights, &weights, ty, Spread::Contiguous, None);
            for (p, sum) in sums.iter_mut().enumerate() {
                let pixel = self.row.iter().cloned().chain([first + p as i64]).collect::<Vec<_>>();
                let lane = Lane::new(self.lanes);
                let channel = vector * i64::from(self.lanes) + Dim::from(&lane.symbol);
                let index = problem.input_index(&self.batch, channel, &pixel, &window);
                let element = load_lanes(b, &view, &index, &lane)
                    .ok_or_else(|| FormError::internal("blocked channels do not lie together"))?;
                *sum = multiply_add(b, element, weight, *sum, problem.dtype);
            }
        }
        for nest in loops.into_iter().rev() {
            sums = self.draft.builder.close_loop(nest, sums);
        }
        self.finish(vector, valid, first, &sums)
    }

    fn finish(&mut self, vector: &Dim, valid: i64, first: &Dim, sums: &[Val]) -> Result<(), FormError> {
        for (p, sum) in sums.iter().enumerate() {
            let pixel: Vec<Dim> = self.row.iter().cloned().chain([first + p as i64]).collect();
            let start = vector * i64::from(self.lanes);
            let batch = self.batch.clone();
            let index = |offset: &Dim| self.problem.output_index(&batch, &start + offset, &pixel);
            contraction::finish(
                self.draft,
                (self.problem.value, *sum),
                &self.views,
                &index,
                (valid, self.lanes),
            )?;
        }
        Ok(())
    }
}
