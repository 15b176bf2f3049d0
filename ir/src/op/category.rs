//! The families of operations.

/// The families of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// No tensor operand: constants, iota, extents.
    Leaf,
    /// One result element from the elements at the same place.
    Elementwise,
    /// Elements move or are repeated, none is computed.
    Movement,
    /// Sums of products.
    Contraction,
    /// Windows sliding over an operand.
    Window,
    /// Axes disappear or are accumulated along.
    Reduction,
    /// Ordering along an axis.
    Sorting,
    /// Ops with regions.
    Control,
    /// Named ops with a decomposition into the others.
    Composite,
    /// Code that the application provides.
    Custom,
}
