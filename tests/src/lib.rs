//! Tests of the Graven compiler.
//!
//! * [`differential`]: compiled code against the interpreter
//! * [`filetest`]: tests that are files of the graph or kernel IR with what is expected of them
//! * [`choices`]: random structures that shrink
//! * [`cross`]: objects of other architectures, linked and emulated
//! * [`data`]: arrays of npz files, comparison with tolerances
//! * [`executor`]: ways to run a module
//! * [`kernel`]: single kernels, interpreted and compiled
//! * [`models`]: real models with reference outputs
//! * [`random_graph`]: graphs with inputs
//! * [`node_tests`]: ONNX's own tests of single operators

pub mod choices;
pub mod cross;
pub mod data;
pub mod differential;
pub mod executor;
pub mod filetest;
pub mod kernel;
pub mod models;
pub mod node_tests;
pub mod random_graph;
