//! Tensors in the buffers of a kernel.

use super::layout::Layout;
use crate::kernel::{BufferId, KernelBuilder, Spread, Val, math};
use graven_ir::{Dim, Shape, Symbol};

/// A tensor in a buffer.
#[derive(Clone, Debug)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// Its extents.
    pub shape: Shape,
    /// Where its elements lie.
    pub layout: Layout,
    /// Place of the first element in the buffer.
    pub offset: Dim,
}

impl View {
    /// The place of an element in the buffer.
    pub fn address(&self, index: &[Dim]) -> Dim {
        &self.offset + self.layout.address(&self.shape, index)
    }
}

/// The vector that an expression is evaluated for: lane k has the symbol's value k.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Stands for the lane in index expressions; its bounds are 0 and the number of lanes less one.
    pub symbol: Symbol,
    /// Number of lanes, at least 2.
    pub count: u16,
}

impl Lane {
    /// A lane symbol for vectors of `count` lanes.
    pub fn new(count: u16) -> Lane {
        Lane { symbol: Symbol::new("lane", 0, i64::from(count) - 1), count }
    }

    /// Whether the index depends on the lane.
    pub fn varies(&self, index: &[Dim]) -> bool {
        index.iter().any(|dim| dim.contains(&self.symbol))
    }

    /// `(base, stride)` with `element = base + stride · lane`, if it has that form.
    pub fn split(&self, element: &Dim) -> Option<(Dim, i64)> {
        let base = element.substitute(&|symbol| (*symbol == self.symbol).then_some(Dim::ZERO));
        let stride = (element - &base).substitute(&|symbol| (*symbol == self.symbol).then_some(Dim::ONE));
        let stride = stride.as_const()?;
        (&base + Dim::from(&self.symbol) * Dim::from(stride) == *element).then_some((base, stride))
    }

    /// The expression for one lane.
    pub fn at(&self, dim: &Dim, lane: u16) -> Dim {
        dim.substitute(&|symbol| (*symbol == self.symbol).then(|| Dim::from(i64::from(lane))))
    }
}

/// Loads the elements of an affine address; `None` where lanes lie irregularly.
pub fn load_lanes(b: &mut KernelBuilder, view: &View, index: &[Dim], lane: &Lane) -> Option<Val> {
    let (base, stride) = lane.split(&view.address(index))?;
    let spread = match stride {
        0 => Spread::Broadcast,
        1 => Spread::Contiguous,
        stride => Spread::Strided(stride),
    };
    Some(math::load(b, view.buffer, &base, lane.count, spread, None))
}

/// Stores the lanes of `value`; the address must be affine in the lane.
pub fn store(b: &mut KernelBuilder, view: &View, index: &[Dim], lane: Option<&Lane>, value: Val) {
    let element = view.address(index);
    let Some(lane) = lane.filter(|_| b.ty(value).lanes > 1) else {
        return b.store(value, view.buffer, &element, Spread::Contiguous, None);
    };
    match lane.split(&element) {
        Some((base, 1)) => b.store(value, view.buffer, &base, Spread::Contiguous, None),
        Some((base, stride)) => b.store(value, view.buffer, &base, Spread::Strided(stride), None),
        None => {
            for k in 0..lane.count {
                let scalar = b.extract(value, k);
                b.store(scalar, view.buffer, &lane.at(&element, k), Spread::Contiguous, None);
            }
        }
    }
}
