//! The `graven` command, started as users start it.

mod graven;
mod misuse;
mod products;
mod reports;
mod text;
mod train;
