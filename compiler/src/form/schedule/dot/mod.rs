//! Matrix products: a register tile of rows × vectors of columns, accumulated over the whole contraction.
//!
//! The right operand is read from panels of as many columns as a tile has: constants are packed into panels when compiling, others
//! into scratch memory by each task, unless their columns lie together already and few rows meet them. Of the left operand one element is read for all
//! columns, in place or from a copy of the task's rows. Loop order, outermost first: tasks (batch × block of rows × group of panels), panels, tiles of rows, contraction. A panel stays
//! in the first-level cache while the rows pass by, a block of rows in the second. (Goto and van de Geijn, "Anatomy of high-performance
//! matrix multiplication", 2008.)
//!
//! * [`problem`]: batch, rows, columns and contraction of a group
//! * [`inner`]: results too narrow for vectors of columns
//! * [`columns`]: how the right operand is read
//! * [`rows`]: how the left operand is read
//! * [`split`]: what one task computes
//! * [`tile`]: the register tile and its epilogue

mod columns;
mod inner;
mod problem;
mod rows;
mod split;
mod tile;

use super::contraction::tile::{Extents, Tile};
use super::pointwise::{self, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
use columns::Columns;
use graven_ir::Dim;
use problem::Problem;
use rows::Rows;
use split::Split;
use tile::{Emission, Partial};

/// The kernel of a group around one `dot_general`, or `None` if the schedule doesn't take it.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(problem) = Problem::of(group, context) else { return Ok(None) };
    if let Some(kernel) = inner::kernel(group, context, &problem)? {
        return Ok(Some(vec![kernel]));
    }
    // Vectors of columns that would be mostly empty are no better than what takes every group.
    let lanes = context.target.lanes(problem.dtype.bytes());
    if problem.columns.lower() < i64::from(lanes.min(4)) {
        return Ok(None);
    }
    let extents = Extents {
        rows: problem.rows.upper(),
        columns: problem.columns.upper(),
        depth: problem.depth.upper(),
    };
    let tile = Tile::choose(extents, lanes, context.target);
    let mut draft = Draft::without(&pointwise::name(group), group, context, &problem.unread);
    let columns = Columns::choose(&mut draft, context, &problem, &tile);
    let split = Split::choose(&problem, &tile, context.target);
    let rows = Rows::choose(&mut draft, context, &problem, &tile, &split);
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();

    let width = tile.columns();
    let panels = problem.columns.ceil_div(&Dim::from(width));
    let row_blocks = split.row_blocks(&problem);
    let groups = panels.ceil_div(&Dim::from(split.panels));
    let batches = problem.batch.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&(&batches * &row_blocks * &groups));
    let places = unflatten(&parallel.index, &[batches, row_blocks, groups]);
    let batch = unflatten(&places[0], &problem.batch);
    let first_row = &places[1] * split.rows;
    let last_row = (&first_row + split.rows).minimum(&problem.rows);
    let first_panel = &places[2] * split.panels;
    let last_panel = (&first_panel + split.panels).minimum(&panels);

    rows.copy(&mut draft, &problem, &tile, &batch, (&first_row, &last_row))?;
    let partial = Partial::choose(&mut draft, &problem, (&tile, &rows), &split, context.target);
    let mut kernel = Emission {
        draft: &mut draft,
        problem: &problem,
        tile: &tile,
        columns: &columns,
        rows: &rows,
        views,
        partial,
    };
    // Whole panels in a loop; a narrower last one by itself.
    let whole = problem.columns.floor_div(&Dim::from(width));
    let whole_end = last_panel.minimum(&whole);
    if !whole.is(0) {
        let nest = kernel.draft.builder.open_loop((&first_panel, &whole_end, 1), &[]);
        let panel = nest.index.clone();
        kernel.panel(&batch, &panel, width, (&first_row, &last_row))?;
        kernel.draft.builder.close_loop(nest, Vec::new());
    }
    let rest = problem.columns.modulo(&Dim::from(width)).as_const().unwrap_or(0);
    if rest > 0 {
        // Taken by the task whose group holds the last panel: zero or one trips.
        let nest = kernel.draft.builder.open_loop((&first_panel.maximum(&whole), &last_panel, 1), &[]);
        kernel.panel(&batch, &whole, rest, (&first_row, &last_row))?;
        kernel.draft.builder.close_loop(nest, Vec::new());
    }
    draft.builder.close_loop(parallel, Vec::new());
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}
