//! Importers: model files to graph IR.
//!
//! * [`onnx`]: ONNX models
//! * [`ImportOptions`]: what the user says about symbolic extents and inputs
//! * [`BatchNorm`]: which statistics batch normalisation uses
//! * [`MemoryBudget`]: how much memory an import may take
//! * [`Imported`], [`ImportReport`]: what comes out

mod budget;
pub mod onnx;

pub use budget::{MemoryBudget, MemoryExhausted};

use crate::error::UnsupportedNode;
use graven_ir::{Module, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// What a named extent of the inputs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimBinding {
    /// One value: the model is compiled for it (`--dim N=8`).
    Fixed(i64),
    /// Any value from the first to the second: it stays a run-time extent (`--dim N=1..=32`).
    Range(i64, i64),
}

/// Which statistics `BatchNormalization` uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNorm {
    /// What the node says: the running ones, or those of the batch in its training mode.
    #[default]
    AsWritten,
    /// The running ones, whatever the node says.
    Running,
    /// Those of the batch, with the biased variance. Running statistics that are initialisers of the model become states of the function, blended as
    /// running · momentum + batch · (1 − momentum) with the unbiased variance, as PyTorch does. A state's first value is the module's constant of
    /// its name.
    Batch,
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
    /// Which statistics batch normalisation uses.
    pub batch_norm: BatchNorm,
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

/// What an importer could not translate, and what it found out about constants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Nodes that can't be compiled. In a successful import no output depends on them.
    pub unsupported: Vec<UnsupportedNode>,
    /// Names of constants that are running statistics of batch normalisations: no gradient trains them.
    pub statistics: BTreeSet<String>,
}
