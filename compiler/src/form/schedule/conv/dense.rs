//! Convolutions whose output channels see all input channels of their group.

use super::problem::Problem;
use crate::form::FormError;
use crate::form::element::{Source, multiply_add};
use crate::form::group::Group;
use crate::form::schedule::pointwise::{self, unflatten};
use crate::form::schedule::{Argument, Context, Draft, Scheduled, contraction};
use crate::form::view::View;
use crate::kernel::{BufferId, OpenLoop, Spread, Type, Val};
use crate::program::{Packing, PackingLimit};
use crate::target::Target;
use graven_ir::Dim;

/// Multiply-adds that the innermost loop body has at least, if the window allows.
const BODY: i64 = 32;

/// Output pixels × vectors of output channels held in registers.
struct Tile {
    pixels: i64,
    vectors: i64,
    lanes: u16,
}

impl Tile {
    fn choose(problem: &Problem, target: &Target) -> Tile {
        let lanes = target.lanes(4);
        let accumulators = i64::from(target.accumulators);
        let group_features = problem.features / problem.groups;
        let needed = group_features.max(1).div_euclid(i64::from(lanes)).max(1);
        let row = problem.output.last().map_or(1, |extent| extent.upper().max(1));
        let vectors = if row * 2 >= accumulators { 2 } else { accumulators / row };
        let vectors = vectors.min(needed);
        let most = (accumulators / vectors).min(row);
        // Rows that split evenly leave no slow rest: 7 pixels are better taken as 4 + 3 than as 6 + 1.
        let tiles = (row + most - 1) / most;
        Tile { pixels: (row + tiles - 1) / tiles, vectors, lanes }
    }

    fn columns(&self) -> i64 {
        self.vectors * i64::from(self.lanes)
    }
}

/// The kernel, or `None` if channels of a group don't fill vectors.
pub fn kernel(group: &Group, context: &Context, problem: &Problem) -> Result<Option<Scheduled>, FormError> {
    let merged = merge_rows(problem, context);
    let flattened;
    let problem = match &merged {
        None => problem,
        Some(extents) => {
            let total = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
            flattened = Problem { output: vec![total], ..problem.clone() };
            &flattened
        }
    };
    let tile = Tile::choose(problem, context.target);
    let group_features = problem.features / problem.groups;
    if problem.groups > 1 && group_features % i64::from(tile.lanes) != 0 {
        return Ok(None);
    }
    let mut draft = Draft::without(&pointwise::name(group), group, context, &[problem.kernel]);
    let packing = packing(problem, &tile);
    let elements = Dim::from(packing.extents.iter().product::<usize>());
    let weights =
        draft.packed(Argument::Packed { operand: problem.kernel, packing }, problem.dtype, elements);
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();

    let channel_tiles = (group_features + tile.columns() - 1) / tile.columns();
    let rank = problem.output.len();
    let rows = problem.output[..rank - 1].iter().fold(Dim::ONE, |product, extent| product * extent);
    let extents = [problem.batch.clone(), Dim::from(problem.groups), Dim::from(channel_tiles), rows];
    let tasks = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&tasks);
    let places = unflatten(&parallel.index, &extents);
    let row = unflatten(&places[3], &problem.output[..rank - 1]);
    let mut kernel = Emission { draft: &mut draft, problem, tile: &tile, weights, views, merged };
    let whole = group_features / tile.columns();
    let rest = group_features % tile.columns();
    let columns = |channel_tile: &Dim, valid: i64| Columns {
        batch: places[0].clone(),
        group: places[1].clone(),
        channel_tile: channel_tile.clone(),
        channel_tiles,
        valid,
    };
    let end = Dim::from(whole);
    if rest == 0 {
        kernel.row(&columns(&places[2], tile.columns()), &row)?;
    } else {
        // Zero or one trips of each: the tile is a whole one or the last.
        let nest = kernel.draft.builder.open_loop((&places[2], &(&places[2] + 1).minimum(&end), 1), &[]);
        kernel.row(&columns(&places[2], tile.columns()), &row)?;
        kernel.draft.builder.close_loop(nest, Vec::new());
        let nest = kernel.draft.builder.open_loop((&places[2].maximum(&end), &(&places[2] + 1), 1), &[]);
        kernel.row(&columns(&end, rest), &row)?;
        kernel.draft.builder.close_loop(nest, Vec::new());
    }
    draft.builder.close_loop(parallel, Vec::new());
    Ok(Some(draft.finish(pointwise::cost(group))))
}

