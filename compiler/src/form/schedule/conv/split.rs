//! How a convolution is split into tasks, and how much of its input one task works on.

use super::problem::Problem;
use super::rows::COPIED_COLUMNS;
use crate::form::schedule::contraction::tile::Tile;
use crate::target::Target;
use graven_ir::Dim;

/// Tasks that a launch has at least, if it is large enough: a few workers share them evenly.
const TASKS: i64 = 16;

/// The part of the output that a task computes. Within it, each tile of channels goes over all lines: a tile's weights stay in the first-level cache
/// over the lines, and the input of the lines in the second-level cache over the tiles.
pub struct Split {
    /// Lines of output pixels: rows, or pixels of one row if there is only that.
    pub lines_per_task: i64,
    /// Tiles of output channels.
    pub channel_tiles: i64,
    /// Whether lines are pixels.
    pixels: bool,
}

impl Split {
    /// The split for a tile.
    pub fn choose(problem: &Problem, tile: &Tile, target: &Target) -> Split {
        let pixels = problem.output.len() == 1;
        let columns = |n: usize| problem.output[n].upper().max(1) * problem.stride[n];
        let last = problem.output.len() - 1;
        let line_elements = match (pixels, last) {
            (true, _) | (_, 0) => problem.group_inputs * problem.stride[0],
            (false, last) => problem.group_inputs * columns(last) * problem.stride[last - 1],
        };
        let fitting = i64::try_from(target.l2_bytes / 3).unwrap_or(i64::MAX) / (4 * line_elements.max(1));
        let step = if pixels { tile.rows } else { 1 };
        let split = Split { lines_per_task: step, channel_tiles: 1, pixels };
        let lines = split.lines(problem).upper().max(1);
        let most = (lines + step - 1) / step * step;
        let lines_per_task = (fitting / step * step).clamp(step, most);
        let blocks = (lines + lines_per_task - 1) / lines_per_task;
        // Blocks of equal size.
        let lines_per_task = ((lines + blocks - 1) / blocks + step - 1) / step * step;
        let features = problem.features / problem.groups;
        let tiles = (features + tile.columns() - 1) / tile.columns();
        let tasks = problem.batch.upper().max(1).saturating_mul(problem.groups).saturating_mul(blocks);
        // Pixels that are copied want many columns: those tasks become smaller by lines rather.
        let most = if problem.taps() == 1 { (features / COPIED_COLUMNS).clamp(1, tiles) } else { tiles };
        let wanted = ((TASKS + tasks - 1) / tasks).min(most);
        let split = Split { channel_tiles: (tiles + wanted - 1) / wanted, lines_per_task, pixels };
        split.enough(problem, tile, tasks * wanted)
    }

    /// More and smaller blocks of lines if there are too few tasks.
    fn enough(mut self, problem: &Problem, tile: &Tile, tasks: i64) -> Split {
        let step = if self.pixels { tile.rows } else { 1 };
        let parts = (TASKS / tasks.max(1)).max(1);
        let smaller = self.lines_per_task / parts / step * step;
        // A block of fewer than a few tiles would read the weights too often.
        let pixels =
            if self.pixels { 1 } else { problem.output.last().map_or(1, |extent| extent.upper().max(1)) };
        let least = ((8 * tile.rows + pixels - 1) / pixels + step - 1) / step * step;
        self.lines_per_task = smaller.max(least).min(self.lines_per_task);
        self
    }

    /// Pixels of a task at most.
    pub fn pixels_per_task(&self, problem: &Problem) -> Dim {
        match (self.pixels, problem.output.last()) {
            (false, Some(length)) => length * self.lines_per_task,
            _ => Dim::from(self.lines_per_task),
        }
    }

    /// The number of lines.
    pub fn lines(&self, problem: &Problem) -> Dim {
        let Some((last, outer)) = problem.output.split_last() else { return Dim::ONE };
        match self.pixels {
            true => last.clone(),
            false => outer.iter().fold(Dim::ONE, |product, extent| product * extent),
        }
    }
}
