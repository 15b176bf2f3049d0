//! Arithmetic on known elements.

use super::Inputs;
use crate::import::onnx::context::NodeContext;
use crate::import::onnx::symbolic::{Fraction, MAX_ELEMENTS, SymbolicTensor};
use graven_ir::{DType, Dim};

/// Linear indices into a tensor of shape `own` for each element of `shape`, to which it is broadcast as numpy does.
pub(super) fn broadcast_places(own: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
    let count = shape.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent))?;
    let offset = shape.len().checked_sub(own.len())?;
    if count > MAX_ELEMENTS || own.iter().zip(&shape[offset..]).any(|(a, b)| a != b && *a != 1) {
        return None;
    }
    let place = |mut linear: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..shape.len()).rev() {
            let index = linear % shape[axis];
            linear /= shape[axis];
            if let Some(extent) = axis.checked_sub(offset).map(|axis| own[axis]) {
                place += index.min(extent - 1) * stride;
                stride *= extent;
            }
        }
        place
    };
    Some((0..count).map(place).collect())
}

/// The shape to which numpy broadcasts both.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let join = |axis| match (extent(a, axis), extent(b, axis)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    };
    (0..rank).map(join).collect()
}

/// Elements of a tensor, broadcast to `shape`.
fn broadcast(tensor: &SymbolicTensor, shape: &[usize]) -> Option<Vec<Fraction>> {
    let places = broadcast_places(&tensor.shape, shape)?;
    Some(places.into_iter().map(|place| tensor.elements[place].clone()).collect())
}

/// An operator of one operand.
pub(super) fn unary(inputs: &Inputs, function: fn(&Fraction) -> Option<Fraction>) -> Option<SymbolicTensor> {
    let [Some(x)] = inputs else { return None };
    let elements: Option<Vec<Fraction>> = x.elements.iter().map(function).collect();
    Some(SymbolicTensor { dtype: x.dtype, shape: x.shape.clone(), elements: elements? })
}

/// The elementwise combination of two tensors after broadcasting.
fn combine<T>(
    x: &SymbolicTensor,
    y: &SymbolicTensor,
    function: impl Fn(&Fraction, &Fraction) -> Option<T>,
) -> Option<(Vec<usize>, Vec<T>)> {
    let shape = broadcast_shape(&x.shape, &y.shape)?;
    let (xs, ys) = (broadcast(x, &shape)?, broadcast(y, &shape)?);
    let elements: Option<Vec<T>> = xs.iter().zip(&ys).map(|(x, y)| function(x, y)).collect();
    Some((shape, elements?))
}

/// An operator of two or more operands of one dtype, applied from left to right.
pub(super) fn binary(
    inputs: &Inputs,
    function: fn(&Fraction, &Fraction) -> Option<Fraction>,
) -> Option<SymbolicTensor> {
    let (first, rest) = inputs.split_first()?;
    let mut result = first.as_deref()?.clone();
    for other in rest {
        let other = other.as_deref().filter(|other| other.dtype == result.dtype)?;
        let (shape, elements) = combine(&result, other, function)?;
        result = SymbolicTensor { dtype: result.dtype, shape, elements };
    }
    Some(result)
}

pub(super) fn add(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let (x, y, denominator) = a.aligned(b);
    Fraction::bounded(x + y, denominator)
}

pub(super) fn sub(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let (x, y, denominator) = a.aligned(b);
    Fraction::bounded(x - y, denominator)
}

pub(super) fn mul(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    Fraction::bounded(&a.numerator * &b.numerator, a.denominator.checked_mul(b.denominator)?)
}

pub(super) fn minimum(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let (x, y, denominator) = a.aligned(b);
    Fraction::bounded(x.minimum(&y), denominator)
}

pub(super) fn maximum(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let (x, y, denominator) = a.aligned(b);
    Fraction::bounded(x.maximum(&y), denominator)
}

pub(super) fn negate(a: &Fraction) -> Option<Fraction> {
    Fraction::bounded(-a.numerator.clone(), a.denominator)
}

pub(super) fn absolute(a: &Fraction) -> Option<Fraction> {
    Fraction::bounded(a.numerator.maximum(&-a.numerator.clone()), a.denominator)
}

/// Integer division truncates, which is the floor of non-negative quotients.
pub(super) fn div(_: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let is_float = inputs.first()?.as_ref()?.dtype.is_float();
    binary(inputs, if is_float { divide_floats } else { divide_ints })
}

fn divide_ints(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let (x, y) = (&a.numerator, &b.numerator);
    if let (Some(x), Some(y)) = (x.as_const(), y.as_const()) {
        return Some(Dim::from(x.checked_div(y)?).into());
    }
    (x.lower() >= 0 && y.lower() >= 1).then(|| x.floor_div(y)).and_then(|dim| Fraction::bounded(dim, 1))
}

