//! Control flow: `If`, `Loop`, `Scan`.

mod conditional;
mod looping;
mod scan;

pub(super) use conditional::conditional;
pub(super) use looping::loop_node;
pub(super) use scan::scan;
