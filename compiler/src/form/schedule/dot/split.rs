//! How a matrix product is split into tasks, and how much of it a task works on at a time.

use super::problem::Problem;
use super::rows::{BLOCK, Wanted};
use crate::form::schedule::contraction::tile::{SHARED_TILES, Tile};
use crate::form::schedule::contraction::tiling::Tiling;
use crate::target::Target;
use graven_ir::Dim;

/// Tasks that a launch has at least, if it is large enough: a few workers share them evenly.
const TASKS: i64 = 16;

/// Columns of a task at least, so that what it does for its rows pays: nothing, a copy, computing them.
const COLUMNS: [i64; 3] = [128, 256, 512];

/// Tiles of rows of a task at least, so that a panel of columns is read from near caches a few times.
const ROW_TILES: i64 = 4;

/// Places of the contraction that are taken at a time at most.
const DEPTH: i64 = 768;

/// The part of the result that a task computes: each panel of columns meets all rows of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Tiles of rows.
    pub row_tiles: i64,
    /// Rows at most.
    pub rows: i64,
    /// Panels of columns.
    pub panels: i64,
    /// Places of the contraction that are taken at a time, if not all: a multiple of [`BLOCK`].
    pub depth: Option<i64>,
}

impl Split {
    /// As many rows as fit half of the second-level cache with what is taken of the contraction; fewer rows and columns where there would be too few tasks.
    pub fn choose(
        problem: &Problem,
        (tile, tiling): (&Tile, &Tiling),
        (wanted, packed): (Wanted, bool),
        target: &Target,
    ) -> Split {
        let columns = match wanted {
            Wanted::No => COLUMNS[0],
            Wanted::Apart => COLUMNS[1],
            Wanted::Computed => COLUMNS[2],
        };
        // Few rows read each panel from memory anyway; columns that are no constant are copied panel by panel, each with its whole contraction.
        let reused = packed && tiling.count().upper() >= SHARED_TILES;
        let depth = depth_at_a_time(problem).filter(|_| reused);
        let places = depth.unwrap_or(problem.depth.upper().max(1));
        let row_bytes = places.saturating_mul(problem.dtype.bytes() as i64);
        let fitting = i64::try_from(target.l2_bytes / 2).unwrap_or(i64::MAX) / row_bytes / tiling.size();
        let divided = |whole: i64, part: i64| (whole + part - 1) / part.max(1);
        let row_tiles = tiling.count().upper().max(1);
        let blocks = divided(row_tiles, fitting.max(ROW_TILES));
        let panels = divided(problem.columns.upper().max(1), tile.columns());
        let batches =
            problem.batch.iter().fold(1i64, |all, extent| all.saturating_mul(extent.upper().max(1)));
        let outer = batches.saturating_mul(blocks);
        let least = divided(columns, tile.columns()).min(panels);
        let panels_per_task = divided(panels, divided(TASKS, outer)).max(least);
        let tasks = outer.saturating_mul(divided(panels, panels_per_task));
        let wanted = blocks.saturating_mul(divided(TASKS, tasks));
        let most = divided(row_tiles, ROW_TILES).max(blocks);
        let row_tiles = divided(row_tiles, wanted.min(most));
        Split { row_tiles, rows: row_tiles * tiling.size(), panels: panels_per_task, depth }
    }
}

/// Equal parts of a long contraction, so that rows and a panel of columns stay in the second-level cache.
fn depth_at_a_time(problem: &Problem) -> Option<i64> {
    let depth = problem.depth.as_const()?;
    if depth <= DEPTH + DEPTH / 4 {
        return None;
    }
    let parts = (depth + DEPTH - 1) / DEPTH;
    Some(((depth + parts - 1) / parts + BLOCK - 1) / BLOCK * BLOCK)
}

/// The part of the result that a task computes.
pub struct Task {
    /// Place in the batch.
    pub batch: Vec<Dim>,
    /// First row and the one after the last.
    pub rows: (Dim, Dim),
    /// First panel and the one after the last.
    pub panels: (Dim, Dim),
}
