//! How tensors lie in memory.

use graven_ir::Dim;

/// A dimension of which neighbouring indices lie together: NCHWc is a block of channels as innermost dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockedDimension {
    /// The dimension.
    pub axis: usize,
    /// Elements per block; the last block is filled up with zeros.
    pub size: i64,
}

/// The order of a tensor's elements in memory. Element i of a dimension lies at place i + `before` of it; places outside hold 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Dimensions from outermost to innermost.
    pub order: Vec<usize>,
    /// The blocked dimension, whose block is innermost of all.
    pub block: Option<BlockedDimension>,
    /// Zeros before and after each dimension.
    pub halo: Vec<(i64, i64)>,
}

impl Layout {
    /// Row-major without zeros.
    pub fn row_major(rank: usize) -> Layout {
        Layout { order: (0..rank).collect(), block: None, halo: vec![(0, 0); rank] }
    }

    /// Row-major over batch, blocks of dimension 1, the other dimensions, and the block.
    pub fn blocked(rank: usize, size: i64) -> Layout {
        Layout { block: Some(BlockedDimension { axis: 1, size }), ..Layout::row_major(rank) }
    }

    /// Whether elements lie in row-major order without zeros between.
    pub fn is_row_major(&self) -> bool {
        self.block.is_none() && !self.has_halo() && self.order.iter().copied().eq(0..self.order.len())
    }

    /// Whether there are zeros around any dimension.
    pub fn has_halo(&self) -> bool {
        self.halo.iter().any(|sides| *sides != (0, 0))
    }

    /// Whether a tensor of this shape has places in memory that no element lies at, which hold 0.
    pub fn has_zeros(&self, shape: &[Dim]) -> bool {
        let uneven = |block: &BlockedDimension| !shape[block.axis].modulo(&Dim::from(block.size)).is(0);
        self.has_halo() || self.block.as_ref().is_some_and(uneven)
    }

    /// Places along a dimension, in blocks for the blocked one.
    fn places(&self, shape: &[Dim], axis: usize) -> Dim {
        let (before, after) = self.halo[axis];
        let extent = &shape[axis] + before + after;
        match self.block {
            Some(block) if block.axis == axis => extent.ceil_div(&Dim::from(block.size)),
            _ => extent,
        }
    }

    /// Number of elements in memory, zeros included.
    pub fn elements(&self, shape: &[Dim]) -> Dim {
        let block = Dim::from(self.block.map_or(1, |block| block.size));
        self.order.iter().fold(block, |product, axis| product * self.places(shape, *axis))
    }

    /// The distance in elements between neighbours of each dimension, between blocks for the blocked one.
    pub fn strides(&self, shape: &[Dim]) -> Vec<Dim> {
        let mut strides = vec![Dim::ZERO; shape.len()];
        let mut stride = Dim::from(self.block.map_or(1, |block| block.size));
        for axis in self.order.iter().rev() {
            strides[*axis] = stride.clone();
            stride = stride * self.places(shape, *axis);
        }
        strides
    }

    /// The place in memory of the element at `index`, in elements.
    pub fn address(&self, shape: &[Dim], index: &[Dim]) -> Dim {
        let strides = self.strides(shape);
        let mut address = Dim::ZERO;
        for (axis, stride) in strides.iter().enumerate() {
            let place = &index[axis] + self.halo[axis].0;
            address = match self.block {
                Some(block) if block.axis == axis => {
                    let size = Dim::from(block.size);
                    address + place.floor_div(&size) * stride + place.modulo(&size)
                }
                _ => address + place * stride,
            };
        }
        address
    }
}
