//! Convolutions whose output channels see all input channels of their group.

use super::packing::packing;
use super::problem::Problem;
use super::rows::{Pixel, Rows};
use super::split::Split;
use super::unrolled::{Unrolled, divisor};
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::group::Group;
use crate::form::schedule::contraction::tile::{
    Extents, SHARED_TILES, Tile, depth_block, prefetch, prefetch_share,
};
use crate::form::schedule::pointwise::{self, unflatten};
use crate::form::schedule::{Argument, Context, Draft, Scheduled, contraction};
use crate::form::view::View;
use crate::kernel::{Access, BufferId, OpenLoop, Spread, Type, Val};
use crate::target::Target;
use graven_ir::Dim;

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
    let group_features = problem.features / problem.groups;
    let mut lanes = context.target.lanes(4);
    // Vectors don't reach over groups.
    while problem.groups > 1 && group_features % i64::from(lanes) != 0 {
        lanes /= 2;
    }
    if lanes < 4 {
        return Ok(None);
    }
    let extents = Extents {
        rows: problem.output.last().map_or(1, |extent| extent.upper().max(1)),
        columns: group_features,
        depth: problem.group_inputs * problem.taps(),
        even: false,
    };
    let tile = Tile::choose(extents, lanes, context.target);
    let mut draft = Draft::without(&pointwise::name(group), group, context, &[problem.kernel]);
    let packing = packing(problem, &tile);
    let elements = Dim::from(packing.extents.iter().product::<usize>());
    let weights =
        draft.packed(Argument::Packed { operand: problem.kernel, packing }, problem.dtype, elements);
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let split = Split::choose(problem, &tile, context.target);
    let rows = Rows::choose(&mut draft, problem, &tile, &split)?;
    let partial = Partial::choose(&mut draft, problem, &tile, &split, context.target);
    let pixels = split.pixels_per_task(problem).upper();
    let kernel = Emission {
        draft: &mut draft,
        problem,
        tile: &tile,
        weights,
        views,
        merged,
        rows: &rows,
        partial,
        pixels,
    };
    kernel.tasks(&split)?;
    Ok(Some(draft.finish(pointwise::cost(group))))
}

/// The output's extents, if the convolution is pixelwise and no operand has a halo between rows: then rows are taken together, which leaves smaller rests.
fn merge_rows(problem: &Problem, context: &Context) -> Option<Vec<Dim>> {
    let flat = context.operands.iter().chain(&context.results).all(|layout| !layout.has_halo());
    (problem.output.len() >= 2 && problem.is_pixelwise() && flat).then(|| problem.output.clone())
}

/// Sums that wait in scratch memory, `[pixel of the task][channel of the tile]`, while the input channels are taken some blocks at a time.
#[derive(Clone, Copy)]
struct Partial {
    buffer: BufferId,
    /// Blocks of input channels at a time.
    blocks: i64,
}

