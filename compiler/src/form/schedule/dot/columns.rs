//! How a matrix product reads its right operand.

use super::problem::Problem;
use crate::form::FormError;
use crate::form::schedule::contraction::tile::{self, Tile};
use crate::form::schedule::{Argument, Context, Draft};
use crate::form::view::Lane;
use crate::kernel::{Access, BufferId, Spread, Type, Val};
use graven_ir::Dim;

/// The source of the right operand's vectors.
pub enum Columns {
    /// Panels of a packed constant: `[batch][panel][k][column]`, zeros behind the last column.
    Packed(BufferId),
    /// The operand itself, whose columns lie together.
    InPlace,
    /// A panel `[k][column]` in scratch memory, filled before the rows pass by.
    Scratch {
        /// The panel.
        buffer: BufferId,
        /// Whether whole vectors of columns can be loaded from the operand.
        contiguous: bool,
    },
}

/// Tiles of rows below which a panel isn't worth a copy.
const COPIED_ROW_TILES: i64 = 4;

impl Columns {
    /// Packed for constants; in place if whole vectors of columns can be loaded and few rows use them; else through scratch.
    pub fn choose(draft: &mut Draft, context: &Context, problem: &Problem, tile: &Tile) -> Columns {
        let width = tile.columns();
        if let Some((operand, view)) = &problem.constant_rhs {
            let packing = problem.packing(view, usize::try_from(width).unwrap_or(1));
            let elements = Dim::from(packing.extents.iter().product::<usize>());
            let argument = Argument::Packed { operand: *operand, packing };
            return Columns::Packed(draft.packed(argument, problem.dtype, elements));
        }
        let contiguous = Columns::contiguous(draft, context, problem);
        if contiguous && problem.rows.upper() < COPIED_ROW_TILES * tile.rows {
            return Columns::InPlace;
        }
        let elements = &problem.depth * width;
        let buffer = draft.builder.buffer("panel", problem.dtype, elements, Access::Scratch);
        Columns::Scratch { buffer, contiguous }
    }

    fn contiguous(draft: &Draft, context: &Context, problem: &Problem) -> bool {
        let lanes = context.target.lanes(problem.dtype.bytes());
        if !problem.columns.modulo(&Dim::from(i64::from(lanes))).is(0) {
            return false;
        }
        let lane = Lane::new(lanes);
        let block = problem.columns.as_const().unwrap_or(0) / i64::from(lanes);
        let base = graven_ir::Symbol::new("column", 0, (block - 1).max(0));
        let column = Dim::from(base) * i64::from(lanes) + Dim::from(&lane.symbol);
        let k = Dim::from(graven_ir::Symbol::new("k", 0, problem.depth.upper().max(1) - 1));
        let batch = problem.batch.iter().map(|_| Dim::ZERO).collect::<Vec<_>>();
        let place = draft.evaluator.in_memory(problem.rhs, &problem.rhs_index(&batch, &column, &k));
        place.and_then(|(_, address)| lane.split(&address)).is_some_and(|(_, stride)| stride == 1)
    }

    /// Fills the scratch panel of `valid` columns from `first` on.
    pub fn fill(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        batch: &[Dim],
        first: &Dim,
        (valid, tile): (i64, &Tile),
    ) -> Result<(), FormError> {
        let Columns::Scratch { buffer, contiguous } = self else { return Ok(()) };
        let Draft { builder: b, evaluator, .. } = draft;
        let width = tile.columns();
        let lanes = if *contiguous { tile.lanes } else { 1 };
        let nest = b.open_loop((&Dim::ZERO, &problem.depth, 1), &[]);
        for column in (0..width).step_by(usize::from(lanes)) {
            let element = if column < valid {
                let lane = (lanes > 1).then(|| Lane::new(lanes));
                let offset = lane.as_ref().map_or(Dim::ZERO, |lane| Dim::from(&lane.symbol));
                let index = problem.rhs_index(batch, &(first + column + offset), &nest.index);
                evaluator.scope(|e| e.with_lane(lane, |e| e.value(b, problem.rhs, &index)))?
            } else {
                b.constant(0.0, Type::vector(problem.dtype, lanes))
            };
            b.store(element, *buffer, &(&nest.index * width + column), Spread::Contiguous, None);
        }
        b.close_loop(nest, Vec::new());
        Ok(())
    }

    /// Asks for what a tile will need some places after `k`, where columns lie in the order in which they are read.
    pub fn prefetch(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        place: (&[Dim], &Dim),
        k: &Dim,
        (vectors, tile): (i64, &Tile),
    ) {
        if let Columns::Packed(buffer) = self {
            let element = packed_place(problem, place, k, tile);
            tile::prefetch(&mut draft.builder, *buffer, &element, tile, vectors);
        }
    }

    /// The vector of columns from `first + vector · lanes` on at contraction place `k`.
    pub fn load(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        (batch, panel, first): (&[Dim], &Dim, &Dim),
        k: &Dim,
        (vector, tile): (i64, &Tile),
    ) -> Result<Val, FormError> {
        let ty = Type::vector(problem.dtype, tile.lanes);
        let offset = vector * i64::from(tile.lanes);
        let Draft { builder: b, evaluator, .. } = draft;
        match self {
            Columns::Packed(buffer) => {
                let element = packed_place(problem, (batch, panel), k, tile) + offset;
                Ok(b.load(*buffer, &element, ty, Spread::Contiguous, None))
            }
            Columns::Scratch { buffer, .. } => {
                let element = k * tile.columns() + offset;
                Ok(b.load(*buffer, &element, ty, Spread::Contiguous, None))
            }
            Columns::InPlace => {
                let lane = Lane::new(tile.lanes);
                let column = first + offset + Dim::from(&lane.symbol);
                let index = problem.rhs_index(batch, &column, k);
                evaluator.scope(|e| e.with_lane(Some(lane), |e| e.value(b, problem.rhs, &index)))
            }
        }
    }
}

/// Where the columns of a panel at place `k` of the contraction begin in a packed constant.
fn packed_place(problem: &Problem, (batch, panel): (&[Dim], &Dim), k: &Dim, tile: &Tile) -> Dim {
    let panels = problem.columns.ceil_div(&Dim::from(tile.columns()));
    ((problem.flat_batch(batch) * panels + panel) * &problem.depth + k) * tile.columns()
}
