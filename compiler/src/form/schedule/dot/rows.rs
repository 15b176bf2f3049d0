//! How a matrix product reads its left operand.

use super::problem::Problem;
use super::split::{Split, Task};
use crate::form::FormError;
use crate::form::schedule::contraction::tile::{LINE_BYTES, Tile};
use crate::form::schedule::contraction::tiling::Tiling;
use crate::form::schedule::{Context, Draft};
use crate::form::view::Lane;
use crate::kernel::{Access, BufferId, Spread, Type, Val};
use graven_ir::Dim;

/// Places of the contraction that lie together in a copy.
pub const BLOCK: i64 = 16;

/// Columns of a task for which a copy of its rows pays: a copied vector is read that often, less the width of a tile.
const COPIED_COLUMNS: i64 = 96;

/// The source of the left operand's elements.
pub enum Rows {
    /// The operand itself.
    InPlace,
    /// The rows of a task in scratch memory, tile by tile: `[first row of a tile][block of the contraction][row][place in the block]`. A tile's elements lie
    /// together then, where rows of a matrix may all fall on the same lines of the cache, and what has to be computed for an element is computed once.
    Copied {
        /// The rows.
        buffer: BufferId,
        /// Places of the contraction that a row has room for.
        places: i64,
    },
}

/// A tile of rows.
pub struct TileRows<'r> {
    /// The task's first row.
    pub task: &'r Dim,
    /// The tile's first row.
    pub first: &'r Dim,
    /// Rows of the tile.
    pub count: i64,
}

/// Blocks of the contraction, and maybe the places after the last whole block.
#[derive(Clone, Debug)]
pub struct Part {
    /// The first block.
    pub first: Dim,
    /// The one after the last.
    pub last: Dim,
    /// Places after the last whole block.
    pub rest: i64,
}

/// Whether a copy of the rows is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// They lie well.
    No,
    /// A tile's rows fall on the same lines of the cache.
    Apart,
    /// Their elements have to be computed.
    Computed,
}

