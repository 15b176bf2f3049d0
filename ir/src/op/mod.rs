//! The operations.
//!
//! * [`table`]: the closed set of operations, one row per op
//! * [`elementwise`]: the unary, binary and comparison functions
//! * [`attribute`]: attribute values and their text form
//! * [`dimension_order`]: the dimension orders of convolutions

mod attribute;
mod dimension_order;
mod elementwise;
mod table;

pub use attribute::{Attribute, AttributeValue, Real};
pub use dimension_order::{ConvDimensions, DimensionRole};
pub use elementwise::{BinaryOp, CompareOp, UnaryOp};
pub use table::{Category, CumulativeOp, FusionKind, Op, OpError, ReduceOp, ScatterOp};
