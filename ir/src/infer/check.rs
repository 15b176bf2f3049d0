//! Checks that several rules share. Each gives one sentence on failure.

use super::{ResultTypes, Rule};
use crate::{DType, Dim, Graph, MAX_ELEMENTS, Op, Shape, TensorType};
use std::fmt;

/// An extent with more atoms than this is refused: the cost of comparing it would grow without bound.
pub(crate) const MAX_ATOMS: usize = 256;

/// Prints extents as `[N, 3]`.
pub struct Extents<'a>(pub &'a [Dim]);

impl fmt::Display for Extents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", texts.join(", "))
    }
}

/// The operands, if there are as many as the op takes.
pub fn operands<'a, const N: usize>(given: &[&'a TensorType]) -> Result<[&'a TensorType; N], String> {
    given.try_into().map_err(|_| format!("takes {N} operands, not {}", given.len()))
}

/// The operands, where those after the first `required` may be left out.
pub fn operand_range(given: &[&TensorType], required: usize, all: usize) -> Result<(), String> {
    match (required..=all).contains(&given.len()) {
        true => Ok(()),
        false => Err(format!("takes {required} to {all} operands, not {}", given.len())),
    }
}

/// An op has as many regions as its row says.
pub fn region_count(op: &Op, regions: &[Graph]) -> Result<(), String> {
    match (op.region_count(), regions.len()) {
        (expected, given) if expected == given => Ok(()),
        (expected, given) => Err(format!("has {expected} regions, not {given}")),
    }
}

/// A result has neither an extent that is negative for all values of the symbols nor too many elements.
pub fn result_size(ty: &TensorType) -> Result<(), String> {
    ty.shape.iter().try_for_each(simple)?;
    if let Some(extent) = ty.shape.iter().find(|extent| extent.upper() < 0) {
        return Err(format!("the result {ty} has the negative extent {extent}"));
    }
    match ty.checked_upper_elements() {
        Some(_) => Ok(()),
        None => Err(format!("the result {ty} may have more than {MAX_ELEMENTS} elements")),
    }
}

/// A dim whose cost is bounded.
pub fn simple(dim: &Dim) -> Result<(), String> {
    match dim.has_more_atoms_than(MAX_ATOMS) {
        true => Err(format!("an extent has more than {MAX_ATOMS} symbols and functions of symbols")),
        false => Ok(()),
    }
}

/// An amount of elements, perhaps negative, that sums can't make overflow.
pub fn amount(what: &str, dim: &Dim) -> Result<(), String> {
    simple(dim)?;
    match dim.bounds() {
        (low, high) if low < -MAX_ELEMENTS || high > MAX_ELEMENTS => {
            Err(format!("{what} {dim} may be beyond ±{MAX_ELEMENTS}"))
        }
        _ => Ok(()),
    }
}

/// A count such as a stride.
pub fn count(what: &str, value: i64, least: i64) -> Result<(), String> {
    match value {
        v if v < least => Err(format!("{what} is {v} but must be at least {least}")),
        v if v > MAX_ELEMENTS => Err(format!("{what} is {v} but must be at most {MAX_ELEMENTS}")),
        _ => Ok(()),
    }
}

/// The number of elements, unless the polynomial gets too large.
pub fn elements(shape: &[Dim]) -> Result<Dim, String> {
    let mut product = Dim::ONE;
    for dim in shape {
        product = &product * dim;
        simple(&product)?;
    }
    Ok(product)
}

/// An axis within the dimensions of `ty`.
pub fn axis(what: &str, axis: usize, ty: &TensorType) -> Result<(), String> {
    match axis < ty.rank() {
        true => Ok(()),
        false => Err(format!("{what} {axis} is not below the rank of {ty}")),
    }
}

/// Distinct dimensions of `ty`.
pub fn distinct_axes(what: &str, axes: &[usize], ty: &TensorType) -> Result<(), String> {
    let mut seen = vec![false; ty.rank()];
    for place in axes {
        axis(what, *place, ty)?;
        if std::mem::replace(&mut seen[*place], true) {
            return Err(format!("{what} {place} is listed twice"));
        }
    }
    Ok(())
}

/// A list with one entry per dimension.
pub fn per_dimension<T>(what: &str, list: &[T], rank: usize) -> Result<(), String> {
    match list.len() == rank {
        true => Ok(()),
        false => Err(format!("`{what}` has {} entries for {rank} dimensions", list.len())),
    }
}

/// Two extents that must be equal.
pub fn same_extent(what: &str, a: &Dim, b: &Dim) -> Result<(), String> {
    match a == b {
        true => Ok(()),
        false => Err(format!("{what} must be equal but are {a} and {b}")),
    }
}

/// Two shapes that must be equal.
pub fn same_shape(what: &str, a: &[Dim], b: &[Dim]) -> Result<(), String> {
    match a == b {
        true => Ok(()),
        false => Err(format!("{what} must be equal but are {} and {}", Extents(a), Extents(b))),
    }
}

/// `a` can be at most `b`.
pub fn at_most(what: &str, a: &Dim, b: &Dim) -> Result<(), String> {
    match (a - b).lower() > 0 {
        true => Err(format!("{what} is {a}, which is more than {b}")),
        false => Ok(()),
    }
}

/// A dtype that must be another operand's.
pub fn same_dtype(what: &str, a: DType, b: DType) -> Result<(), String> {
    match a == b {
        true => Ok(()),
        false => Err(format!("{what} must be equal but are {a} and {b}")),
    }
}

/// A floating-point tensor.
pub fn float(what: &str, ty: &TensorType) -> Result<(), String> {
    match ty.dtype.is_float() {
        true => Ok(()),
        false => Err(format!("{what} must be of a float type, not {ty}")),
    }
}

/// An integer tensor; bool is none.
pub fn integer(what: &str, ty: &TensorType) -> Result<(), String> {
    match ty.dtype.is_int() {
        true => Ok(()),
        false => Err(format!("{what} must be of an integer type, not {ty}")),
    }
}

/// A tensor of anything but bool.
pub fn numeric(what: &str, ty: &TensorType) -> Result<(), String> {
    match ty.dtype != DType::Bool {
        true => Ok(()),
        false => Err(format!("{what} must be numbers, not {ty}")),
    }
}

/// A tensor of exactly one type.
pub fn is_type(what: &str, ty: &TensorType, expected: &TensorType) -> Result<(), String> {
    match ty == expected {
        true => Ok(()),
        false => Err(format!("{what} must be {expected}, not {ty}")),
    }
}

/// Types that must be those of a list, in order.
pub fn same_types(what: &str, given: &[TensorType], expected: &[TensorType]) -> Result<(), String> {
    if given.len() != expected.len() {
        return Err(format!("{what}: {} given, {} expected", given.len(), expected.len()));
    }
    match given.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(place) => Err(format!("{what}: number {place} is {}, not {}", given[place], expected[place])),
    }
}

/// A result of the given parts.
pub fn tensor(dtype: DType, shape: impl Into<Shape>) -> Rule {
    Ok(TensorType { dtype, shape: shape.into() })
}

/// Values with the indices that they come from.
pub fn with_indices(values: TensorType) -> ResultTypes {
    let indices = values.with_dtype(DType::I64);
    ResultTypes::from_iter([values, indices])
}
