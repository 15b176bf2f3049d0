//! Importers: model files to graph IR.
//!
//! * [`onnx`]: ONNX models
//! * [`ImportOptions`]: what the user says about symbolic extents and inputs
//! * [`MemoryBudget`]: how much memory an import may take
//! * [`Imported`], [`ImportReport`]: what comes out

mod budget;
pub mod onnx;

pub use budget::{MemoryBudget, MemoryExhausted};

use crate::error::UnsupportedNode;
use graven_ir::{Module, Tensor};
use std::collections::BTreeMap;

/// What a named extent of the inputs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimBinding {
    /// One value: the model is compiled for it (`--dim N=8`).
    Fixed(i64),
    /// Any value from the first to the second: it stays a run-time extent (`--dim N=1..=32`).
    Range(i64, i64),
}

/// What the user says about a model's inputs.
///
/// An extent gets its value from [`inputs`](Self::inputs), else from [`input_shapes`](Self::input_shapes), else from
/// [`dims`](Self::dims).
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Values or ranges of extents by name. An extent without a name is called after its input and place: `x_0`.
    pub dims: BTreeMap<String, DimBinding>,
    /// Actual shapes of inputs.
    pub input_shapes: BTreeMap<String, Vec<usize>>,
    /// Values of inputs, which become constants and disappear from the signature.
    pub inputs: BTreeMap<String, Tensor>,
    /// Memory that the import may take.
    pub memory: MemoryBudget,
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The model as a module with the function `main`.
    pub module: Module,
    /// What was left out.
    pub report: ImportReport,
}

/// What an importer could not translate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Nodes that can't be compiled. In a successful import no output depends on them.
    pub unsupported: Vec<UnsupportedNode>,
}
