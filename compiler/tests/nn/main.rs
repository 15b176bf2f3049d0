//! Layers of the builder equal those that `record.py` has recorded from PyTorch, and models of them train.

mod layers;
mod memory;
mod models;
mod random;
mod record;
