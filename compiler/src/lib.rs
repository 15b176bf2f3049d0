//! Graven compiles neural-network models to native CPU code.
