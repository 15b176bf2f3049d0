//! Tests of the Graven compiler.
//!
//! * [`differential`]: compiled code against the interpreter
//! * [`filetest`]: tests that are files of the graph or kernel IR with what is expected of them

pub mod differential;
pub mod filetest;
