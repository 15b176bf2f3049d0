//! How a matrix product reads its right operand.

use super::problem::Problem;
use super::tile::Tile;
use crate::form::FormError;
use crate::form::group::Group;
use crate::form::schedule::{Argument, Context, Draft};
use crate::form::view::Lane;
use crate::kernel::{Access, BufferId, Spread, Type, Val};
use crate::program::{Packing, PackingLimit};
use graven_ir::Dim;

/// The source of the right operand's vectors.
pub enum Columns {
    /// Panels of a packed constant: `[panel][k][column]`, zeros behind the last column.
    Packed(BufferId),
    /// The operand itself, whose columns lie together.
    InPlace,
    /// A panel `[k][column]` in scratch memory, filled before the rows pass by.
    Scratch(BufferId),
}

impl Columns {
    /// Packed for constants; in place if whole vectors of columns can be loaded; else through scratch.
    pub fn choose(
        draft: &mut Draft,
        group: &Group,
        context: &Context,
        problem: &Problem,
        tile: &Tile,
    ) -> Result<Columns, FormError> {
        let width = tile.columns();
        if let Some(operand) = problem.constant_rhs {
            let constant = |dim: &Dim| usize::try_from(dim.as_const().unwrap_or(0)).unwrap_or(0);
            let (columns, depth) = (constant(&problem.columns), constant(&problem.depth));
            let (column_stride, depth_stride) = problem.rhs_strides(&group.graph.ty(problem.rhs).shape);
            let panels = columns.div_ceil(width as usize);
            let packing = Packing {
                extents: vec![panels, depth, width as usize],
                strides: vec![column_stride * width as isize, depth_stride, column_stride],
                limits: vec![PackingLimit { weights: vec![width as usize, 0, 1], end: columns }],
            };
            let elements = Dim::from(packing.extents.iter().product::<usize>());
            let buffer = draft.packed(Argument::Packed { operand, packing }, problem.dtype, elements);
            return Ok(Columns::Packed(buffer));
        }
        if Columns::contiguous(draft, context, problem) {
            return Ok(Columns::InPlace);
        }
        let elements = &problem.depth * width;
        Ok(Columns::Scratch(draft.builder.buffer("panel", problem.dtype, elements, Access::Scratch)))
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
        (valid, width): (i64, i64),
    ) -> Result<(), FormError> {
        let Columns::Scratch(buffer) = self else { return Ok(()) };
        let Draft { builder: b, evaluator, .. } = draft;
        let ty = Type::scalar(problem.dtype);
        for column in 0..width {
            let nest = b.open_loop((&Dim::ZERO, &problem.depth, 1), &[]);
            let element = if column < valid {
                let index = problem.rhs_index(batch, &(first + column), &nest.index);
                evaluator.scope(|e| e.with_lane(None, |e| e.value(b, problem.rhs, &index)))?
            } else {
                b.float(0.0, ty)
            };
            b.store(element, *buffer, &(&nest.index * width + column), Spread::Contiguous, None);
            b.close_loop(nest, Vec::new());
        }
        Ok(())
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
                let element = (panel * &problem.depth + k) * tile.columns() + offset;
                Ok(b.load(*buffer, &element, ty, Spread::Contiguous, None))
            }
            Columns::Scratch(buffer) => {
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