fn divide_floats(a: &Fraction, b: &Fraction) -> Option<Fraction> {
    let numerator = &a.numerator * &Dim::from(b.denominator);
    match b.numerator.as_const() {
        Some(divisor) if divisor > 0 => Fraction::bounded(numerator, a.denominator.checked_mul(divisor)?),
        Some(_) => None,
        None => {
            let exact = b.numerator.lower() >= 1 && numerator.modulo(&b.numerator).is(0);
            exact
                .then(|| numerator.floor_div(&b.numerator))
                .and_then(|dim| Fraction::bounded(dim, a.denominator))
        }
    }
}

/// The remainder with the divisor's sign; with `fmod` that of the dividend, the same for non-negative numbers.
pub(super) fn modulo(c: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let fmod = c.flag("fmod", false).ok()?;
    let first = inputs.first()?.as_ref()?;
    if first.dtype.is_float() || (fmod && first.elements.iter().any(|value| value.numerator.lower() < 0)) {
        return None;
    }
    binary(inputs, |a, b| {
        let positive = b.numerator.lower() >= 1;
        positive.then(|| a.numerator.modulo(&b.numerator)).and_then(|dim| Fraction::bounded(dim, 1))
    })
}

fn bools(shape: Vec<usize>, values: Vec<bool>) -> SymbolicTensor {
    let elements = values.into_iter().map(|value| Dim::from(value as i64).into()).collect();
    SymbolicTensor { dtype: DType::Bool, shape, elements }
}

/// A comparison that the bounds of the extents decide.
pub(super) fn compare(
    inputs: &Inputs,
    function: fn(&Fraction, &Fraction) -> Option<bool>,
) -> Option<SymbolicTensor> {
    let [Some(x), Some(y)] = inputs else { return None };
    let (shape, values) = combine(x, y, function)?;
    Some(bools(shape, values))
}

pub(super) fn equal(a: &Fraction, b: &Fraction) -> Option<bool> {
    let (x, y, _) = a.aligned(b);
    let (low, high) = (x - y).bounds();
    match (low, high) {
        (0, 0) => Some(true),
        _ if low > 0 || high < 0 => Some(false),
        _ => None,
    }
}

pub(super) fn less(a: &Fraction, b: &Fraction) -> Option<bool> {
    let (x, y, _) = a.aligned(b);
    let (low, high) = (x - y).bounds();
    match (high < 0, low >= 0) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn truth(value: &Fraction) -> Option<bool> {
    equal(value, &Dim::ZERO.into()).map(|zero| !zero)
}

/// A function of two truth values.
pub(super) fn logical(inputs: &Inputs, function: fn(bool, bool) -> bool) -> Option<SymbolicTensor> {
    let [Some(x), Some(y)] = inputs else { return None };
    let (shape, values) = combine(x, y, |a, b| Some(function(truth(a)?, truth(b)?)))?;
    Some(bools(shape, values))
}

pub(super) fn not(_: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x)] = inputs else { return None };
    let values: Option<Vec<bool>> = x.elements.iter().map(|value| truth(value).map(|truth| !truth)).collect();
    Some(bools(x.shape.clone(), values?))
}

/// `Where` with a known condition.
pub(super) fn select(_: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(condition), Some(x), Some(y)] = inputs else { return None };
    let shape = broadcast_shape(&broadcast_shape(&condition.shape, &x.shape)?, &y.shape)?;
    let (xs, ys) = (broadcast(x, &shape)?, broadcast(y, &shape)?);
    let pick = |(condition, (x, y)): (Fraction, (Fraction, Fraction))| match x == y {
        true => Some(x),
        false => Some(if truth(&condition)? { x } else { y }),
    };
    let conditions = broadcast(condition, &shape)?;
    let elements: Option<Vec<Fraction>> =
        conditions.into_iter().zip(xs.into_iter().zip(ys)).map(pick).collect();
    Some(SymbolicTensor { dtype: x.dtype, shape, elements: elements? })
}

pub(super) fn cast(c: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let to = c.dtype_attribute("to").ok()??;
    convert(inputs.first()?.as_deref()?, to)
}

pub(super) fn cast_like(_: &NodeContext<'_, '_, '_>, inputs: &Inputs) -> Option<SymbolicTensor> {
    let [Some(x), Some(like)] = inputs else { return None };
    convert(x, like.dtype)
}

/// Conversion by value; fractions are truncated on the way to integers.
fn convert(x: &SymbolicTensor, to: DType) -> Option<SymbolicTensor> {
    let element = |value: &Fraction| match to {
        DType::Bool => truth(value).map(|truth| Dim::from(truth as i64).into()),
        _ if to.is_float() || value.denominator == 1 => Some(value.clone()),
        _ if value.numerator.lower() >= 0 => Some(value.floor().into()),
        _ if value.numerator.upper() <= 0 => Some(value.ceil().into()),
        _ => None,
    };
    let elements: Option<Vec<Fraction>> = x.elements.iter().map(element).collect();
    Some(SymbolicTensor { dtype: to, shape: x.shape.clone(), elements: elements? })
}
