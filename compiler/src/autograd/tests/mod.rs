//! Gradients against central differences in f64, for every row of the op table, first and second order.

mod cases;
mod difference;
mod points;
mod rows;