/// The output's extents, if the convolution is pixelwise and no operand has a halo between rows: then rows are taken together, which leaves smaller rests.
fn merge_rows(problem: &Problem, context: &Context) -> Option<Vec<Dim>> {
    let flat = context.operands.iter().chain(&context.results).all(|layout| !layout.has_halo());
    (problem.output.len() >= 2 && problem.is_pixelwise() && flat).then(|| problem.output.clone())
}

fn packing(problem: &Problem, tile: &Tile) -> Packing {
    let block = problem.input_block.min(problem.group_inputs.max(1));
    let (features, inputs) = (problem.features / problem.groups, problem.group_inputs);
    let taps: i64 = problem.window.iter().product();
    let width = tile.columns();
    let channel_tiles = (features + width - 1) / width;
    let blocks = (inputs + block - 1) / block;
    let size = |value: i64| usize::try_from(value).unwrap_or(0);
    let step = |value: i64| value as isize;
    // [group][channel tile][input block][window…][input channel][output channel]
    Packing {
        extents: [problem.groups, channel_tiles, blocks, taps, block, width].map(size).to_vec(),
        strides: [features * inputs * taps, width * inputs * taps, block * taps, 1, taps, inputs * taps]
            .map(step)
            .to_vec(),
        limits: vec![
            PackingLimit { weights: [0, width, 0, 0, 0, 1].map(size).to_vec(), end: size(features) },
            PackingLimit { weights: [0, 0, block, 0, 1, 0].map(size).to_vec(), end: size(inputs) },
        ],
    }
}

/// A batch element's channels that a tile computes.
struct Columns {
    batch: Dim,
    group: Dim,
    channel_tile: Dim,
    channel_tiles: i64,
    valid: i64,
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    problem: &'k Problem,
    tile: &'k Tile,
    weights: BufferId,
    views: Vec<View>,
    /// Extents that one step along the output's last dimension runs through, where rows are taken together.
    merged: Option<Vec<Dim>>,
}

