//! `Unique` of a constant: how many elements are left depends on the data, so the data must be known.

use crate::import::onnx::context::{NodeContext, Output, Outputs, normalize_axis};
use crate::import::onnx::failure::{Failure, Result};
use graven_ir::Tensor;
use std::cmp::Ordering;

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// Elements in an order of their type.
enum Elements {
    Ints(Vec<i128>),
    Floats(Vec<f64>),
}

impl Elements {
    fn of(tensor: &Tensor) -> Elements {
        match tensor.to_ints() {
            Some(values) => Elements::Ints(values),
            None => Elements::Floats(tensor.to_f64s()),
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Elements::Ints(values) => values[a].cmp(&values[b]),
            // −0 equals 0.
            Elements::Floats(values) => {
                values[a].partial_cmp(&values[b]).unwrap_or_else(|| values[a].total_cmp(&values[b]))
            }
        }
    }
}

/// A tensor as slices along one dimension.
struct Slices {
    outer: usize,
    count: usize,
    inner: usize,
}

impl Slices {
    /// The linear index of an element of a slice.
    fn index(&self, slice: usize, element: usize) -> usize {
        let (outer, inner) = (element / self.inner, element % self.inner);
        (outer * self.count + slice) * self.inner + inner
    }

    fn compare(&self, elements: &Elements, a: usize, b: usize) -> Ordering {
        (0..self.outer * self.inner)
            .map(|element| elements.compare(self.index(a, element), self.index(b, element)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// Equal slices, in the order of the result.
struct Groups {
    /// The first slice of each group.
    first: Vec<usize>,
    /// The group of each slice.
    inverse: Vec<usize>,
    /// The size of each group.
    counts: Vec<usize>,
}

fn group(slices: &Slices, elements: &Elements, sorted: bool) -> Groups {
    let mut order: Vec<usize> = (0..slices.count).collect();
    order.sort_by(|a, b| slices.compare(elements, *a, *b));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for slice in order {
        match groups.last_mut() {
            Some(group) if slices.compare(elements, group[0], slice).is_eq() => group.push(slice),
            _ => groups.push(vec![slice]),
        }
    }
    if !sorted {
        // Sorting is stable: a group's first slice is the first that occurs.
        groups.sort_by_key(|group| group[0]);
    }
    let mut inverse = vec![0; slices.count];
    for (number, group) in groups.iter().enumerate() {
        group.iter().for_each(|slice| inverse[*slice] = number);
    }
    let counts = groups.iter().map(Vec::len).collect();
    Groups { first: groups.into_iter().map(|group| group[0]).collect(), inverse, counts }
}

/// `Unique`: distinct elements, or distinct slices along an axis; where each first occurs, which it is for every slice, and how often
/// it occurs.
pub(super) fn unique(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let tensor = c.constant_input(0, "the tensor, which decides how many elements are left,")?;
    let sorted = c.flag("sorted", true)?;
    let size = |error: graven_ir::SizeMismatch| Failure::BadInput(error.to_string());
    let (shape, axis) = match c.int("axis")? {
        None => (vec![tensor.len()], 0),
        Some(axis) => (tensor.shape().to_vec(), normalize_axis(axis, tensor.shape().len())?),
    };
    let slices = Slices {
        outer: shape[..axis].iter().product(),
        count: shape[axis],
        inner: shape[axis + 1..].iter().product(),
    };
    let groups = group(&slices, &Elements::of(&tensor), sorted);
    let mut kept = shape;
    kept[axis] = groups.first.len();
    let bytes = tensor.dtype().bytes();
    let data = tensor.to_bytes();
    let mut result = Vec::with_capacity(kept.iter().product::<usize>() * bytes);
    for outer in 0..slices.outer {
        for slice in &groups.first {
            let start = (outer * slices.count + slice) * slices.inner * bytes;
            result.extend(data.get(start..start + slices.inner * bytes).unwrap_or(&[]));
        }
    }
    let y = Tensor::new(tensor.dtype(), kept, result).map_err(size)?;
    let list = |values: &[usize]| {
        let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
        Output::Constant(Tensor::from_i64s(&values))
    };
    let lists = [&groups.first, &groups.inverse, &groups.counts].map(|values| list(values));
    Ok(Outputs([Output::Constant(y)].into_iter().chain(lists).collect()))
}
