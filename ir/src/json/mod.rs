//! Modules as JSON: for programs in other languages, where the [text form](crate::text) is for people.
//!
//! ```json
//! { "format": "graven", "version": 1, "name": "mlp", "metadata": { "producer": "…" },
//!   "symbols": [ { "name": "N", "lower": 1, "upper": 32 } ],
//!   "constants": [
//!     { "name": "bias", "dtype": "f32", "shape": [2], "data": ["0.1", "-inf"] },
//!     { "name": "", "dtype": "i64", "shape": [3, 4], "splat": 7 },
//!     { "name": "weight", "dtype": "f32", "shape": [64, 64], "file": "mlp.safetensors", "key": "weight" } ],
//!   "functions": [ { "name": "main", "inputs": ["x"], "outputs": ["y"], "states": [], "graph": {
//!     "params": [ { "name": "x", "dtype": "f32", "shape": ["N", 2] } ],
//!     "nodes": [
//!       { "op": "constant", "attributes": { "id": 0 }, "results": [ { "dtype": "f32", "shape": [2] } ] },
//!       { "op": "broadcast", "operands": [1], "attributes": { "shape": [{ "dim": "N" }, 2], "dimensions": [1] },
//!         "results": [ { "dtype": "f32", "shape": ["N", 2] } ], "origin": "Add_3" } ],
//!     "results": [2] } } ] }
//! ```
//!
//! Values are numbered within their graph: the parameters, then the results of the nodes in order; operands come before their users. A node's `regions` are graphs.
//! The types of results may be left out; where they are stated they are checked.
//!
//! * Floats are texts, since JSON's numbers are read with rounding by many programs: the shortest decimals that give the same bits, `inf`,
//!   `nan`, and `0x…` for the bits of other NaNs. Integers are numbers, truth values `true` and `false`.
//! * Extents that are not constant are texts in the syntax of the text form, such as `"2*N + 1"`; as attributes they stand in
//!   `{"dim": …}`. Attributes that are floats stand in `{"real": "0.5"}`, quoted texts in `{"text": …}`; bare words, such as element types, are texts.
//! * As in the text form, dead nodes and unused constants without a name are left out, and large constants stand in a safetensors file.

mod element;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

pub use read::{ReadOptions, from_str};
pub use write::{WriteOptions, Written, to_string};

/// Regions nest at most this deep in JSON: readers, this one too, bound the nesting of values.
pub const MAX_REGION_DEPTH: usize = 20;

/// What is wrong with a JSON text, or why a module has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{}{reason}", if place.is_empty() { "" } else { ": " })]
pub struct JsonError {
    /// Where, such as ``function `main`, node 3``, or line and column; empty for the text as a whole.
    pub place: String,
    /// What.
    pub reason: String,
}

impl JsonError {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> JsonError {
        JsonError { place: place.into(), reason: reason.into() }
    }

    /// The same error, further out.
    fn within(self, outer: &str) -> JsonError {
        let gap = if self.place.is_empty() { "" } else { ", " };
        JsonError { place: format!("{outer}{gap}{}", self.place), ..self }
    }
}
