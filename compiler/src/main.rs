//! The `graven` command line.
fn main() {}
