//! Tests of the Graven compiler.
//!
//! * [`filetest`]: tests that are files of the graph or kernel IR with what is expected of them

pub mod filetest;
