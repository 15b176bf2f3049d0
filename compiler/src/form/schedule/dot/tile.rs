//! The tiles of a matrix product.

use super::columns::Columns;
use super::problem::Problem;
use super::rows::{Rows, TileRows};
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::schedule::contraction::tile::Tile;
use crate::form::schedule::{Draft, contraction, contraction::pieces};
use crate::form::view::View;
use crate::kernel::{Type, Val};
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
        for ((lower, upper, step), count) in pieces((first, last), self.tile.rows, &self.problem.rows) {
            let nest = self.draft.builder.open_loop((&lower, &upper, step), &[]);
            let row = nest.index.clone();
            self.tile(batch, panel, valid, &TileRows { task: first, first: &row, count })?;
            self.draft.builder.close_loop(nest, Vec::new());
        }
        Ok(())
    }

    fn tile(&mut self, batch: &[Dim], panel: &Dim, valid: i64, rows: &TileRows) -> Result<(), FormError> {
        let lanes = i64::from(self.tile.lanes);
        let vectors = (valid + lanes - 1) / lanes;
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let zero = self.draft.builder.float(0.0, ty);
        let start = vec![zero; (rows.count * vectors) as usize];
        let place = Place { batch, panel, rows, vectors };
        let sums = match self.rows.block() {
            Some(block) => {
                let blocks = self.problem.depth.floor_div(&Dim::from(block));
                let nest = self.draft.builder.open_loop((&Dim::ZERO, &blocks, 1), &start);
                let (number, params) = (nest.index.clone(), nest.params.clone());
                let sums = self.stretch(&place, &number, &Dim::from(block), params)?;
                self.draft.builder.close_loop(nest, sums)
            }
            None => self.stretch(&place, &Dim::ZERO, &self.problem.depth.clone(), start)?,
        };
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
struct Place<'p> {
    batch: &'p [Dim],
    panel: &'p Dim,
    rows: &'p TileRows<'p>,
    vectors: i64,
}
