//! Matrix products: a register tile of rows × vectors of columns, accumulated over the whole contraction.
//!
//! The right operand is read from panels of as many columns as a tile has: constants are packed into panels when compiling, others
//! into scratch memory by each task, unless their columns lie together already. The left operand is read in place, one element for all
//! columns. Loop order, outermost first: tasks (batch × block of rows × group of panels), panels, tiles of rows, contraction. A panel stays
//! in the first-level cache while the rows pass by, a block of rows in the second. (Goto and van de Geijn, "Anatomy of high-performance
//! matrix multiplication", 2008, without their packing of the left operand.)
//!
//! * [`problem`]: batch, rows, columns and contraction of a group
//! * [`columns`]: how the right operand is read
//! * [`tile`]: the register tile and its epilogue

mod columns;
mod problem;
mod tile;

use super::pointwise::{self, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
use columns::Columns;
use graven_ir::Dim;
use problem::Problem;
use tile::Tile;

/// Panels that one task takes.
const PANELS_PER_TASK: i64 = 8;

/// The kernel of a group around one `dot_general`, or `None` if the schedule doesn't take it.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(problem) = Problem::of(group, context) else { return Ok(None) };
    let tile = Tile::choose(&problem, context.target);
    let mut draft = Draft::without(&pointwise::name(group), group, context, &problem.unread);
    let columns = Columns::choose(&mut draft, group, context, &problem, &tile)?;
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();

    let width = tile.columns();
    let panels = problem.columns.ceil_div(&Dim::from(width));
    let row_block = tile.row_block(&problem, context.target);
    let row_blocks = problem.rows.ceil_div(&Dim::from(row_block));
    let groups = panels.ceil_div(&Dim::from(PANELS_PER_TASK));
    let batches = problem.batch.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&(&batches * &row_blocks * &groups));
    let places = unflatten(&parallel.index, &[batches, row_blocks, groups]);
    let batch = unflatten(&places[0], &problem.batch);
    let first_row = &places[1] * row_block;
    let last_row = (&first_row + row_block).minimum(&problem.rows);
    let first_panel = &places[2] * PANELS_PER_TASK;
    let last_panel = (&first_panel + PANELS_PER_TASK).minimum(&panels);

    let mut kernel =
        tile::Emission { draft: &mut draft, problem: &problem, tile: &tile, columns: &columns, views };
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
