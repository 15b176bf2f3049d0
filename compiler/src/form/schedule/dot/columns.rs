//! How a matrix product reads its right operand.

use super::problem::Problem;
use crate::form::FormError;
use crate::form::schedule::contraction::tile::{self, Tile};
use crate::form::schedule::pointwise::transpose;
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
        /// How the operand is read.
        order: Order,
    },
}

/// In which order the right operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Whole vectors of columns can be loaded.
    Columns,
    /// Vectors along the contraction can be loaded, and squares of them turned around in registers.
    Contraction,
    /// Neither.
    Apart,
}

/// Lanes of the smallest squares that are turned around.
const NARROWEST_SQUARE: u16 = 4;

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
        let order = Order::of(draft, context, problem);
        // In place there are no vectors of fewer columns.
        let even = problem.columns.modulo(&Dim::from(i64::from(tile.lanes))).is(0);
        if order == Order::Columns && even && problem.rows.upper() < COPIED_ROW_TILES * tile.rows {
            return Columns::InPlace;
        }
        let elements = &problem.depth * width;
        let buffer = draft.builder.buffer("panel", problem.dtype, elements, Access::Scratch);
        Columns::Scratch { buffer, order }
    }

    /// Fills the scratch panel of `valid` columns from `first` on. Lanes of the last vector that have no column become zero.
    pub fn fill(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        batch: &[Dim],
        first: &Dim,
        (valid, tile): (i64, &Tile),
    ) -> Result<(), FormError> {
        let Columns::Scratch { buffer, order } = self else { return Ok(()) };
        let mut panel = Panel { draft, problem, buffer: *buffer, batch, first, valid, tile };
        let (whole, depth) = (panel.whole_blocks(*order), problem.depth.clone());
        if !whole.is(0) {
            let nest = panel.draft.builder.open_loop((&Dim::ZERO, &whole, tile.lanes.into()), &[]);
            panel.squares(&nest.index)?;
            panel.draft.builder.close_loop(nest, Vec::new());
        }
        let rest = &depth - &whole;
        if rest.is(0) {
            return Ok(());
        }
        if !whole.is(0) && rest.as_const().is_some() {
            // The last squares overlap those before.
            return panel.squares(&(&depth - i64::from(tile.lanes)));
        }
        let nest = panel.draft.builder.open_loop((&whole, &depth, 1), &[]);
        panel.line(&nest.index, *order == Order::Columns)?;
        panel.draft.builder.close_loop(nest, Vec::new());
        Ok(())
    }

    /// Whether they are a packed constant.
    pub fn are_packed(&self) -> bool {
        matches!(self, Columns::Packed(_))
    }

    /// Asks for what a tile will need some places after `k`, where columns lie in the order in which they are read; `near` if they are in a near cache
    /// already.
    pub fn prefetch(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        place: (&[Dim], &Dim),
        k: &Dim,
        (vectors, tile): (i64, &Tile),
        near: bool,
    ) {
        if let Columns::Packed(buffer) = self {
            let element = packed_place(problem, place, k, tile);
            tile::prefetch(&mut draft.builder, *buffer, &element, tile, vectors, near);
        }
    }

    /// The same for a panel that comes later, of whose columns each tile of rows asks for a share: see [`tile::prefetch_share`]. The body begins at place `k`.
    pub fn prefetch_share(
        &self,
        draft: &mut Draft,
        problem: &Problem,
        (place, k): ((&[Dim], &Dim), &Dim),
        steps: (i64, i64),
        share: (&Dim, i64),
        tile: &Tile,
    ) {
        if let Columns::Packed(buffer) = self {
            let element = packed_place(problem, place, k, tile);
            tile::prefetch_share(&mut draft.builder, (*buffer, &element), steps, share, tile);
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

impl Order {
    fn of(draft: &Draft, context: &Context, problem: &Problem) -> Order {
        let lanes = context.target.lanes(problem.dtype.bytes());
        let vectors = problem.columns.as_const().unwrap_or(0) / i64::from(lanes);
        let lane = Lane::new(lanes);
        let base = graven_ir::Symbol::new("column", 0, (vectors - 1).max(0));
        let column = Dim::from(base) * i64::from(lanes) + Dim::from(&lane.symbol);
        let k = Dim::from(graven_ir::Symbol::new("k", 0, problem.depth.upper().max(1) - 1));
        let batch = problem.batch.iter().map(|_| Dim::ZERO).collect::<Vec<_>>();
        let place = draft.evaluator.in_memory(problem.rhs, &problem.rhs_index(&batch, &column, &k));
        let together = place.and_then(|(_, address)| lane.split(&address)).is_some_and(|(_, step)| step == 1);
        if vectors > 0 && together {
            return Order::Columns;
        }
        let squares = lanes >= NARROWEST_SQUARE && problem.depth.lower() >= i64::from(lanes);
        match squares && problem.rhs_lies_together(draft, lanes) {
            true => Order::Contraction,
            false => Order::Apart,
        }
    }
}

/// A panel that is being filled.
struct Panel<'p, 'd, 'a> {
    draft: &'d mut Draft<'a>,
    problem: &'p Problem,
    buffer: BufferId,
    batch: &'p [Dim],
    /// The first column.
    first: &'p Dim,
    /// Columns that exist.
    valid: i64,
    tile: &'p Tile,
}

impl Panel<'_, '_, '_> {
    /// Places of the contraction that are taken in squares.
    fn whole_blocks(&self, order: Order) -> Dim {
        let lanes = i64::from(self.tile.lanes);
        match order {
            Order::Contraction => self.problem.depth.floor_div(&Dim::from(lanes)) * lanes,
            Order::Columns | Order::Apart => Dim::ZERO,
        }
    }

    /// First columns of the vectors.
    fn vectors(&self) -> impl Iterator<Item = i64> + use<> {
        (0..self.valid).step_by(usize::from(self.tile.lanes))
    }

    fn value(&mut self, column: &Dim, k: &Dim, lane: Option<Lane>) -> Result<Val, FormError> {
        let index = self.problem.rhs_index(self.batch, &(self.first + column), k);
        let (rhs, Draft { builder: b, evaluator, .. }) = (self.problem.rhs, &mut *self.draft);
        evaluator.scope(|e| e.with_lane(lane, |e| e.value(b, rhs, &index)))
    }

    fn store(&mut self, value: Val, column: i64, k: &Dim) {
        let place = k * self.tile.columns() + column;
        self.draft.builder.store(value, self.buffer, &place, Spread::Contiguous, None);
    }

    /// As many places of the contraction as a vector has lanes, from `k` on: vectors along the contraction, turned around.
    fn squares(&mut self, k: &Dim) -> Result<(), FormError> {
        let lanes = i64::from(self.tile.lanes);
        for start in self.vectors() {
            let mut columns = Vec::with_capacity(usize::from(self.tile.lanes));
            for column in start..start + lanes {
                let lane = Lane::new(self.tile.lanes);
                columns.push(match column < self.valid {
                    true => self.value(&Dim::from(column), &(k + Dim::from(&lane.symbol)), Some(lane))?,
                    false => {
                        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
                        self.draft.builder.constant(0.0, ty)
                    }
                });
            }
            let turned = transpose(&mut self.draft.builder, &columns);
            for (n, vector) in turned.into_iter().enumerate() {
                self.store(vector, start, &(k + n as i64));
            }
        }
        Ok(())
    }

    /// The last columns that exist at a place of the contraction, if they lie in memory.
    fn masked(&mut self, start: i64, k: &Dim) -> Option<Val> {
        let index = self.problem.rhs_index(self.batch, &(self.first + start), k);
        let (view, element) = self.draft.evaluator.in_memory(self.problem.rhs, &index)?;
        let ty = Type::vector(self.problem.dtype, self.tile.lanes);
        let b = &mut self.draft.builder;
        let mask = b.tail_mask(&Dim::from(self.valid - start), ty);
        Some(b.load(view.buffer, &element, ty, Spread::Contiguous, Some(mask)))
    }

    /// One place of the contraction, in vectors where `together`.
    fn line(&mut self, k: &Dim, together: bool) -> Result<(), FormError> {
        let lanes = i64::from(self.tile.lanes);
        for start in self.vectors() {
            if together && start + lanes <= self.valid {
                let lane = Lane::new(self.tile.lanes);
                let vector = self.value(&(Dim::from(&lane.symbol) + start), k, Some(lane))?;
                self.store(vector, start, k);
                continue;
            }
            if together && let Some(vector) = self.masked(start, k) {
                self.store(vector, start, k);
                continue;
            }
            for column in start..start + lanes {
                let element = match column < self.valid {
                    true => self.value(&Dim::from(column), k, None)?,
                    false => self.draft.builder.constant(0.0, Type::vector(self.problem.dtype, 1)),
                };
                self.store(element, column, k);
            }
        }
        Ok(())
    }
}
