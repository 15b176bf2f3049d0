//! How a matrix product is split into tasks.

use super::problem::Problem;
use crate::form::schedule::contraction::tile::Tile;
use crate::target::Target;
use graven_ir::Dim;

/// Tasks that a launch has at least, if it is large enough: a few workers share them evenly.
const TASKS: i64 = 16;

/// Columns of a task at least, so that what it does for its rows pays.
const COLUMNS: i64 = 256;

/// Tiles of rows of a task at least, so that a panel of columns is read from the first-level cache a few times.
const ROW_TILES: i64 = 4;

/// The part of the result that a task computes: each panel of columns meets all rows of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows, whole tiles.
    pub rows: i64,
    /// Panels of columns.
    pub panels: i64,
}

impl Split {
    /// As many rows as fit half of the second-level cache with their whole contraction; fewer rows and columns where there would be too few tasks.
    pub fn choose(problem: &Problem, tile: &Tile, target: &Target) -> Split {
        let row_bytes = problem.depth.upper().max(1).saturating_mul(problem.dtype.bytes() as i64);
        let fitting = i64::try_from(target.l2_bytes / 2).unwrap_or(i64::MAX) / row_bytes / tile.rows;
        let divided = |whole: i64, part: i64| (whole + part - 1) / part.max(1);
        let row_tiles = divided(problem.rows.upper().max(1), tile.rows);
        let blocks = divided(row_tiles, fitting.max(ROW_TILES));
        let panels = divided(problem.columns.upper().max(1), tile.columns());
        let batches =
            problem.batch.iter().fold(1i64, |all, extent| all.saturating_mul(extent.upper().max(1)));
        let outer = batches.saturating_mul(blocks);
        let least = divided(COLUMNS, tile.columns()).min(panels);
        let panels_per_task = divided(panels, divided(TASKS, outer)).max(least);
        let tasks = outer.saturating_mul(divided(panels, panels_per_task));
        let wanted = blocks.saturating_mul(divided(TASKS, tasks));
        let most = divided(row_tiles, ROW_TILES).max(blocks);
        let tiles = divided(row_tiles, wanted.min(most));
        Split { rows: tiles * tile.rows, panels: panels_per_task }
    }

    /// Blocks of rows.
    pub fn row_blocks(&self, problem: &Problem) -> Dim {
        problem.rows.ceil_div(&Dim::from(self.rows))
    }
}
