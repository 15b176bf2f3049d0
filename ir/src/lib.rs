//! The graph IR of Graven.
