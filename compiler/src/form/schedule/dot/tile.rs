//! The tiles of a matrix product.

use super::columns::Columns;
use super::problem::Problem;
use super::rows::{BLOCK, Rows, TileRows};
use super::split::Split;
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::schedule::contraction::tile::{Tile, depth_block};
use crate::form::schedule::{Draft, contraction, contraction::pieces};
use crate::form::view::View;
use crate::kernel::{Access, BufferId, Spread, Type, Val};
use crate::target::Target;
use graven_ir::Dim;

/// What the tiles of a kernel are emitted from.
pub struct Emission<'k, 'a> {
    /// The kernel.
    pub draft: &'k mut Draft<'a>,
    /// The product.
    pub problem: &'k Problem,
    /// The full tile.
    pub tile: &'k Tile,
    /// The right operand.
    pub columns: &'k Columns,
    /// The left operand.
    pub rows: &'k Rows,
    /// The group's results.
    pub views: Vec<View>,
    /// Sums between blocks of the contraction.
    pub partial: Option<Partial>,
}

/// Sums that wait in scratch memory, `[row of the task][column of the panel]`, while the contraction is taken some blocks at a time.
#[derive(Clone, Copy)]
pub struct Partial {
    buffer: BufferId,
    /// Blocks of [`BLOCK`] places at a time.
    blocks: i64,
}

impl Partial {
    /// `None` if a panel is small, or rows are not copied.
    pub fn choose(
        draft: &mut Draft,
        problem: &Problem,
        (tile, rows): (&Tile, &Rows),
        split: &Split,
        target: &Target,
    ) -> Option<Partial> {
        rows.block()?;
        let wanted = depth_block(tile, problem.depth.as_const()?, problem.dtype.bytes(), target)?;
        let elements = Dim::from(split.rows * tile.columns());
        let buffer = draft.builder.buffer("sums", problem.dtype, elements, Access::Scratch);
        Some(Partial { buffer, blocks: (wanted / BLOCK).max(1) })
    }
}

/// What is done with the tiles of a panel.
#[derive(Clone, Copy)]
enum Work<'w> {
    /// They are computed.
    Compute,
    /// Their sums in scratch memory are set to zero.
    Clear,
    /// Blocks `first..last` of the contraction are added to their sums in scratch memory.
    Add(&'w Dim, &'w Dim),
    /// Their results are made of the sums in scratch memory.
    Finish,
}

impl Emission<'_, '_> {
    /// The rows `first..last` of a panel that has `valid` columns.
    pub fn panel(
        &mut self,
        batch: &[Dim],
        panel: &Dim,
        valid: i64,
        (first, last): (&Dim, &Dim),
    ) -> Result<(), FormError> {
        let column = panel * self.tile.columns();
        self.columns.fill(self.draft, self.problem, batch, &column, (valid, self.tile))?;
        let Some(partial) = self.partial else {
            return self.rows(batch, panel, valid, (first, last), Work::Compute);
        };
        self.rows(batch, panel, valid, (first, last), Work::Clear)?;
        let blocks = self.problem.depth.floor_div(&Dim::from(BLOCK));
        let nest = self.draft.builder.open_loop((&Dim::ZERO, &blocks, partial.blocks), &[]);
        let (lower, upper) = (nest.index.clone(), (&nest.index + partial.blocks).minimum(&blocks));
        self.rows(batch, panel, valid, (first, last), Work::Add(&lower, &upper))?;
        self.draft.builder.close_loop(nest, Vec::new());
        self.rows(batch, panel, valid, (first, last), Work::Finish)
    }

