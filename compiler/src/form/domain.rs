//! The loops over a tensor's elements in the order of memory.

use super::layout::{BlockedDimension, Layout};
use crate::kernel::{KernelBuilder, OpenLoop};
use graven_ir::{Atom, Dim};

/// Loop coordinates over a tensor, outermost first, and how they make its index.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Extents of the coordinates.
    pub extents: Vec<Dim>,
    /// The index of the tensor, as dims over the placeholder symbols of the coordinates.
    index: Vec<Dim>,
    /// One placeholder per coordinate.
    symbols: Vec<graven_ir::Symbol>,
}

impl Domain {
    /// One coordinate per dimension in the order of `layout`; of a blocked dimension the block is the innermost coordinate.
    /// Extents that are no multiple of the block are not blocked here, unless they are smaller than it.
    pub fn of(layout: &Layout, shape: &[Dim]) -> Domain {
        let mut domain =
            Domain { extents: Vec::new(), index: vec![Dim::ZERO; shape.len()], symbols: Vec::new() };
        let even = |block: &BlockedDimension| {
            let extent = &shape[block.axis];
            extent.modulo(&Dim::from(block.size)).is(0)
                || extent.as_const().is_some_and(|extent| extent < block.size)
        };
        let block = layout.block.filter(even);
        for axis in &layout.order {
            let (extent, scale) = match block {
                Some(block) if block.axis == *axis => {
                    (shape[*axis].ceil_div(&Dim::from(block.size)), Dim::from(block.size))
                }
                _ => (shape[*axis].clone(), Dim::ONE),
            };
            let place = domain.push(extent);
            domain.index[*axis] = place * scale;
        }
        if let Some(block) = block {
            let place = domain.push(shape[block.axis].minimum(&Dim::from(block.size)));
            domain.index[block.axis] = &domain.index[block.axis] + place;
        }
        domain
    }

    fn push(&mut self, extent: Dim) -> Dim {
        let symbol = graven_ir::Symbol::new(format!("c{}", self.symbols.len()), 0, extent.upper().max(1) - 1);
        self.extents.push(extent);
        self.symbols.push(symbol.clone());
        Dim::from(symbol)
    }

    /// Number of coordinates.
    pub fn rank(&self) -> usize {
        self.extents.len()
    }

    /// The placeholder of a coordinate, or 0 for a single trip.
    pub fn placeholder(&self, coordinate: usize) -> Dim {
        Dim::from(&self.symbols[coordinate])
    }

    /// The tensor's index in terms of the placeholders.
    pub fn symbolic_index(&self) -> &[Dim] {
        &self.index
    }

    /// The tensor's index for given coordinates.
    pub fn index(&self, coordinates: &[Dim]) -> Vec<Dim> {
        let replace = |symbol: &graven_ir::Symbol| {
            self.symbols.iter().position(|other| other == symbol).map(|place| coordinates[place].clone())
        };
        self.index.iter().map(|dim| dim.substitute(&replace)).collect()
    }

    /// Joins neighbouring coordinates wherever all `addresses` (over the placeholders) step evenly over both, so that inner loops are long.
    pub fn merge(&mut self, addresses: &[Dim]) {
        let mut coordinate = 0;
        while coordinate + 1 < self.rank() {
            if self.mergeable(coordinate, addresses) {
                self.merge_pair(coordinate);
            } else {
                coordinate += 1;
            }
        }
    }

    fn mergeable(&self, coordinate: usize, addresses: &[Dim]) -> bool {
        let (outer, inner) = (self.placeholder(coordinate), self.placeholder(coordinate + 1));
        let extent = &self.extents[coordinate + 1];
        if self.extents[coordinate].is(1) || extent.is(1) {
            return true;
        }
        // A merged coordinate is expanded before it is merged again, so addresses are looked at through what it stands for.
        addresses.iter().all(|address| {
            let (Some(a), Some(b)) =
                (linear_coefficient(address, &outer), linear_coefficient(address, &inner))
            else {
                return false;
            };
            a == b * extent
        })
    }

    /// Cuts the coordinates into blocks where any of `addresses` divides them by a constant, so that addresses step evenly within and over the blocks.
    pub fn split(&mut self, addresses: &[Dim]) {
        let mut coordinate = 0;
        while coordinate < self.rank() {
            let size = addresses.iter().find_map(|address| divisor(address, &self.symbols[coordinate]));
            let extent = self.extents[coordinate].as_const().unwrap_or(1);
            match size.filter(|size| extent > *size && extent % size == 0) {
                Some(size) => self.split_at(coordinate, size),
                None => coordinate += 1,
            }
        }
    }

