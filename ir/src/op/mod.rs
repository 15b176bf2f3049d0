//! The operations.
//!
//! * [`table`]: the closed set of operations, one row per op
//! * [`category`]: the families of operations
//! * [`error`]: why a name and attributes are no op
//! * [`elementwise`]: the unary, binary and comparison functions
//! * [`attribute`]: attribute values and their text form
//! * [`dimension_order`]: the dimension orders of convolutions

mod attribute;
mod category;
mod dimension_order;
mod elementwise;
mod error;
mod table;

pub use attribute::{Attribute, AttributeValue, Real};
pub use category::Category;
pub use dimension_order::{ConvDimensions, DimensionRole};
pub use elementwise::{BinaryOp, CompareOp, UnaryOp};
pub use error::OpError;
pub use table::{CumulativeOp, FusionKind, Op, ReduceOp, ScatterOp};
