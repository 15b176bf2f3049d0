//! Matrix products with vectors along the contraction: for results so narrow that vectors of columns would be mostly empty, and for few rows
//! against an operand whose columns lie apart. Such products read every element once or a few times, so memory bounds them.
//!
//! A tile of rows × columns has a vector of partial sums for each, several where a tile alone would wait for its own sums. In the end the lanes are
//! added pairwise, and the elements after the last whole vector one by one.

use super::problem::Problem;
use crate::form::FormError;
use crate::form::element::multiply_add;
use crate::form::group::Group;
use crate::form::schedule::contraction::pieces;
use crate::form::schedule::pointwise::{self, unflatten};
use crate::form::schedule::{Argument, Context, Draft, Scheduled, contraction};
use crate::form::view::{Lane, View};
use crate::kernel::{BufferId, Horizontal, Spread, Type, Val};
use graven_ir::{Dim, ValueId};

/// Sums that hide the latency of a multiply-add.
const SUMS: i64 = 8;

/// Columns of a tile at most: each is a stream of memory of its own.
const COLUMNS: i64 = 4;

/// Multiply-adds of a task at least.
const TASK: i64 = 1 << 15;

/// Rows below which columns that lie apart are not worth a copy.
const FEW_ROWS: i64 = 4;

/// Steps of the contraction that adding up the lanes of a sum takes as long as.
const ADD_UP: i64 = 8;

/// The kernel, or `None` if vectors of columns are better or the contraction does not lie together.
pub fn kernel(group: &Group, context: &Context, problem: &Problem) -> Result<Option<Scheduled>, FormError> {
    let lanes = context.target.lanes(problem.dtype.bytes());
    let (rows, columns) = (problem.rows.upper().max(1), problem.columns.upper().max(1));
    // A step with vectors of columns takes as long for few columns as for many.
    let depth = problem.depth.lower();
    let vectors = (columns + i64::from(lanes) - 1) / i64::from(lanes);
    let narrow = columns * (depth / i64::from(lanes) + ADD_UP) < depth * vectors;
    let few = problem.constant_rhs.is_none() && rows < FEW_ROWS;
    if !(narrow || few) || depth < i64::from(lanes) {
        return Ok(None);
    }
    let mut draft = Draft::without(&pointwise::name(group), group, context, &problem.unread);
    if !problem.lhs_lies_together(&draft, lanes) {
        return Ok(None);
    }
    let right = match &problem.constant_rhs {
        Some((operand, view)) => {
            let packing = problem.packing_by_column(view);
            let elements = Dim::from(packing.extents.iter().product::<usize>());
            let argument = Argument::Packed { operand: *operand, packing };
            Right::Packed(draft.packed(argument, problem.dtype, elements))
        }
        None if problem.rhs_lies_together(&draft, lanes) => Right::InPlace,
        None => return Ok(None),
    };
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();
    let tile_columns = columns.min(COLUMNS);
    let tile = (rows.min(SUMS / tile_columns), tile_columns);
    let mut kernel = Emission { draft: &mut draft, problem, right, views, lanes };
    kernel.tasks(tile)?;
    Ok(Some(draft.finish(pointwise::cost(group))))
}

/// The source of the right operand's vectors.
enum Right {
    /// A packed constant: `[batch][column][k]`.
    Packed(BufferId),
    /// The operand itself.
    InPlace,
}

struct Emission<'k, 'a> {
    draft: &'k mut Draft<'a>,
    problem: &'k Problem,
    right: Right,
    views: Vec<View>,
    lanes: u16,
}

/// The first row and column of a tile, and how many of each it has.
struct Tile<'t> {
    batch: &'t [Dim],
    row: &'t Dim,
    column: &'t Dim,
    rows: i64,
    columns: i64,
}

impl Emission<'_, '_> {
    /// The loop over tasks: batch × blocks of rows × blocks of columns.
    fn tasks(&mut self, (rows, columns): (i64, i64)) -> Result<(), FormError> {
        let problem = self.problem;
        let round = |wanted: i64, step: i64, extent: &Dim| {
            let most = (extent.upper().max(1) + step - 1) / step;
            (wanted / step).clamp(1, most) * step
        };
        let depth = problem.depth.upper().max(1);
        let column_block = round(TASK / depth, columns, &problem.columns);
        let row_block = round(TASK / depth / column_block, rows, &problem.rows);
        let batches = problem.batch.iter().fold(Dim::ONE, |product, extent| product * extent);
        let row_blocks = problem.rows.ceil_div(&Dim::from(row_block));
        let extents = [batches, row_blocks, problem.columns.ceil_div(&Dim::from(column_block))];
        let tasks = extents.iter().fold(Dim::ONE, |product, extent| product * extent);
        let parallel = self.draft.builder.open_parallel(&tasks);
        let places = unflatten(&parallel.index, &extents);
        let batch = unflatten(&places[0], &problem.batch);
        let range = |place: &Dim, block: i64, extent: &Dim| {
            let first = place * block;
            let last = (&first + block).minimum(extent);
            (first, last)
        };
        let row_range = range(&places[1], row_block, &problem.rows);
        let column_range = range(&places[2], column_block, &problem.columns);
        for ((first, last, step), columns) in
            pieces((&column_range.0, &column_range.1), columns, &problem.columns)
        {
            let outer = self.draft.builder.open_loop((&first, &last, step), &[]);
            for ((first, last, step), rows) in pieces((&row_range.0, &row_range.1), rows, &problem.rows) {
                let inner = self.draft.builder.open_loop((&first, &last, step), &[]);
                let (row, column) = (inner.index.clone(), outer.index.clone());
                self.tile(&Tile { batch: &batch, row: &row, column: &column, rows, columns })?;
                self.draft.builder.close_loop(inner, Vec::new());
            }
            self.draft.builder.close_loop(outer, Vec::new());
        }
        self.draft.builder.close_loop(parallel, Vec::new());
        Ok(())
    }

