//! Ids of the graph IR's entities. `Display` is the text syntax.

use cranelift_entity::entity_impl;
use serde::{Deserialize, Serialize};

/// A value within its graph: `%3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValueId(u32);
entity_impl!(ValueId, "%");

/// A node within its graph. The text form names nodes by their first result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(u32);
entity_impl!(NodeId, "node");

/// A constant of the module: `@3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConstantId(u32);
entity_impl!(ConstantId, "@");