    fn rows(
        &mut self,
        batch: &[Dim],
        panel: &Dim,
        valid: i64,
        (first, last): (&Dim, &Dim),
        work: Work,
    ) -> Result<(), FormError> {
        for ((lower, upper, step), count) in pieces((first, last), self.tile.rows, &self.problem.rows) {
            let nest = self.draft.builder.open_loop((&lower, &upper, step), &[]);
            let rows = TileRows { task: first, first: &nest.index, count };
            let lanes = i64::from(self.tile.lanes);
            let place = Place { batch, panel, rows: &rows, vectors: (valid + lanes - 1) / lanes };
            self.tile(&place, valid, work)?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    fn tile(&mut self, place: &Place, valid: i64, work: Work) -> Result<(), FormError> {
        let blocks = self.problem.depth.floor_div(&Dim::from(BLOCK));
        let sums = match work {
            Work::Compute | Work::Clear => self.zeros(place),
            Work::Add(..) | Work::Finish => self.load_sums(place),
        };
        let sums = match work {
            Work::Compute if self.rows.block().is_some() => {
                self.blocks(place, (&Dim::ZERO, &blocks), sums)?
            }
            Work::Compute => self.stretch(place, &Dim::ZERO, &self.problem.depth.clone(), sums)?,
            Work::Add(first, last) => self.blocks(place, (first, last), sums)?,
            Work::Clear | Work::Finish => sums,
        };
        match work {
            Work::Compute | Work::Finish => self.finish(place, valid, &sums),
            Work::Clear | Work::Add(..) => {
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
        let (first, lanes) = (place.rows.first - place.rows.task, i64::from(self.tile.lanes));
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

    /// Adds the products of blocks `first..last` of the contraction to the sums.
    fn blocks(
        &mut self,
        place: &Place,
        (first, last): (&Dim, &Dim),
        sums: Vec<Val>,
    ) -> Result<Vec<Val>, FormError> {
        let nest = self.draft.builder.open_loop((first, last, 1), &sums);
        let (number, params) = (nest.index.clone(), nest.params.clone());
        let sums = self.stretch(place, &number, &Dim::from(BLOCK), params)?;
        Ok(self.draft.builder.close_loop(nest, sums))
    }

    /// Runs the epilogue on the sums of a tile.
    fn finish(&mut self, place: &Place, valid: i64, sums: &[Val]) -> Result<(), FormError> {
        let Place { batch, panel, rows, vectors } = *place;
        let lanes = i64::from(self.tile.lanes);
        let first = panel * self.tile.columns();
        for r in 0..rows.count {
            for v in 0..vectors {
                let sum = sums[(r * vectors + v) as usize];
                let problem = self.problem;
                let (row, column) = (rows.first + r, &first + v * lanes);
                let here = (valid - v * lanes).min(lanes);
                let index = |offset: &Dim| problem.result_index(batch, &row, &(&column + offset));
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

    /// Adds the products of a block of the contraction to the sums.
    fn stretch(
        &mut self,
        place: &Place,
        block: &Dim,
        extent: &Dim,
        mut sums: Vec<Val>,
    ) -> Result<Vec<Val>, FormError> {
        let tile = Tile { rows: place.rows.count, vectors: place.vectors, ..*self.tile };
        let unroll = self.rows.block().map_or_else(|| tile.unroll(), |block| tile.unroll_of(block));
        let whole = extent.floor_div(&Dim::from(unroll)) * unroll;
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, unroll), &sums);
            sums.clone_from(&nest.params);
            for step in 0..unroll {
                sums = self.multiply(place, block, &(&nest.index + step), &sums)?;
            }
            sums = self.draft.builder.close_loop(nest, sums);
        }
        if !(extent - &whole).is(0) {
            let nest = self.draft.builder.open_loop((&whole, extent, 1), &sums);
            sums = self.multiply(place, block, &nest.index, &nest.params.clone())?;
            sums = self.draft.builder.close_loop(nest, sums);
        }
        Ok(sums)
    }

    /// One place of the contraction: loads of the columns, then for each row one element times all of them.
    fn multiply(
        &mut self,
        at: &Place,
        block: &Dim,
        place: &Dim,
        sums: &[Val],
    ) -> Result<Vec<Val>, FormError> {
        let first = at.panel * self.tile.columns();
        let k = block * self.rows.block().unwrap_or(0) + place;
        self.columns.prefetch(self.draft, self.problem, (at.batch, at.panel), &k, (at.vectors, self.tile));
        let mut columns = Vec::with_capacity(at.vectors as usize);
        for v in 0..at.vectors {
            let from = (at.batch, at.panel, &first);
            columns.push(self.columns.load(self.draft, self.problem, from, &k, (v, self.tile))?);
        }
        let mut next = Vec::with_capacity(sums.len());
        for r in 0..at.rows.count {
            let from = (block, place, self.tile.lanes);
            let factor = self.rows.load(self.draft, self.problem, at.batch, (at.rows, r), from)?;
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
    batch: &'p [Dim],
    panel: &'p Dim,
    rows: &'p TileRows<'p>,
    vectors: i64,
}
