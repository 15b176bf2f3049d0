//! Places of elements: row-major strides and walks over strided views.

use super::EvalErrorKind;

/// Elements between neighbours along each dimension, in row-major order.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension] * shape[dimension] as isize;
    }
    strides
}

/// Extents before `axis` (multiplied), of `axis`, and after it (multiplied): element i of the lane (outer, inner) is
/// at (outer · extent + i) · inner extent + inner.
pub(super) fn split(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// The places of the first elements of all lanes along `axis`, with [`split`]'s last extent between neighbours.
pub(super) fn lanes(shape: &[usize], axis: usize) -> impl Iterator<Item = usize> {
    let (outer, extent, inner) = split(shape, axis);
    (0..outer).flat_map(move |o| (0..inner).map(move |i| o * extent * inner + i))
}

/// The places that a strided view visits, its indices in row-major order.
///
/// The caller makes sure that no place is negative.
pub(super) struct View {
    /// Extents.
    pub(super) shape: Vec<usize>,
    /// Elements between neighbours along each dimension; 0 repeats, negative reverses.
    pub(super) strides: Vec<isize>,
    /// Place of the first element.
    pub(super) start: isize,
}

impl View {
    /// All elements in row-major order.
    #[cfg(test)]
    pub(super) fn whole(shape: &[usize]) -> View {
        View { shape: shape.to_vec(), strides: strides(shape), start: 0 }
    }

    /// The places.
    pub(super) fn places(self) -> Places {
        let left = self.shape.iter().product();
        Places { index: vec![0; self.shape.len()], place: self.start, left, view: self }
    }
}

/// The iterator of [`View::places`].
pub(super) struct Places {
    view: View,
    index: Vec<usize>,
    place: isize,
    left: usize,
}

impl Places {
    /// The index of the element that `next` gave last has been left behind; this is the one that it will give next.
    fn advance(&mut self) {
        for dimension in (0..self.index.len()).rev() {
            self.index[dimension] += 1;
            self.place += self.view.strides[dimension];
            if self.index[dimension] < self.view.shape[dimension] {
                return;
            }
            self.place -= self.view.strides[dimension] * self.view.shape[dimension] as isize;
            self.index[dimension] = 0;
        }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place as usize;
        self.advance();
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Calls `visit` with the linear place and the index of every element, in row-major order.
pub(super) fn for_each_index(
    shape: &[usize],
    mut visit: impl FnMut(usize, &[usize]) -> Result<(), EvalErrorKind>,
) -> Result<(), EvalErrorKind> {
    let mut index = vec![0; shape.len()];
    for place in 0..shape.iter().product() {
        visit(place, &index)?;
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            if index[dimension] < shape[dimension] {
                break;
            }
            index[dimension] = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_visit_in_row_major_order() {
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert!(View::whole(&[2, 3]).places().eq(0..6));
        let transposed = View { shape: vec![3, 2], strides: vec![1, 3], start: 0 };
        assert!(transposed.places().eq([0, 3, 1, 4, 2, 5]));
        let reversed = View { shape: vec![2, 2], strides: vec![0, -1], start: 1 };
        assert!(reversed.places().eq([1, 0, 1, 0]));
        let scalar = View { shape: vec![], strides: vec![], start: 3 };
        assert!(scalar.places().eq([3]));
        let empty = View { shape: vec![2, 0], strides: vec![1, 1], start: 0 };
        assert_eq!(empty.places().count(), 0);
    }

    #[test]
    fn lanes_along_a_middle_axis() {
        assert_eq!(split(&[2, 3, 4], 1), (2, 3, 4));
        assert!(lanes(&[2, 3, 2], 1).eq([0, 1, 6, 7]));
        assert!(lanes(&[3], 0).eq([0]));
        assert_eq!(lanes(&[0, 3], 1).count(), 0);
    }
}
