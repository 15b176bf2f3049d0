//! The tiles of a matrix product.

use super::columns::Columns;
use super::problem::Problem;
use super::rows::{BLOCK, Part, Rows, TileRows};
use super::split::{Split, Task};
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::schedule::contraction::tile::{SHARED_TILES, Tile};
use crate::form::schedule::contraction::tiling::Tiling;
use crate::form::schedule::{Draft, contraction};
use crate::form::view::View;
use crate::kernel::{Access, BufferId, Spread, Type, Val};
use graven_ir::Dim;

/// What the tiles of a kernel are emitted from.
pub struct Emission<'k, 'a> {
    /// The kernel.
    pub draft: &'k mut Draft<'a>,
    /// The product.
    pub problem: &'k Problem,
    /// The largest tile.
    pub tile: &'k Tile,
    /// How rows are cut into tiles.
    pub tiling: &'k Tiling,
    /// The right operand.
    pub columns: &'k Columns,
    /// The left operand.
    pub rows: &'k Rows,
    /// What a task computes.
    pub split: Split,
    /// The group's results.
    pub views: Vec<View>,
    /// Sums between parts of the contraction.
    pub partial: Option<Partial>,
}

/// Sums of a task that wait in scratch memory, `[panel][row][column]`, while the contraction is taken part by part.
#[derive(Clone, Copy)]
pub struct Partial {
    buffer: BufferId,
    /// Blocks of [`BLOCK`] places at a time.
    blocks: i64,
}

impl Partial {
    /// `None` if the contraction is taken at once.
    pub fn choose(draft: &mut Draft, problem: &Problem, tile: &Tile, split: &Split) -> Option<Partial> {
        let blocks = split.depth? / BLOCK;
        let elements = Dim::from(split.rows * split.panels * tile.columns());
        let buffer = draft.builder.buffer("sums", problem.dtype, elements, Access::Scratch);
        Some(Partial { buffer, blocks })
    }
}

