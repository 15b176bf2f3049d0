#![no_std]
//! The runtime that executables made by Graven link.
