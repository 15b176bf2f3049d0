//! Objects of every target, and libraries, headers and executables of this one.

mod linked;
mod objects;