/// What is done with the tiles of a task.
#[derive(Clone, Copy)]
enum Work<'w> {
    /// They are computed.
    Compute(&'w Part),
    /// Their sums in scratch memory are set to zero.
    Clear,
    /// A part of the contraction is added to their sums in scratch memory.
    Add(&'w Part),
    /// Their results are made of the sums in scratch memory and the last part of the contraction.
    Finish(&'w Part),
}

impl Emission<'_, '_> {
    /// All that a task computes.
    pub fn task(&mut self, task: &Task) -> Result<(), FormError> {
        let blocks = self.problem.depth.floor_div(&Dim::from(BLOCK));
        let rest = self.problem.depth.modulo(&Dim::from(BLOCK)).as_const().unwrap_or(0);
        let Some(partial) = self.partial else {
            let all = Part { first: Dim::ZERO, last: blocks, rest };
            self.copy(task, &all)?;
            return self.panels(task, Work::Compute(&all));
        };
        self.panels(task, Work::Clear)?;
        let nest = self.draft.builder.open_loop((&Dim::ZERO, &blocks, partial.blocks), &[]);
        let last = (&nest.index + partial.blocks).minimum(&blocks);
        let part = Part { first: nest.index.clone(), last, rest: 0 };
        self.copy(task, &part)?;
        self.panels(task, Work::Add(&part))?;
        self.draft.builder.close_loop(nest, Vec::new());
        let part = Part { first: blocks.clone(), last: blocks, rest };
        self.copy(task, &part)?;
        self.panels(task, Work::Finish(&part))
    }

    fn copy(&mut self, task: &Task, part: &Part) -> Result<(), FormError> {
        self.rows.copy(self.draft, self.problem, (self.tile, self.tiling), task, part)
    }

    /// Whole panels in a loop; a narrower last one by itself.
    fn panels(&mut self, task: &Task, work: Work) -> Result<(), FormError> {
        let (first, last) = (&task.panels.0, &task.panels.1);
        let width = self.tile.columns();
        let whole = self.problem.columns.floor_div(&Dim::from(width));
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((first, &last.minimum(&whole), 1), &[]);
            let panel = nest.index.clone();
            self.panel(task, &panel, width, work)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        let rest = self.problem.columns.modulo(&Dim::from(width)).as_const().unwrap_or(0);
        if rest > 0 {
            // Taken by the task whose group holds the last panel: zero or one trips.
            let nest = self.draft.builder.open_loop((&first.maximum(&whole), last, 1), &[]);
            self.panel(task, &whole, rest, work)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    /// The rows of a panel that has `valid` columns.
    fn panel(&mut self, task: &Task, panel: &Dim, valid: i64, work: Work) -> Result<(), FormError> {
        let column = panel * self.tile.columns();
        if let Work::Compute(_) = work {
            self.columns.fill(self.draft, self.problem, &task.batch, &column, (valid, self.tile))?;
        }
        for ((lower, upper, step), count) in self.tiling.pieces((&task.rows.0, &task.rows.1)) {
            let nest = self.draft.builder.open_loop((&lower, &upper, step), &[]);
            let rows = TileRows { task: &task.rows.0, first: &nest.index, count };
            let lanes = i64::from(self.tile.lanes);
            let place = Place { task, panel, rows: &rows, vectors: (valid + lanes - 1) / lanes };
            self.tile(&place, valid, work)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    fn tile(&mut self, place: &Place, valid: i64, work: Work) -> Result<(), FormError> {
        let sums = match work {
            Work::Compute(_) | Work::Clear => self.zeros(place),
            Work::Add(_) | Work::Finish(_) => self.load_sums(place),
        };
        let sums = match work {
            Work::Compute(part) | Work::Add(part) | Work::Finish(part) => self.part(place, part, sums)?,
            Work::Clear => sums,
        };
        match work {
            Work::Compute(_) | Work::Finish(_) => self.finish(place, valid, &sums),
            Work::Clear | Work::Add(_) => {
                self.store_sums(place, &sums);
                Ok(())
            }
        }
    }

    fn zeros(&mut self, place: &Place) -> Vec<Val> {
        let zero = self.draft.builder.constant(0.0, Type::vector(self.problem.dtype, self.tile.lanes));
        vec![zero; (place.rows.count * place.vectors) as usize]
    }

    /// Where the sums of a tile wait, row by row.
    fn sums_places(&self, place: &Place) -> Vec<Dim> {
        let lanes = i64::from(self.tile.lanes);
        let panel = place.panel - &place.task.panels.0;
        let first = panel * self.split.rows + place.rows.first - place.rows.task;
        let of_row = |row: i64| (0..place.vectors).map(move |vector| (row, vector * lanes));
        let places = (0..place.rows.count).flat_map(of_row);
        places.map(|(row, column)| (&first + row) * self.tile.columns() + column).collect()
    }

    fn load_sums(&mut self, place: &Place) -> Vec<Val> {
        let Some(partial) = self.partial else { return Vec::new() };
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let places = self.sums_places(place);
        let b = &mut self.draft.builder;
        places.iter().map(|place| b.load(partial.buffer, place, ty, Spread::Contiguous, None)).collect()
    }

    fn store_sums(&mut self, place: &Place, sums: &[Val]) {
        let Some(partial) = self.partial else { return };
        for (place, sum) in self.sums_places(place).iter().zip(sums) {
            self.draft.builder.store(*sum, partial.buffer, place, Spread::Contiguous, None);
        }
    }

    /// Adds the products of a part of the contraction to the sums.
    fn part(&mut self, place: &Place, part: &Part, mut sums: Vec<Val>) -> Result<Vec<Val>, FormError> {
        if !self.in_blocks() {
            return self.stretch(place, (part, &Dim::ZERO), &self.problem.depth.clone(), sums);
        }
        if !(&part.last - &part.first).is(0) {
            let nest = self.draft.builder.open_loop((&part.first, &part.last, 1), &sums);
            let (block, params) = (nest.index.clone(), nest.params.clone());
            sums = self.stretch(place, (part, &block), &Dim::from(BLOCK), params)?;
            sums = self.draft.builder.close_loop(nest, sums);
        }
        match part.rest {
            0 => Ok(sums),
            rest => self.stretch(place, (part, &part.last), &Dim::from(rest), sums),
        }
    }

    /// Whether the contraction is taken in blocks of [`BLOCK`] places.
    fn in_blocks(&self) -> bool {
        self.rows.is_copied()
            || self.partial.is_some()
            || self.is_shared() && self.problem.depth.as_const().is_some()
    }

    /// Whether all tiles of rows of a task together ask for the columns that come next.
    fn is_shared(&self) -> bool {
        self.split.row_tiles >= SHARED_TILES && self.columns.are_packed()
    }

    /// Asks for this tile's share in the next panel's columns, at a step of a body that begins at place `k`.
    fn prefetch_panel(&mut self, place: &Place, k: &Dim, steps: (i64, i64)) {
        let tile = (place.rows.first - place.rows.task).floor_div(&Dim::from(place.rows.count));
        let panel = (&place.task.batch[..], &(place.panel + 1));
        let share = (&tile, self.split.row_tiles);
        self.columns.prefetch_share(self.draft, self.problem, (panel, k), steps, share, self.tile);
    }

    /// Runs the epilogue on the sums of a tile.
    fn finish(&mut self, place: &Place, valid: i64, sums: &[Val]) -> Result<(), FormError> {
        let Place { task, panel, rows, vectors } = *place;
        let lanes = i64::from(self.tile.lanes);
        let first = panel * self.tile.columns();
        for r in 0..rows.count {
            for v in 0..vectors {
                let sum = sums[(r * vectors + v) as usize];
                let problem = self.problem;
                let (row, column) = (rows.first + r, &first + v * lanes);
                let here = (valid - v * lanes).min(lanes);
                let index = |offset: &Dim| problem.result_index(&task.batch, &row, &(&column + offset));
                contraction::finish(
                    self.draft,
                    (problem.value, sum),
                    &self.views,
                    &index,
                    (here, self.tile.lanes),
                )?;
            }
        }
        Ok(())
    }

    /// Adds the products of `extent` places of the contraction from a block on to the sums.
    fn stretch(
        &mut self,
        place: &Place,
        at: (&Part, &Dim),
        extent: &Dim,
        mut sums: Vec<Val>,
    ) -> Result<Vec<Val>, FormError> {
        let tile = Tile { rows: place.rows.count, vectors: place.vectors, ..*self.tile };
        let unroll = if self.in_blocks() { tile.unroll_of(BLOCK) } else { tile.unroll() };
        let whole = extent.floor_div(&Dim::from(unroll)) * unroll;
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, unroll), &sums);
            sums.clone_from(&nest.params);
            for step in 0..unroll {
                if self.is_shared() && self.in_blocks() {
                    self.prefetch_panel(place, &(at.1 * BLOCK + &nest.index), (step, unroll));
                }
                sums = self.multiply(place, at, &(&nest.index + step), &sums)?;
            }
            sums = self.draft.builder.close_loop(nest, sums);
        }
        if !(extent - &whole).is(0) {
            let nest = self.draft.builder.open_loop((&whole, extent, 1), &sums);
            sums = self.multiply(place, at, &nest.index, &nest.params.clone())?;
            sums = self.draft.builder.close_loop(nest, sums);
        }
        Ok(sums)
    }

    /// One place of the contraction: loads of the columns, then for each row one element times all of them.
    fn multiply(
        &mut self,
        at: &Place,
        (part, block): (&Part, &Dim),
        place: &Dim,
        sums: &[Val],
    ) -> Result<Vec<Val>, FormError> {
        let first = at.panel * self.tile.columns();
        let k = block * BLOCK + place;
        let batch = &at.task.batch[..];
        let near = self.is_shared() && self.in_blocks();
        self.columns.prefetch(self.draft, self.problem, (batch, at.panel), &k, (at.vectors, self.tile), near);
        let mut columns = Vec::with_capacity(at.vectors as usize);
        for v in 0..at.vectors {
            let from = (batch, at.panel, &first);
            columns.push(self.columns.load(self.draft, self.problem, from, &k, (v, self.tile))?);
        }
        let mut next = Vec::with_capacity(sums.len());
        for r in 0..at.rows.count {
            let from = (part, block, place, self.tile.lanes);
            let factor = self.rows.load(self.draft, self.problem, batch, (at.rows, r), from)?;
            for (v, column) in columns.iter().enumerate() {
                let sum = sums[r as usize * columns.len() + v];
                let b = &mut self.draft.builder;
                next.push(multiply_add(b, factor, *column, sum, self.problem.dtype));
            }
        }
        Ok(next)
    }
}

/// What a tile computes.
#[derive(Clone, Copy)]
struct Place<'p> {
    task: &'p Task,
    panel: &'p Dim,
    rows: &'p TileRows<'p>,
    vectors: i64,
}
