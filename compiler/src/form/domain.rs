//! The loops over a tensor's elements in the order of memory.

use super::layout::{BlockedDimension, Layout};
use crate::kernel::{KernelBuilder, OpenLoop};
use graven_ir::Dim;

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
    /// Extents that are no multiple of the block are not blocked here.
    pub fn of(layout: &Layout, shape: &[Dim]) -> Domain {
        let mut domain =
            Domain { extents: Vec::new(), index: vec![Dim::ZERO; shape.len()], symbols: Vec::new() };
        let even = |block: &BlockedDimension| shape[block.axis].modulo(&Dim::from(block.size)).is(0);
        let block = layout.block.filter(even);
        for axis in &layout.order {
            let (extent, scale) = match block {
                Some(block) if block.axis == *axis => {
                    (shape[*axis].floor_div(&Dim::from(block.size)), Dim::from(block.size))
                }
                _ => (shape[*axis].clone(), Dim::ONE),
            };
            let place = domain.push(extent);
            domain.index[*axis] = place * scale;
        }
        if let Some(block) = block {
            let place = domain.push(Dim::from(block.size));
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
