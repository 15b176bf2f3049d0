//! The register tile of a matrix product.

use super::columns::Columns;
use super::problem::Problem;
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::schedule::{Draft, contraction};
use crate::form::view::View;
use crate::kernel::{Spread, Type, Val};
use crate::target::Target;
use graven_ir::Dim;

/// Multiply-adds that the body of the contraction loop has at least, so that the loop itself costs little.
const BODY: i64 = 32;

/// Rows × vectors of columns held in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Rows.
    pub rows: i64,
    /// Vectors of columns.
    pub vectors: i64,
    /// Lanes of a vector.
    pub lanes: u16,
}

impl Tile {
    /// As many accumulators as the target keeps busy; two vectors wide, or wider where there are few rows.
    pub fn choose(problem: &Problem, target: &Target) -> Tile {
        let lanes = target.lanes(problem.dtype.bytes());
        let accumulators = i64::from(target.accumulators);
        let needed = problem.columns.upper().max(1).div_euclid(i64::from(lanes)).max(1);
        let rows = problem.rows.upper().max(1);
        let vectors = match rows {
            rows if rows * 2 >= accumulators => 2,
            rows => accumulators / rows,
        };
        let vectors = vectors.min(needed);
        Tile { rows: (accumulators / vectors).min(rows), vectors, lanes }
    }

    /// Columns of the tile.
    pub fn columns(&self) -> i64 {
        self.vectors * i64::from(self.lanes)
    }

    /// Rows that a task takes: what fits half of the second-level cache.
    pub fn row_block(&self, problem: &Problem, target: &Target) -> i64 {
        let row_bytes = problem.depth.upper().max(1).saturating_mul(problem.dtype.bytes() as i64);
        let fitting = i64::try_from(target.l2_bytes / 2).unwrap_or(i64::MAX) / row_bytes;
        let tiles = (fitting / self.rows).clamp(4, 64);
        // Enough blocks to split over a few workers.
        let wanted = problem.rows.upper().max(1).div_euclid(4 * self.rows).max(1);
        tiles.min(wanted) * self.rows
    }
}

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
        self.columns.fill(self.draft, self.problem, batch, &column, (valid, self.tile.columns()))?;
        let step = self.tile.rows;
        let whole = first + (last - first).floor_div(&Dim::from(step)) * step;
        let nest = self.draft.builder.open_loop((first, &whole, step), &[]);
        let row = nest.index.clone();
        self.tile(batch, panel, valid, &row, step)?;
        self.draft.builder.close_loop(nest, Vec::new());
        match (last - &whole).bounds() {
            (0, 0) => Ok(()),
            // A known number of rows is left.
            (low, high) if low == high => self.tile(batch, panel, valid, &whole, low),
            _ => self.rest(batch, panel, valid, (&whole, last)),
        }
    }

    /// The rows after the last whole tile: one tile of just as many rows if their number is known, else row by row.
    fn rest(
        &mut self,
        batch: &[Dim],
        panel: &Dim,
        valid: i64,
        (first, last): (&Dim, &Dim),
    ) -> Result<(), FormError> {
        let step = Dim::from(self.tile.rows);
        if let Some(left) = self.problem.rows.modulo(&step).as_const() {
            if left == 0 {
                return Ok(());
            }
            // Only the last block of rows has a rest: zero or one trips.
            let nest = self.draft.builder.open_loop((first, last, self.tile.rows), &[]);
            let row = nest.index.clone();
            self.tile(batch, panel, valid, &row, left)?;
            self.draft.builder.close_loop(nest, Vec::new());
            return Ok(());
        }
        let nest = self.draft.builder.open_loop((first, last, 1), &[]);
        let row = nest.index.clone();
        self.tile(batch, panel, valid, &row, 1)?;
        self.draft.builder.close_loop(nest, Vec::new());
        Ok(())
    }

    fn tile(
        &mut self,
        batch: &[Dim],
        panel: &Dim,
        valid: i64,
        row: &Dim,
        rows: i64,
    ) -> Result<(), FormError> {
        let lanes = i64::from(self.tile.lanes);
        let vectors = (valid + lanes - 1) / lanes;
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let zero = self.draft.builder.float(0.0, ty);
        let start = vec![zero; (rows * vectors) as usize];
        let unroll = (BODY / (rows * vectors)).clamp(1, 8);
        let depth = self.problem.depth.clone();
        let whole = depth.floor_div(&Dim::from(unroll)) * unroll;
        let mut sums = start;
        if !whole.is(0) {
            let nest = self.draft.builder.open_loop((&Dim::ZERO, &whole, unroll), &sums);
            sums.clone_from(&nest.params);
            for step in 0..unroll {
                sums = self.multiply(batch, panel, row, &(&nest.index + step), (rows, vectors), &sums)?;
            }
            sums = self.draft.builder.close_loop(nest, sums);
        }
        if !(&depth - &whole).is(0) {
            let nest = self.draft.builder.open_loop((&whole, &depth, 1), &sums);
            sums = self.multiply(batch, panel, row, &nest.index, (rows, vectors), &nest.params.clone())?;
            sums = self.draft.builder.close_loop(nest, sums);
        }
        let first = panel * self.tile.columns();
        for r in 0..rows {
            for v in 0..vectors {
                let sum = sums[(r * vectors + v) as usize];
                let problem = self.problem;
                let (row, column) = (row + r, &first + v * lanes);
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

    /// One place of the contraction: loads of the columns, then for each row one element times all of them.
    fn multiply(
        &mut self,
        batch: &[Dim],
        panel: &Dim,
        row: &Dim,
        k: &Dim,
        (rows, vectors): (i64, i64),
        sums: &[Val],
    ) -> Result<Vec<Val>, FormError> {
        let first = panel * self.tile.columns();
        let mut columns = Vec::with_capacity(vectors as usize);
        for v in 0..vectors {
            let place = (batch, panel, &first);
            columns.push(self.columns.load(self.draft, self.problem, place, k, (v, self.tile))?);
        }
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let mut next = Vec::with_capacity(sums.len());
        for r in 0..rows {
            let index = self.problem.lhs_index(batch, &(row + r), k);
            let Draft { builder: b, evaluator, .. } = &mut *self.draft;
            let factor = match evaluator.in_memory(self.problem.lhs, &index) {
                Some((view, element)) => b.load(view.buffer, &element, ty, Spread::Broadcast, None),
                None => {
                    let scalar = evaluator.scope(|e| e.value(b, self.problem.lhs, &index))?;
                    b.splat(scalar, self.tile.lanes)
                }
            };
            for (v, column) in columns.iter().enumerate() {
                let sum = sums[r as usize * columns.len() + v];
                next.push(multiply_add(b, factor, *column, sum, self.problem.dtype));
            }
        }
        Ok(next)
    }
}