impl Wanted {
    /// What there is to win for tiles of some rows.
    pub fn of(draft: &Draft, context: &Context, problem: &Problem, tile: &Tile) -> Wanted {
        let lanes = context.target.lanes(problem.dtype.bytes());
        let Some(stride) = problem.lhs_row_stride(draft) else { return Wanted::Computed };
        let many = problem.rows.upper() >= 2 * tile.rows && tile.rows > 1;
        if !many || !problem.lhs_lies_together(draft, lanes) {
            return Wanted::No;
        }
        // Lines of the first-level cache that the rows share, half of which they may take: it has 64 sets of 8 lines.
        let bytes =
            stride.as_const().map_or(SETS * LINE_BYTES, |stride| stride * problem.dtype.bytes() as i64);
        let lines = bytes / LINE_BYTES;
        let sets = if bytes % LINE_BYTES == 0 { SETS / gcd(SETS, lines) } else { SETS };
        if 2 * tile.rows <= WAYS * sets { Wanted::No } else { Wanted::Apart }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Sets of the first-level cache.
const SETS: i64 = 64;

/// Lines of a set of the first-level cache.
const WAYS: i64 = 8;

impl Rows {
    /// A copy where it is wanted and each element is read for many columns.
    pub fn choose(
        draft: &mut Draft,
        context: &Context,
        problem: &Problem,
        (tile, split): (&Tile, &Split),
        wanted: Wanted,
    ) -> Rows {
        let lanes = context.target.lanes(problem.dtype.bytes());
        let Some(depth) = problem.depth.as_const() else { return Rows::InPlace };
        let pays = wanted != Wanted::No
            && depth >= BLOCK
            && BLOCK % i64::from(lanes) == 0
            && split.panels * tile.columns() >= COPIED_COLUMNS;
        if !pays {
            return Rows::InPlace;
        }
        let places = (split.depth.unwrap_or(depth) + BLOCK - 1) / BLOCK * BLOCK;
        let elements = Dim::from(places * split.rows);
        Rows::Copied {
            buffer: draft.builder.buffer("rows", problem.dtype, elements, Access::Scratch),
            places,
        }
    }

    /// Whether [`Rows::copy`] fills scratch memory.
    pub fn is_copied(&self) -> bool {
        matches!(self, Rows::Copied { .. })
    }

    /// Copies a part of a task's rows.
    pub fn copy(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        (tile, tiling): (&Tile, &Tiling),
        task: &Task,
        part: &Part,
    ) -> Result<(), FormError> {
        if !self.is_copied() {
            return Ok(());
        }
        for ((lower, upper, step), count) in tiling.pieces((&task.rows.0, &task.rows.1)) {
            let outer = draft.builder.open_loop((&lower, &upper, step), &[]);
            let rows = TileRows { task: &task.rows.0, first: &outer.index, count };
            if !(&part.last - &part.first).is(0) {
                let inner = draft.builder.open_loop((&part.first, &part.last, 1), &[]);
                let block = inner.index.clone();
                for row in 0..count {
                    for place in (0..BLOCK).step_by(usize::from(tile.lanes)) {
                        let lane = Some(Lane::new(tile.lanes));
                        self.copy_lanes(draft, problem, task, (&rows, row), part, (&block, place, lane))?;
                    }
                }
                draft.builder.close_loop(inner, Vec::new());
            }
            for row in 0..count {
                for place in 0..part.rest {
                    self.copy_lanes(draft, problem, task, (&rows, row), part, (&part.last, place, None))?;
                }
            }
            draft.builder.close_loop(outer, Vec::new());
        }
        Ok(())
    }

    /// Copies the lanes from a place of a block on, or one element.
    fn copy_lanes(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        task: &Task,
        (rows, row): (&TileRows, i64),
        part: &Part,
        (block, place, lane): (&Dim, i64, Option<Lane>),
    ) -> Result<(), FormError> {
        let Rows::Copied { buffer, places } = self else { return Ok(()) };
        let Draft { builder: b, evaluator, .. } = draft;
        let offset = lane.as_ref().map_or(Dim::ZERO, |lane| Dim::from(&lane.symbol));
        let index = problem.lhs_index(&task.batch, &(rows.first + row), &(block * BLOCK + place + offset));
        let value = evaluator.scope(|e| e.with_lane(lane, |e| e.value(b, problem.lhs, &index)))?;
        let to = copied_place(*places, (rows, row), (&(block - &part.first), &Dim::from(place)));
        b.store(value, *buffer, &to, Spread::Contiguous, None);
        Ok(())
    }

    /// An element in all lanes: a row of the tile and a place of the contraction, given by its block within the part and the place in the block.
    pub fn load(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        batch: &[Dim],
        (rows, row): (&TileRows, i64),
        (part, block, place, lanes): (&Part, &Dim, &Dim, u16),
    ) -> Result<Val, FormError> {
        let Draft { builder: b, evaluator, .. } = draft;
        let ty = Type::vector(problem.dtype, lanes);
        if let Rows::Copied { buffer, places } = self {
            let element = copied_place(*places, (rows, row), (&(block - &part.first), place));
            return Ok(b.load(*buffer, &element, ty, Spread::Broadcast, None));
        }
        let index = problem.lhs_index(batch, &(rows.first + row), &(block * BLOCK + place));
        if let Some((view, element)) = evaluator.in_memory(problem.lhs, &index) {
            return Ok(b.load(view.buffer, &element, ty, Spread::Broadcast, None));
        }
        let scalar = evaluator.scope(|e| e.value(b, problem.lhs, &index))?;
        Ok(b.splat(scalar, lanes))
    }
}

fn copied_place(places: i64, (rows, row): (&TileRows, i64), (block, place): (&Dim, &Dim)) -> Dim {
    (rows.first - rows.task) * places + (block * rows.count + row) * BLOCK + place
}
