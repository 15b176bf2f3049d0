//! How two arrays differ.

use graven_ir::Tensor;

/// The bounds of a comparison: |actual − expected| ≤ `atol` + `rtol`·|expected|, as in `numpy.allclose`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) rtol: f64,
    pub(super) atol: f64,
}

/// How an array differs from what is expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    /// It has another element type or shape.
    Type {
        /// In words.
        expected: String,
        /// In words.
        actual: String,
    },
    /// Elements were compared.
    Elements(Elements),
}

/// The differences of elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Elements {
    /// Greatest absolute difference.
    pub(super) max_abs: f64,
    /// Greatest difference relative to the expected value, where that is not zero.
    pub(super) max_rel: f64,
    /// Elements outside the bounds.
    pub(super) wrong: usize,
    /// Elements altogether.
    pub(super) count: usize,
    /// The element that exceeds its bound most, or comes nearest to it.
    pub(super) worst: Option<Worst>,
}

/// An element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Worst {
    /// Its coordinates.
    pub(super) index: Vec<usize>,
    pub(super) expected: f64,
    pub(super) actual: f64,
    /// Its difference divided by its bound.
    excess: f64,
}

impl Comparison {
    /// Whether the array is as expected.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Comparison::Elements(Elements { wrong: 0, .. }))
    }
}

/// Compares a tensor with what is expected. NaN equals NaN and nothing else; infinities equal themselves.
pub(super) fn compare(actual: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Comparison {
    if actual.dtype() != expected.dtype() || actual.shape() != expected.shape() {
        let words = |tensor: &Tensor| tensor.ty().to_string();
        return Comparison::Type { expected: words(expected), actual: words(actual) };
    }
    let mut elements = Elements { count: actual.len(), ..Elements::default() };
    if actual.data() == expected.data() {
        return Comparison::Elements(elements);
    }
    let values = actual.to_f64s().into_iter().zip(expected.to_f64s());
    for (place, (value, wanted)) in values.enumerate() {
        elements.add(place, value, wanted, tolerance, actual.shape());
    }
    Comparison::Elements(elements)
}

impl Elements {
    fn add(&mut self, place: usize, actual: f64, expected: f64, tolerance: Tolerance, shape: &[usize]) {
        if actual == expected || actual.is_nan() && expected.is_nan() {
            return;
        }
        let difference = (actual - expected).abs();
        let difference = if difference.is_nan() { f64::INFINITY } else { difference };
        let bound = tolerance.atol + tolerance.rtol * expected.abs();
        let bound = if bound.is_nan() || expected.is_infinite() { tolerance.atol } else { bound };
        self.max_abs = self.max_abs.max(difference);
        if expected != 0.0 && expected.is_finite() {
            self.max_rel = self.max_rel.max(difference / expected.abs());
        }
        let within = difference <= bound;
        self.wrong += usize::from(!within);
        let excess = if within && bound == 0.0 { 0.0 } else { difference / bound };
        if self.worst.as_ref().is_none_or(|worst| excess > worst.excess) {
            self.worst = Some(Worst { index: coordinates(place, shape), expected, actual, excess });
        }
    }
}

/// The coordinates of the n-th element in row-major order.
fn coordinates(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (coordinate, extent) in index.iter_mut().zip(shape).rev() {
        *coordinate = place % extent.max(&1);
        place /= extent.max(&1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { rtol: 1e-3, atol: 1e-4 };

    fn elements(actual: &[f32], expected: &[f32]) -> Elements {
        let tensor = |values: &[f32]| Tensor::from_f32s(vec![values.len()], values).unwrap();
        match compare(&tensor(actual), &tensor(expected), TOLERANCE) {
            Comparison::Elements(elements) => elements,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_worst_element_is_the_one_farthest_beyond_its_bound() {
        let expected: Vec<f32> = vec![1000.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let actual = vec![1000.5, 0.00005, 1.2, 0.0, 0.0, 0.0];
        let tensor = |values: &[f32]| Tensor::from_f32s(vec![2, 3], values).unwrap();
        let Comparison::Elements(found) = compare(&tensor(&actual), &tensor(&expected), TOLERANCE) else {
            panic!()
        };
        assert_eq!((found.wrong, found.count), (1, 6));
        let worst = found.worst.unwrap();
        assert_eq!(worst.index, [0, 2]);
        assert_eq!((worst.expected, worst.actual), (1.0, f64::from(1.2f32)));
        assert_eq!(found.max_abs, 0.5);
    }

    #[test]
    fn nan_and_infinity() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(elements(&[nan, inf, -inf], &[nan, inf, -inf]).wrong, 0);
        for (actual, expected) in [(nan, 1.0), (1.0, nan), (inf, 1.0), (1.0, inf), (inf, -inf), (nan, inf)] {
            let found = elements(&[actual], &[expected]);
            assert_eq!((found.wrong, found.max_abs), (1, f64::INFINITY), "{actual} {expected}");
        }
    }

    #[test]
    fn other_types_never_pass() {
        let a = Tensor::from_f32s(vec![2], &[1.0, 2.0]).unwrap();
        let b = Tensor::from_f32s(vec![2, 1], &[1.0, 2.0]).unwrap();
        assert!(!compare(&a, &b, TOLERANCE).passes());
        assert!(!compare(&a, &Tensor::from_i64s(&[1, 2]), TOLERANCE).passes());
        assert!(compare(&a, &a, Tolerance { rtol: 0.0, atol: 0.0 }).passes());
    }
}
