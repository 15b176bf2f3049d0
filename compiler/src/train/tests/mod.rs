//! Losses, update rules, schedules and clipping against numbers that `record.py` has recorded from PyTorch in f64.

mod initializers;
mod torch;
