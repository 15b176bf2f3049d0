//! Matrix products: a register tile of rows × vectors of columns, accumulated over the whole contraction.
//!
//! The right operand is read from panels of as many columns as a tile has: constants are packed into panels when compiling, others
//! into scratch memory by each task, unless their columns lie together already and few rows meet them. Of the left operand one element is read for all
//! columns, in place, or from a copy of the task's rows where they have to be computed or fall on the same lines of the cache. Loop order, outermost first:
//! tasks (batch × block of rows × group of panels), parts of the contraction if it is long, panels, tiles of rows, places of the part. The rows' part stays in
//! the second-level cache while panels pass by, and so does a panel's part for all tiles of rows, which meanwhile ask for the next panel's. (Goto and van de
//! Geijn, "Anatomy of high-performance matrix multiplication", 2008.)
//!
//! Each sum is one chain of multiply-adds in the order of the contraction, wherever it waits between two parts. So it is the same for every split, and its
//! error is at most c·ε·Σ|aᵢbᵢ| with c the number of places of the contraction (Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1).
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
use super::contraction::tiling::Tiling;
use super::pointwise::{self, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
use columns::Columns;
use graven_ir::Dim;
use problem::Problem;
use rows::{Rows, Wanted};
use split::{Split, Task};
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
        even: problem.rows.as_const().is_some(),
    };
    let tile = Tile::choose(extents, lanes, context.target);
    let tiling = Tiling::new(&problem.rows, tile.rows);
    let mut draft = Draft::without(&pointwise::name(group), group, context, &problem.unread);
    let columns = Columns::choose(&mut draft, context, &problem, &tile);
    let wanted = Wanted::of(&draft, context, &problem, &tile);
    let copies = (wanted, columns.are_packed());
    let split = Split::choose(&problem, (&tile, &tiling), copies, context.target);
    let rows = Rows::choose(&mut draft, context, &problem, (&tile, &split), wanted);
    let partial = Partial::choose(&mut draft, &problem, &tile, &split);
    let views = (0..group.results.len()).map(|n| draft.result(group, context, n)).collect();

    let panels = problem.columns.ceil_div(&Dim::from(tile.columns()));
    let row_tiles = tiling.count();
    let row_blocks = row_tiles.ceil_div(&Dim::from(split.row_tiles));
    let groups = panels.ceil_div(&Dim::from(split.panels));
    let batches = problem.batch.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&(&batches * &row_blocks * &groups));
    let places = unflatten(&parallel.index, &[batches, row_blocks, groups]);
    let part = |place: &Dim, size: i64, all: &Dim| {
        let first = place * size;
        let last = (&first + size).minimum(all);
        (first, last)
    };
    let (first, last) = part(&places[1], split.row_tiles, &row_tiles);
    let task = Task {
        batch: unflatten(&places[0], &problem.batch),
        rows: (tiling.start(&first), tiling.start(&last)),
        panels: part(&places[2], split.panels, &panels),
    };
    let mut kernel = Emission {
        draft: &mut draft,
        problem: &problem,
        tile: &tile,
        tiling: &tiling,
        columns: &columns,
        rows: &rows,
        split,
        views,
        partial,
    };
    kernel.task(&task)?;
    draft.builder.close_loop(parallel, Vec::new());
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}
