//! The shape of the JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What `format` says.
pub(super) const FORMAT: &str = "graven";
/// What `version` says.
pub(super) const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub format: String,
    pub version: u32,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub symbols: Vec<Symbol>,
    #[serde(default)]
    pub constants: Vec<Constant>,
    pub functions: Vec<Function>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Symbol {
    pub name: String,
    pub lower: i64,
    pub upper: i64,
}

/// Elements in row-major order, one that all are equal to, or a place in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {
    #[serde(default)]
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<Json>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splat: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub name: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    #[serde(default)]
    pub states: Vec<String>,
    pub graph: Graph,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Graph {
    pub params: Vec<Value>,
    pub nodes: Vec<Node>,
    pub results: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Value {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub dtype: String,
    pub shape: Vec<Extent>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Extent {
    Constant(i64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub op: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operands: Vec<usize>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, Json>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Graph>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}
