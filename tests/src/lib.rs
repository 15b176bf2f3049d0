//! Tests of the Graven compiler.
