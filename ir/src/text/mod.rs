//! The text form of the graph IR.

mod name;

pub use name::{Label, Quoted, Word};