    fn split_at(&mut self, place: usize, size: i64) {
        let old = self.symbols[place].clone();
        let blocks = self.extents[place].floor_div(&Dim::from(size));
        let symbol = |suffix: &str, extent: &Dim| {
            graven_ir::Symbol::new(format!("{}{suffix}", old.name()), 0, extent.upper().max(1) - 1)
        };
        let parts = [symbol("q", &blocks), symbol("r", &Dim::from(size))];
        let whole = Dim::from(&parts[0]) * size + Dim::from(&parts[1]);
        self.index
            .iter_mut()
            .for_each(|dim| *dim = dim.substitute(&|other| (*other == old).then(|| whole.clone())));
        self.extents.splice(place..=place, [blocks, Dim::from(size)]);
        self.symbols.splice(place..=place, parts);
    }

    /// Makes a coordinate the last but one.
    pub fn move_before_last(&mut self, coordinate: usize) {
        let target = self.rank().saturating_sub(2);
        if coordinate < target {
            self.extents[coordinate..=target].rotate_left(1);
            self.symbols[coordinate..=target].rotate_left(1);
        }
    }

    /// The steps of an address along a coordinate; `None` if it isn't linear in it.
    pub fn stride(&self, address: &Dim, coordinate: usize) -> Option<Dim> {
        linear_coefficient(address, &self.placeholder(coordinate))
    }

    /// Coordinates `place` and `place + 1` become one, which keeps the inner placeholder for further merges: its address steps are the same.
    fn merge_pair(&mut self, place: usize) {
        let (outer, inner) = (self.extents[place].clone(), self.extents[place + 1].clone());
        let merged =
            graven_ir::Symbol::new(self.symbols[place + 1].name(), 0, (&outer * &inner).upper().max(1) - 1);
        let coordinate = Dim::from(&merged);
        let (old_outer, old_inner) = (self.symbols[place].clone(), self.symbols[place + 1].clone());
        let (q, r) = (coordinate.floor_div(&inner), coordinate.modulo(&inner));
        let replace = |symbol: &graven_ir::Symbol| match symbol {
            s if *s == old_outer => Some(q.clone()),
            s if *s == old_inner => Some(r.clone()),
            _ => None,
        };
        self.index.iter_mut().for_each(|dim| *dim = dim.substitute(&replace));
        self.extents.splice(place..place + 2, [outer * inner]);
        self.symbols.splice(place..place + 2, [merged]);
    }
}

/// The constant that some part of a dim divides a symbol by.
fn divisor(dim: &Dim, symbol: &graven_ir::Symbol) -> Option<i64> {
    dim.terms().iter().flat_map(|(product, _)| product).find_map(|atom| match atom {
        Atom::FloorDiv(pair) | Atom::Mod(pair) if pair.0.as_symbol() == Some(symbol) => pair.1.as_const(),
        Atom::FloorDiv(pair) | Atom::Mod(pair) | Atom::Min(pair) | Atom::Max(pair) => {
            divisor(&pair.0, symbol).or_else(|| divisor(&pair.1, symbol))
        }
        Atom::Symbol(_) => None,
    })
}

/// The factor of `symbol` in a dim that is linear in it; `None` if it occurs in any other way.
fn linear_coefficient(dim: &Dim, symbol: &Dim) -> Option<Dim> {
    let Some(symbol) = symbol.as_symbol() else { return Some(Dim::ZERO) };
    let at = |value: i64| dim.substitute(&|other| (other.name() == symbol.name()).then(|| Dim::from(value)));
    let base = at(0);
    let coefficient = at(1) - &base;
    let occurrence = dim.clone() - &base;
    let mut found = None;
    dim.for_each_symbol(&mut |other| {
        if other.name() == symbol.name() {
            found = Some(other.clone());
        }
    });
    match found {
        None => Some(Dim::ZERO),
        Some(symbol) => (occurrence == Dim::from(symbol) * &coefficient).then_some(coefficient),
    }
}

/// Opens a loop per coordinate and gives the loops with the coordinates.
pub fn open_nest(b: &mut KernelBuilder, extents: &[Dim]) -> (Vec<OpenLoop>, Vec<Dim>) {
    let mut loops = Vec::with_capacity(extents.len());
    let mut coordinates = Vec::with_capacity(extents.len());
    for extent in extents {
        let nest = b.open_loop((&Dim::ZERO, extent, 1), &[]);
        coordinates.push(nest.index.clone());
        loops.push(nest);
    }
    (loops, coordinates)
}

/// Ends loops that carry nothing, innermost first.
pub fn close_nest(b: &mut KernelBuilder, loops: Vec<OpenLoop>) {
    for nest in loops.into_iter().rev() {
        b.close_loop(nest, Vec::new());
    }
}