impl Partial {
    /// `None` if a tile's weights are few or meet few pixels.
    fn choose(
        draft: &mut Draft,
        problem: &Problem,
        tile: &Tile,
        split: &Split,
        target: &Target,
    ) -> Option<Partial> {
        let block = problem.input_block.min(problem.group_inputs.max(1));
        let blocks = (problem.group_inputs + block - 1) / block;
        let places = block * problem.taps();
        let wanted = depth_block(tile, blocks * places, problem.dtype.bytes(), target)?;
        let blocks = divisor(blocks, wanted / places.max(1));
        let pixels = split.pixels_per_task(problem);
        if pixels.upper() < 2 * tile.rows {
            return None;
        }
        let buffer = draft.builder.buffer("sums", problem.dtype, pixels * tile.columns(), Access::Scratch);
        Some(Partial { buffer, blocks })
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

/// Places of a line of output pixels.
struct Line<'r> {
    /// The outer places.
    row: &'r [Dim],
    /// Pixels of the task before it.
    before: Dim,
    first: Dim,
    end: Dim,
    /// Pixels after the last whole tile of the line's end, if known.
    rest: Option<i64>,
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    problem: &'k Problem,
    tile: &'k Tile,
    weights: BufferId,
    views: Vec<View>,
    /// Extents that one step along the output's last dimension runs through, where rows are taken together.
    merged: Option<Vec<Dim>>,
    rows: &'k Rows,
    partial: Option<Partial>,
    /// Pixels of a task at most.
    pixels: i64,
}

/// A tile of pixels.
struct Pixels {
    /// The first one's number within the task.
    start: Dim,
    /// Their output places.
    places: Vec<Vec<Dim>>,
}

/// What is done with the tiles of a task.
#[derive(Clone, Copy)]
enum Work<'c> {
    /// They are copied.
    Copy(&'c Columns),
    /// They are computed.
    Compute(&'c Columns),
    /// Their sums in scratch memory are set to zero.
    Clear(&'c Columns),
    /// The input channels from a block on are added to their sums in scratch memory.
    Add(&'c Columns, &'c Dim),
    /// Their results are made of the sums in scratch memory.
    Finish(&'c Columns),
}

impl Emission<'_, '_> {
    /// The loop over tasks: batch × group × channels × lines, in that order, so that neighbouring tasks share weights.
    fn tasks(mut self, split: &Split) -> Result<(), FormError> {
        let features = self.problem.features / self.problem.groups;
        let (whole, rest) = (features / self.tile.columns(), features % self.tile.columns());
        let channel_tiles = whole + i64::from(rest > 0);
        let channel_groups = (channel_tiles + split.channel_tiles - 1) / split.channel_tiles;
        let lines = split.lines(self.problem);
        let blocks = lines.ceil_div(&Dim::from(split.lines_per_task));
        let extents =
            [self.problem.batch.clone(), Dim::from(self.problem.groups), Dim::from(channel_groups), blocks];
        let tasks = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
        let parallel = self.draft.builder.open_parallel(&tasks);
        let places = unflatten(&parallel.index, &extents);
        let first_line = &places[3] * split.lines_per_task;
        let last_line = (&first_line + split.lines_per_task).minimum(&lines);
        let first_tile = &places[2] * split.channel_tiles;
        let last_tile = (&first_tile + split.channel_tiles).minimum(&Dim::from(channel_tiles));
        let columns = |channel_tile: &Dim, valid: i64| Columns {
            batch: places[0].clone(),
            group: places[1].clone(),
            channel_tile: channel_tile.clone(),
            channel_tiles,
            valid,
        };
        let end = Dim::from(whole);
        if self.rows.is_copied() {
            self.lines(Work::Copy(&columns(&first_tile, 0)), (&first_line, &last_line))?;
        }
        if whole > 0 {
            let last = if rest > 0 { last_tile.minimum(&end) } else { last_tile.clone() };
            let nest = self.draft.builder.open_loop((&first_tile, &last, 1), &[]);
            let channel_tile = nest.index.clone();
            self.channels(&columns(&channel_tile, self.tile.columns()), (&first_line, &last_line))?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        if rest > 0 {
            // Taken by the task whose channels are the last: zero or one trips.
            let nest = self.draft.builder.open_loop((&first_tile.maximum(&end), &last_tile, 1), &[]);
            self.channels(&columns(&end, rest), (&first_line, &last_line))?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        self.draft.builder.close_loop(parallel, Vec::new());
        Ok(())
    }

    /// A tile of channels for the lines of a task.
    fn channels(&mut self, columns: &Columns, lines: (&Dim, &Dim)) -> Result<(), FormError> {
        let Some(partial) = self.partial else { return self.lines(Work::Compute(columns), lines) };
        self.lines(Work::Clear(columns), lines)?;
        let block = self.problem.input_block.min(self.problem.group_inputs);
        let blocks = (self.problem.group_inputs + block - 1) / block;
        let nest = self.draft.builder.open_loop((&Dim::ZERO, &Dim::from(blocks), partial.blocks), &[]);
        let first = nest.index.clone();
        self.lines(Work::Add(columns, &first), lines)?;
        self.draft.builder.close_loop(nest, Vec::new());
        self.lines(Work::Finish(columns), lines)
    }

    /// Output pixels `first..last` of an output with one dimension, else rows `first..last`.
    fn lines(&mut self, work: Work, (first, last): (&Dim, &Dim)) -> Result<(), FormError> {
        let Some((length, outer)) = self.problem.output.split_last() else { return Ok(()) };
        let rest = length.modulo(&Dim::from(self.tile.rows)).as_const();
        if outer.is_empty() {
            let line =
                Line { row: &[], before: Dim::ZERO - first, first: first.clone(), end: last.clone(), rest };
            return self.line(work, &line);
        }
        let nest = self.draft.builder.open_loop((first, last, 1), &[]);
        let row = unflatten(&nest.index, outer);
        let before = (&nest.index - first) * length;
        self.line(work, &Line { row: &row, before, first: Dim::ZERO, end: length.clone(), rest })?;
        self.draft.builder.close_loop(nest, Vec::new());
        Ok(())
    }

    /// The pixels of a line, tile by tile.
    fn line(&mut self, work: Work, line: &Line) -> Result<(), FormError> {
        let step = self.tile.rows;
        let whole = &line.first + (&line.end - &line.first).floor_div(&Dim::from(step)) * step;
        if !(&whole - &line.first).is(0) {
            let nest = self.draft.builder.open_loop((&line.first, &whole, step), &[]);
            let first = nest.index.clone();
            self.tile(work, line, &first, step)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        // A part of a line that ends with a whole tile has zero trips of the rest.
        let (count, trip) = match line.rest {
            Some(0) => return Ok(()),
            Some(rest) => (rest, step),
            None => (1, 1),
        };
        let nest = self.draft.builder.open_loop((&whole, &line.end, trip), &[]);
        let first = nest.index.clone();
        self.tile(work, line, &first, count)?;
        self.draft.builder.close_loop(nest, Vec::new());
        Ok(())
    }

    /// The pixels `first..first + count` of a line.
    fn tile(&mut self, work: Work, line: &Line, first: &Dim, count: i64) -> Result<(), FormError> {
        let places = (0..count).map(|p| self.pixel(line.row, &(first + p))).collect();
        let pixels = Pixels { start: &line.before + first, places };
        match work {
            Work::Compute(columns) => {
                let sums = self.zeros(columns, &pixels);
                let sums = self.accumulate(columns, &pixels, None, sums)?;
                self.finish(columns, &pixels, &sums)
            }
            Work::Clear(columns) => {
                let sums = self.zeros(columns, &pixels);
                self.store_sums(&pixels, &sums);
                Ok(())
            }
            Work::Add(columns, block) => {
                let sums = self.load_sums(columns, &pixels);
                let sums = self.accumulate(columns, &pixels, Some(block), sums)?;
                self.store_sums(&pixels, &sums);
                Ok(())
            }
            Work::Finish(columns) => {
                let sums = self.load_sums(columns, &pixels);
                self.finish(columns, &pixels, &sums)
            }
            Work::Copy(columns) => {
                let from = (&columns.batch, &columns.group, &pixels.start);
                self.rows.copy_tile(self.draft, self.problem, self.tile.lanes, from, &pixels.places);
                Ok(())
            }
        }
    }

    /// Vectors of channels of a tile.
    fn vectors(&self, columns: &Columns) -> i64 {
        let lanes = i64::from(self.tile.lanes);
        (columns.valid + lanes - 1) / lanes
    }

    fn zeros(&mut self, columns: &Columns, pixels: &Pixels) -> Vec<Val> {
        let zero = self.draft.builder.constant(0.0, Type::vector(self.problem.dtype, self.tile.lanes));
        vec![zero; pixels.places.len() * self.vectors(columns) as usize]
    }

    /// Where the sums of a pixel of a tile wait.
    fn sums_place(&self, pixels: &Pixels, pixel: usize, vector: usize) -> Dim {
        let lane = vector as i64 * i64::from(self.tile.lanes);
        (&pixels.start + pixel as i64) * self.tile.columns() + lane
    }

    fn load_sums(&mut self, columns: &Columns, pixels: &Pixels) -> Vec<Val> {
        let Some(partial) = self.partial else { return Vec::new() };
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let vectors = self.vectors(columns) as usize;
        let places =
            (0..pixels.places.len() * vectors).map(|n| self.sums_place(pixels, n / vectors, n % vectors));
        let places: Vec<Dim> = places.collect();
        let b = &mut self.draft.builder;
        places.iter().map(|place| b.load(partial.buffer, place, ty, Spread::Contiguous, None)).collect()
    }

    fn store_sums(&mut self, pixels: &Pixels, sums: &[Val]) {
        let Some(partial) = self.partial else { return };
        let vectors = sums.len() / pixels.places.len().max(1);
        for (n, sum) in sums.iter().enumerate() {
            let place = self.sums_place(pixels, n / vectors, n % vectors);
            self.draft.builder.store(*sum, partial.buffer, &place, Spread::Contiguous, None);
        }
    }

    /// Adds the products of all input channels to the sums, or of some blocks from `from` on.
    fn accumulate(
        &mut self,
        columns: &Columns,
        pixels: &Pixels,
        from: Option<&Dim>,
        mut sums: Vec<Val>,
    ) -> Result<Vec<Val>, FormError> {
        let problem = self.problem;
        if problem.taps() == 0 {
            return Ok(sums);
        }
        let (count, vectors) = (pixels.places.len() as i64, self.vectors(columns));
        let block = problem.input_block.min(problem.group_inputs);
        let blocks = (problem.group_inputs + block - 1) / block;
        let here = self.partial.filter(|_| from.is_some()).map_or(blocks, |partial| partial.blocks);
        let unrolled = Unrolled::choose(block, here, &problem.window, count * vectors);
        let outer_window = &problem.window[..problem.window.len() - usize::from(unrolled.window > 1)];
        let mut ranges = vec![here / unrolled.blocks];
        ranges.extend(outer_window);
        ranges.push(block / unrolled.channels);
        let (loops, places) = self.open(&ranges, &mut sums);
        let shared = self.shared_tiles();
        let steps = unrolled.blocks * unrolled.window * unrolled.channels;
        let mut first = None;
        for (step, (part, tap, channel)) in unrolled.places().enumerate() {
            let block_place = from.unwrap_or(&Dim::ZERO) + &places[0] * unrolled.blocks + part;
            let mut window: Vec<Dim> = places[1..=outer_window.len()].to_vec();
            window.extend((unrolled.window > 1).then(|| Dim::from(tap)));
            let inner = &places[places.len() - 1] * unrolled.channels + channel;
            let weights = self.weights_place(columns, (&block_place, blocks), &window, &inner);
            if let Some(tiles) = shared {
                let first = first.get_or_insert_with(|| weights.clone());
                let next = &*first + here * problem.taps() * block * self.tile.columns();
                let number = pixels.start.floor_div(&Dim::from(count));
                let b = &mut self.draft.builder;
                prefetch_share(b, (self.weights, &next), (step as i64, steps), (&number, tiles), self.tile);
            }
            let near = shared.is_some();
            let channel = (&block_place, &inner);
            sums = self.multiply(columns, channel, (pixels, &window), (&weights, vectors, near), &sums);
        }
        for nest in loops.into_iter().rev() {
            sums = self.draft.builder.close_loop(nest, sums);
        }
        Ok(sums)
    }

    /// Tiles of pixels of a task, if they share the work of asking for the weights that come next.
    fn shared_tiles(&self) -> Option<i64> {
        let tiles = self.pixels / self.tile.rows;
        (self.partial.is_some() && tiles >= SHARED_TILES).then_some(tiles)
    }

    /// The place of the weights of a tile's first channel.
    fn weights_place(
        &self,
        columns: &Columns,
        (block_place, blocks): (&Dim, i64),
        window: &[Dim],
        inner: &Dim,
    ) -> Dim {
        let problem = self.problem;
        let block = problem.input_block.min(problem.group_inputs);
        let tap =
            window.iter().zip(&problem.window).fold(Dim::ZERO, |place, (w, extent)| place * *extent + w);
        let panel = (&columns.group * columns.channel_tiles + &columns.channel_tile) * blocks + block_place;
        ((panel * problem.taps() + tap) * block + inner) * self.tile.columns()
    }

    fn open(&mut self, ranges: &[i64], sums: &mut Vec<Val>) -> (Vec<OpenLoop>, Vec<Dim>) {
        let (mut loops, mut places) = (Vec::new(), Vec::new());
        for extent in ranges {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &Dim::from(*extent), 1), sums);
            sums.clone_from(&nest.params);
            places.push(nest.index.clone());
            loops.push(nest);
        }
        (loops, places)
    }

    /// One input channel at one place of the window: loads of the weights, then for each pixel one element times all of them.
    fn multiply(
        &mut self,
        columns: &Columns,
        channel: (&Dim, &Dim),
        (pixels, window): (&Pixels, &[Dim]),
        (weights, vectors, near): (&Dim, i64, bool),
        sums: &[Val],
    ) -> Vec<Val> {
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let b = &mut self.draft.builder;
        prefetch(b, self.weights, weights, self.tile, vectors, near);
        let load = |v: i64| weights + v * i64::from(self.tile.lanes);
        let vectors: Vec<Val> =
            (0..vectors).map(|v| b.load(self.weights, &load(v), ty, Spread::Contiguous, None)).collect();
        let mut next = Vec::with_capacity(sums.len());
        for (number, place) in pixels.places.iter().enumerate() {
            let count = pixels.places.len() as i64;
            let pixel = Pixel { start: &pixels.start, number: number as i64, count, place };
            let from = (&columns.batch, &columns.group);
            let (buffer, element) = self.rows.place(self.problem, from, &pixel, channel, window);
            let factor = b.load(buffer, &element, ty, Spread::Broadcast, None);
            for (v, weight) in vectors.iter().enumerate() {
                let sum = sums[number * vectors.len() + v];
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

    fn finish(&mut self, columns: &Columns, pixels: &Pixels, sums: &[Val]) -> Result<(), FormError> {
        let vectors = self.vectors(columns);
        let lanes = i64::from(self.tile.lanes);
        let problem = self.problem;
        let features = problem.features / problem.groups;
        let start = &columns.group * features + &columns.channel_tile * self.tile.columns();
        for (p, pixel) in pixels.places.iter().enumerate() {
            for v in 0..vectors {
                let sum = sums[p * vectors as usize + v as usize];
                let channel = &start + v * lanes;
                let index = |offset: &Dim| problem.output_index(&columns.batch, &channel + offset, pixel);
                let valid = (columns.valid - v * lanes).min(lanes);
                contraction::finish(
                    self.draft,
                    (problem.value, sum),
                    &self.views,
                    &index,
                    (valid, self.tile.lanes),
                )?;
            }
        }
        Ok(())
    }
}