impl Emission<'_, '_> {
    /// A row of the output, tile by tile.
    fn row(&mut self, columns: &Columns, row: &[Dim]) -> Result<(), FormError> {
        let Some(length) = self.problem.output.last().cloned() else { return Ok(()) };
        let step = self.tile.pixels;
        let whole = length.floor_div(&Dim::from(step)) * step;
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, step), &[]);
            let first = nest.index.clone();
            self.tile(columns, row, &first, step)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        match (&length - &whole).as_const() {
            Some(0) => Ok(()),
            Some(rest) => self.tile(columns, row, &whole, rest),
            None => {
                let nest = self.draft.builder.open_loop((&whole, &length, 1), &[]);
                let first = nest.index.clone();
                self.tile(columns, row, &first, 1)?;
                self.draft.builder.close_loop(nest, Vec::new());
                Ok(())
            }
        }
    }

    fn tile(&mut self, columns: &Columns, row: &[Dim], first: &Dim, pixels: i64) -> Result<(), FormError> {
        let problem = self.problem;
        let lanes = i64::from(self.tile.lanes);
        let vectors = (columns.valid + lanes - 1) / lanes;
        let zero = self.draft.builder.float(0.0, Type::vector(problem.dtype, self.tile.lanes));
        let start = vec![zero; (pixels * vectors) as usize];
        let block = problem.input_block.min(problem.group_inputs);
        let blocks = (problem.group_inputs + block - 1) / block;
        let taps: i64 = problem.window.iter().product();
        // Input channels of a block are unrolled, then window columns as long as the body is small.
        let unrolled = Unrolled::choose(block, &problem.window, pixels * vectors);
        let mut ranges = vec![blocks];
        ranges.extend(&problem.window[..problem.window.len() - usize::from(unrolled.window)]);
        if !unrolled.block {
            ranges.push(block);
        }
        let (loops, places, sums) = self.open(&ranges, start);
        let mut sums = sums;
        let window_rank = problem.window.len();
        let tail = if unrolled.window { problem.window[window_rank - 1] } else { 1 };
        let channels = if unrolled.block { block } else { 1 };
        for t in 0..tail {
            let mut window: Vec<Dim> = places[1..1 + window_rank - usize::from(unrolled.window)].to_vec();
            if unrolled.window {
                window.push(Dim::from(t));
            }
            let tap =
                window.iter().zip(&problem.window).fold(Dim::ZERO, |place, (w, extent)| place * *extent + w);
            for c in 0..channels {
                let inner = if unrolled.block { Dim::from(c) } else { places[places.len() - 1].clone() };
                let panel =
                    (&columns.group * columns.channel_tiles + &columns.channel_tile) * blocks + &places[0];
                let weights = ((panel * taps + &tap) * block + &inner) * self.tile.columns();
                let channel = &columns.group * problem.group_inputs + &places[0] * block + &inner;
                let pixel = (row, first, window.as_slice());
                sums = self.multiply(columns, channel, pixel, &weights, (pixels, vectors), &sums);
            }
        }
        for nest in loops.into_iter().rev() {
            sums = self.draft.builder.close_loop(nest, sums);
        }
        self.finish(columns, row, first, (pixels, vectors), &sums)
    }

    fn open(&mut self, ranges: &[i64], start: Vec<Val>) -> (Vec<OpenLoop>, Vec<Dim>, Vec<Val>) {
        let (mut loops, mut places, mut sums) = (Vec::new(), Vec::new(), start);
        for extent in ranges {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &Dim::from(*extent), 1), &sums);
            sums.clone_from(&nest.params);
            places.push(nest.index.clone());
            loops.push(nest);
        }
        (loops, places, sums)
    }

    /// One input channel at one place of the window: loads of the weights, then for each pixel one element times all of them.
    fn multiply(
        &mut self,
        columns: &Columns,
        channel: Dim,
        (row, first, window): (&[Dim], &Dim, &[Dim]),
        weights: &Dim,
        (pixels, vectors): (i64, i64),
        sums: &[Val],
    ) -> Vec<Val> {
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let b = &mut self.draft.builder;
        let load = |v: i64| weights + v * i64::from(self.tile.lanes);
        let vectors: Vec<Val> =
            (0..vectors).map(|v| b.load(self.weights, &load(v), ty, Spread::Contiguous, None)).collect();
        let Source::Memory(view) = self.draft.evaluator.source(self.problem.input).clone() else {
            return sums.to_vec();
        };
        let mut next = Vec::with_capacity(sums.len());
        for p in 0..pixels {
            let pixel = self.pixel(row, &(first + p));
            let input = self.problem.input_index(&columns.batch, channel.clone(), &pixel, window);
            let b = &mut self.draft.builder;
            let element = view.address(&input);
            let factor = b.load(view.buffer, &element, ty, Spread::Broadcast, None);
            for (v, weight) in vectors.iter().enumerate() {
                let sum = sums[p as usize * vectors.len() + v];
                next.push(multiply_add(b, factor, *weight, sum, self.problem.dtype));
            }
        }
        next
    }

    /// The output pixel at a place of a row.
    fn pixel(&self, row: &[Dim], place: &Dim) -> Vec<Dim> {
        match &self.merged {
            Some(extents) => unflatten(place, extents),
            None => row.iter().cloned().chain([place.clone()]).collect(),
        }
    }

    fn finish(
        &mut self,
        columns: &Columns,
        row: &[Dim],
        first: &Dim,
        (pixels, vectors): (i64, i64),
        sums: &[Val],
    ) -> Result<(), FormError> {
        let lanes = i64::from(self.tile.lanes);
        let features = self.problem.features / self.problem.groups;
        let start = &columns.group * features + &columns.channel_tile * self.tile.columns();
        for p in 0..pixels {
            for v in 0..vectors {
                let sum = sums[(p * vectors + v) as usize];
                let pixel = self.pixel(row, &(first + p));
                let channel = &start + v * lanes;
                let index = |offset: &Dim| {
                    let channel = &channel + offset;
                    [columns.batch.clone(), channel].into_iter().chain(pixel.iter().cloned()).collect()
                };
                let valid = (columns.valid - v * lanes).min(lanes);
                contraction::finish(
                    self.draft,
                    (self.problem.value, sum),
                    &self.views,
                    &index,
                    (valid, self.tile.lanes),
                )?;
            }
        }
        Ok(())
    }
}

/// Which of the innermost loops are unrolled.
struct Unrolled {
    /// The input channels of a block.
    block: bool,
    /// The innermost dimension of the window.
    window: bool,
}

impl Unrolled {
    fn choose(block: i64, window: &[i64], products: i64) -> Unrolled {
        let inner = window.last().copied().unwrap_or(1);
        let body = block * products;
        Unrolled { block: block <= 16, window: body < BODY && inner * body <= 4 * BODY }
    }
}
