//! How a matrix product reads its left operand.

use super::problem::Problem;
use super::split::Split;
use crate::form::FormError;
use crate::form::schedule::contraction::pieces;
use crate::form::schedule::contraction::tile::Tile;
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
    /// together then, where rows of a matrix may all fall on the same lines of the cache.
    Copied(BufferId),
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

impl Rows {
    /// A copy where each element is read for many columns and vectors along the contraction can be loaded.
    pub fn choose(
        draft: &mut Draft,
        context: &Context,
        problem: &Problem,
        tile: &Tile,
        split: &Split,
    ) -> Rows {
        let lanes = context.target.lanes(problem.dtype.bytes());
        let pays = problem.depth.as_const().is_some_and(|depth| depth % BLOCK == 0)
            && BLOCK % i64::from(lanes) == 0
            && problem.rows.upper() >= 2 * tile.rows
            && tile.rows > 1
            && split.panels * tile.columns() >= COPIED_COLUMNS
            && problem.lhs_lies_together(draft, lanes);
        if !pays {
            return Rows::InPlace;
        }
        let elements = &problem.depth * split.rows;
        Rows::Copied(draft.builder.buffer("rows", problem.dtype, elements, Access::Scratch))
    }

    /// Places of the contraction after which the place in memory jumps; `None` if it never does.
    pub fn block(&self) -> Option<i64> {
        matches!(self, Rows::Copied(_)).then_some(BLOCK)
    }

    /// Copies the rows `first..last` of a task.
    pub fn copy(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        tile: &Tile,
        batch: &[Dim],
        (first, last): (&Dim, &Dim),
    ) -> Result<(), FormError> {
        let Rows::Copied(buffer) = self else { return Ok(()) };
        for ((lower, upper, step), count) in pieces((first, last), tile.rows, &problem.rows) {
            let outer = draft.builder.open_loop((&lower, &upper, step), &[]);
            let blocks = problem.depth.floor_div(&Dim::from(BLOCK));
            let inner = draft.builder.open_loop((&Dim::ZERO, &blocks, 1), &[]);
            let rows = TileRows { task: first, first: &outer.index, count };
            for row in 0..count {
                for place in (0..BLOCK).step_by(usize::from(tile.lanes)) {
                    let lane = Lane::new(tile.lanes);
                    let k = &inner.index * BLOCK + place + Dim::from(&lane.symbol);
                    let index = problem.lhs_index(batch, &(&outer.index + row), &k);
                    let Draft { builder: b, evaluator, .. } = &mut *draft;
                    let vector =
                        evaluator.scope(|e| e.with_lane(Some(lane), |e| e.value(b, problem.lhs, &index)))?;
                    let to = copied_place(problem, &rows, row, (&inner.index, &Dim::from(place)));
                    b.store(vector, *buffer, &to, Spread::Contiguous, None);
                }
            }
            draft.builder.close_loop(inner, Vec::new());
            draft.builder.close_loop(outer, Vec::new());
        }
        Ok(())
    }

    /// An element in all lanes: a row of the tile, and the place in a block of the contraction, or in all of it where that has no blocks.
    pub fn load(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        batch: &[Dim],
        (rows, row): (&TileRows, i64),
        (block, place, lanes): (&Dim, &Dim, u16),
    ) -> Result<Val, FormError> {
        let Draft { builder: b, evaluator, .. } = draft;
        let ty = Type::vector(problem.dtype, lanes);
        if let Rows::Copied(buffer) = self {
            let element = copied_place(problem, rows, row, (block, place));
            return Ok(b.load(*buffer, &element, ty, Spread::Broadcast, None));
        }
        let index = problem.lhs_index(batch, &(rows.first + row), place);
        if let Some((view, element)) = evaluator.in_memory(problem.lhs, &index) {
            return Ok(b.load(view.buffer, &element, ty, Spread::Broadcast, None));
        }
        let scalar = evaluator.scope(|e| e.value(b, problem.lhs, &index))?;
        Ok(b.splat(scalar, lanes))
    }
}

fn copied_place(problem: &Problem, rows: &TileRows, row: i64, (block, place): (&Dim, &Dim)) -> Dim {
    (rows.first - rows.task) * &problem.depth + (block * rows.count + row) * BLOCK + place
}
