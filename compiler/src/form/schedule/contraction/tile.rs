//! The register tile of a contraction: rows × vectors of columns, accumulated in registers.
//!
//! The model counts the cycles of one place of the contraction on a core that starts two multiply-adds, two loads and four instructions in
//! a cycle, and needs four cycles until a sum can be added to again: true of x86-64 cores since Haswell and Zen, and near it elsewhere. A tile
//! loads one element per row and one vector per vector of columns; rests of rows and columns are tiles of their own.

use crate::kernel::{BufferId, KernelBuilder};
use crate::target::Target;
use graven_ir::Dim;

/// Multiply-adds that the body of the innermost loop has about, so that the loop and the moves between its trips cost little.
pub const BODY: i64 = 128;

/// Multiply-adds that a body has at most: more would not fit the cache of decoded instructions.
pub const MOST_BODY: i64 = 768;

/// Vectors of columns of a tile at most, so that there are enough panels to share.
const MOST_VECTORS: i64 = 8;

/// Bytes of a line of the caches.
pub const LINE_BYTES: i64 = 64;

/// Cycles until the sum of a multiply-add can be added to.
const LATENCY: f64 = 4.0;

/// Cycles of one sum that is set to zero before and stored after the contraction.
const SUM: f64 = 2.0;

/// Cycles of starting a tile.
const START: f64 = 16.0;

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

/// What is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Rows.
    pub rows: i64,
    /// Columns.
    pub columns: i64,
    /// Places of the contraction.
    pub depth: i64,
    /// Whether rows are cut into tiles of nearly equal size, or into whole tiles and a rest.
    pub even: bool,
}

impl Extents {
    /// How many tiles of how many rows there are, with `most` rows in a tile.
    fn row_tiles(&self, most: i64) -> [(i64, i64); 2] {
        let rows = self.rows.max(1);
        if !self.even {
            return [(rows / most, most), (1, rows % most)];
        }
        let count = (rows + most - 1) / most;
        let size = (rows + count - 1) / count;
        let larger = rows - (size - 1) * count;
        [(larger, size), (count - larger, size - 1)]
    }
}

impl Tile {
    /// The cheapest tile for these extents that the target's registers hold.
    pub fn choose(extents: Extents, lanes: u16, target: &Target) -> Tile {
        let accumulators = i64::from(target.accumulators);
        let columns = extents.columns.max(1);
        let needed = (columns + i64::from(lanes) - 1) / i64::from(lanes);
        let mut best = (f64::INFINITY, Tile { rows: 1, vectors: 1, lanes });
        for vectors in 1..=needed.min(accumulators).min(MOST_VECTORS) {
            for rows in 1..=extents.rows.clamp(1, accumulators / vectors) {
                // Beside the sums, the vectors of columns and an element of the rows are in registers.
                if rows * vectors + vectors + 1 > i64::from(target.registers) {
                    continue;
                }
                let tile = Tile { rows, vectors, lanes };
                let cost = tile.cost(extents, needed);
                if cost < best.0 {
                    best = (cost, tile);
                }
            }
        }
        best.1
    }

    /// Columns of the tile.
    pub fn columns(&self) -> i64 {
        self.vectors * i64::from(self.lanes)
    }

    /// Places of the contraction that the body of the loop holds.
    pub fn unroll(&self) -> i64 {
        (BODY / (self.rows * self.vectors)).clamp(1, 16)
    }

    /// The same for loops of `extent` places, of which it is a divisor.
    pub fn unroll_of(&self, extent: i64) -> i64 {
        let most = (BODY + BODY / 4) / (self.rows * self.vectors);
        (1..=most.clamp(1, extent.max(1))).rev().find(|step| extent % step == 0).unwrap_or(1)
    }

    /// Cycles for all rows and `vectors` vectors of columns.
    fn cost(&self, extents: Extents, vectors: i64) -> f64 {
        let panels = [(vectors / self.vectors, self.vectors), (1, vectors % self.vectors)];
        let mut total = 0.0;
        for (row_tiles, rows) in extents.row_tiles(self.rows) {
            for (panels, width) in panels {
                if rows > 0 && width > 0 {
                    let sums = (rows * width) as f64;
                    let tile =
                        cycles(rows, width, self.lanes) * extents.depth.max(1) as f64 + START + SUM * sums;
                    total += tile * (row_tiles * panels) as f64;
                }
            }
        }
        total
    }
}

/// Bytes between what is used and what is asked for: what a core computes while the last-level cache answers.
const PREFETCH_BYTES: i64 = 4096;

/// The same while the second-level cache answers.
const NEAR_PREFETCH_BYTES: i64 = 1024;

/// Asks for the vectors of columns that a tile will need some places after `element`. They are read in the order of memory, but at first from far away.
pub fn prefetch(
    b: &mut KernelBuilder,
    buffer: BufferId,
    element: &Dim,
    tile: &Tile,
    vectors: i64,
    near: bool,
) {
    let distance = if near { NEAR_PREFETCH_BYTES } else { PREFETCH_BYTES };
    let bytes = b.buffer_dtype(buffer).bytes() as i64;
    let vector_bytes = i64::from(tile.lanes) * bytes;
    for vector in (0..vectors).filter(|vector| vector * vector_bytes % LINE_BYTES == 0) {
        b.prefetch(buffer, &(element + distance / bytes + vector * i64::from(tile.lanes)));
    }
}

/// Tiles of rows from which on they share the work of asking for the columns that come next; fewer ask for what they need next themselves.
pub const SHARED_TILES: i64 = 3;

/// At one of the steps of a loop body: asks for a part of the share that the n-th of some tiles of rows has in the columns from `element` on, as many as the
/// body reads. Spread evenly, they don't keep the loads of the body waiting.
pub fn prefetch_share(
    b: &mut KernelBuilder,
    (buffer, element): (BufferId, &Dim),
    (step, steps): (i64, i64),
    (number, tiles): (&Dim, i64),
    tile: &Tile,
) {
    let line = LINE_BYTES / b.buffer_dtype(buffer).bytes() as i64;
    let share = (steps * tile.columns() / line + tiles - 1) / tiles;
    for n in (0..share).filter(|n| n * steps / share == step) {
        b.prefetch(buffer, &(element + (number * share + n) * line));
    }
}

/// Places of the contraction that are taken at a time, where the columns of a tile with its whole contraction would not stay near the first-level
/// cache while rows pass by: then sums wait in scratch memory in between.
pub fn depth_block(tile: &Tile, depth: i64, bytes: usize, target: &Target) -> Option<i64> {
    let place_bytes = tile.columns() * bytes as i64;
    let l2 = i64::try_from(target.l2_bytes).unwrap_or(i64::MAX);
    (depth.saturating_mul(place_bytes) >= l2 / 5 * 2).then_some((l2 / 8 / place_bytes).max(1))
}

/// Cycles of one place of the contraction.
fn cycles(rows: i64, vectors: i64, lanes: u16) -> f64 {
    let (sums, loads) = ((rows * vectors) as f64, (rows + vectors) as f64);
    // Loads wait for the caches now and then, those of columns more: they come from the second-level cache, line by line.
    let lines = (vectors * i64::from(lanes) * 4) as f64 / LINE_BYTES as f64;
    let waiting = rows as f64 / 32.0 + lines / 4.0;
    (sums / 2.0).max(loads / 2.0).max((sums + loads) / 4.0).max(LATENCY) + waiting
}