    fn tile(&mut self, tile: &Tile) -> Result<(), FormError> {
        let (problem, lanes) = (self.problem, i64::from(self.lanes));
        let count = tile.rows * tile.columns;
        let parts = (SUMS / count).clamp(1, 4);
        let depth = problem.depth.clone();
        let ty = Type::vector(problem.dtype, self.lanes);
        let zero = self.draft.builder.constant(0.0, ty);
        let sums = vec![zero; (parts * count) as usize];
        let whole = depth.floor_div(&Dim::from(parts * lanes)) * (parts * lanes);
        let mut sums = self.stretch(tile, (&Dim::ZERO, &whole), parts, sums)?;
        let vectors = depth.floor_div(&Dim::from(lanes)) * lanes;
        if parts > 1 && !(&vectors - &whole).is(0) {
            let first = sums[..count as usize].to_vec();
            let first = self.stretch(tile, (&whole, &vectors), 1, first)?;
            sums.splice(..count as usize, first);
        }
        let b = &mut self.draft.builder;
        let mut totals = Vec::with_capacity(count as usize);
        for n in 0..count as usize {
            let mut total = sums[n];
            for part in 1..parts as usize {
                total = b.add(total, sums[part * count as usize + n]);
            }
            totals.push(b.horizontal(Horizontal::Add, total));
        }
        if !(&depth - &vectors).is(0) {
            let nest = self.draft.builder.open_loop((&vectors, &depth, 1), &totals);
            totals = self.step(tile, &nest.index, 1, &nest.params.clone())?;
            totals = self.draft.builder.close_loop(nest, totals);
        }
        for (n, total) in totals.iter().enumerate() {
            let (r, c) = (n as i64 / tile.columns, n as i64 % tile.columns);
            let index = problem.result_index(tile.batch, &(tile.row + r), &(tile.column + c));
            contraction::finish_scalar(self.draft, (problem.value, *total), &self.views, &index)?;
        }
        Ok(())
    }

    /// Adds the products of the places `first..last`, whole vectors, to the sums: `parts` vectors at a time, each with sums of its own.
    fn stretch(
        &mut self,
        tile: &Tile,
        (first, last): (&Dim, &Dim),
        parts: i64,
        sums: Vec<Val>,
    ) -> Result<Vec<Val>, FormError> {
        let lanes = i64::from(self.lanes);
        let nest = self.draft.builder.open_loop((first, last, parts * lanes), &sums);
        let mut next = Vec::with_capacity(sums.len());
        let own = sums.len() / parts as usize;
        for part in 0..parts {
            let from = own * part as usize;
            let k = &nest.index + part * lanes;
            next.extend(self.step(tile, &k, self.lanes, &nest.params[from..from + own])?);
        }
        Ok(self.draft.builder.close_loop(nest, next))
    }

    /// The places `k..k + lanes` of the contraction.
    fn step(&mut self, tile: &Tile, k: &Dim, lanes: u16, sums: &[Val]) -> Result<Vec<Val>, FormError> {
        let problem = self.problem;
        let mut columns = Vec::with_capacity(tile.columns as usize);
        for c in 0..tile.columns {
            columns.push(self.right(tile.batch, &(tile.column + c), k, lanes)?);
        }
        let mut next = Vec::with_capacity(sums.len());
        for r in 0..tile.rows {
            let row = tile.row + r;
            let x = self.element(problem.lhs, k, lanes, &|k| problem.lhs_index(tile.batch, &row, k))?;
            for (c, y) in columns.iter().enumerate() {
                let sum = sums[r as usize * columns.len() + c];
                next.push(multiply_add(&mut self.draft.builder, x, *y, sum, problem.dtype));
            }
        }
        Ok(next)
    }

    fn right(&mut self, batch: &[Dim], column: &Dim, k: &Dim, lanes: u16) -> Result<Val, FormError> {
        let problem = self.problem;
        match self.right {
            Right::InPlace => self.element(problem.rhs, k, lanes, &|k| problem.rhs_index(batch, column, k)),
            Right::Packed(buffer) => {
                let place = (problem.flat_batch(batch) * &problem.columns + column) * &problem.depth + k;
                let ty = Type::vector(problem.dtype, lanes);
                Ok(self.draft.builder.load(buffer, &place, ty, Spread::Contiguous, None))
            }
        }
    }

    fn element(
        &mut self,
        value: ValueId,
        k: &Dim,
        lanes: u16,
        index: &dyn Fn(&Dim) -> Vec<Dim>,
    ) -> Result<Val, FormError> {
        let Draft { builder: b, evaluator, .. } = &mut *self.draft;
        let lane = (lanes > 1).then(|| Lane::new(lanes));
        let k = match &lane {
            Some(lane) => k + Dim::from(&lane.symbol),
            None => k.clone(),
        };
        evaluator.scope(|e| e.with_lane(lane, |e| e.value(b, value, &index(&k))))
    }
}
