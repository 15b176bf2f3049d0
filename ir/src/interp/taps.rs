//! Where windows and kernels meet the elements of an operand.

use super::index::strides;

/// How a window slides along one dimension.
pub(super) struct Sliding {
    /// Extent of the operand.
    pub(super) input: usize,
    /// Elements of the window.
    pub(super) size: usize,
    /// Number of windows.
    pub(super) output: usize,
    /// Places between two windows.
    pub(super) stride: i64,
    /// Places between two elements of a window.
    pub(super) dilation: i64,
    /// Places between two elements of the operand.
    pub(super) base_dilation: i64,
    /// Places before the first element; negative cuts.
    pub(super) padding_low: i64,
    /// Distance of neighbours in the operand.
    pub(super) input_stride: isize,
    /// Distance of neighbours in the kernel; 0 for windows.
    pub(super) kernel_stride: isize,
}

/// An operand element and the kernel element that it meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tap {
    /// Place in the operand.
    pub(super) input: usize,
    /// Place in the kernel.
    pub(super) kernel: usize,
}

impl Sliding {
    /// The taps of each window, without those that fall between elements or into the padding.
    fn taps(&self) -> Vec<Vec<Tap>> {
        let window = |o: usize| (0..self.size).filter_map(move |k| self.tap(o, k)).collect();
        (0..self.output).map(window).collect()
    }

    fn tap(&self, output: usize, element: usize) -> Option<Tap> {
        let place = output as i128 * i128::from(self.stride) + element as i128 * i128::from(self.dilation)
            - i128::from(self.padding_low);
        let base = i128::from(self.base_dilation);
        if place % base != 0 {
            return None;
        }
        let input = usize::try_from(place / base).ok().filter(|input| *input < self.input)?;
        Some(Tap { input: input * self.input_stride as usize, kernel: element * self.kernel_stride as usize })
    }
}

/// The taps of multi-dimensional windows: one table per dimension, combined on demand.
pub(super) struct Taps(Vec<Vec<Vec<Tap>>>);

impl Taps {
    /// The tables of all dimensions.
    pub(super) fn new(dimensions: &[Sliding]) -> Taps {
        Taps(dimensions.iter().map(Sliding::taps).collect())
    }

    /// Writes the taps of the window at `index` to `taps`, the last dimension fastest. `others` is space for the work.
    pub(super) fn at(&self, index: &[usize], taps: &mut Vec<Tap>, others: &mut Vec<Tap>) {
        taps.clear();
        taps.push(Tap::default());
        for (dimension, i) in self.0.iter().zip(index) {
            others.clear();
            for outer in taps.iter() {
                others.extend(
                    dimension[*i]
                        .iter()
                        .map(|tap| Tap { input: outer.input + tap.input, kernel: outer.kernel + tap.kernel }),
                );
            }
            std::mem::swap(taps, others);
        }
    }
}

/// The dimensions of a window that slides over all of `shape`.
pub(super) fn window_dimensions(
    shape: &[usize],
    output: &[usize],
    size: &[i64],
    stride: &[i64],
    dilation: &[i64],
    padding_low: &[i64],
) -> Vec<Sliding> {
    let own = strides(shape);
    let dimension = |d: usize| Sliding {
        input: shape[d],
        size: usize::try_from(size[d]).unwrap_or(0),
        output: output[d],
        stride: stride[d],
        dilation: dilation[d],
        base_dilation: 1,
        padding_low: padding_low[d],
        input_stride: own[d],
        kernel_stride: 0,
    };
    (0..shape.len()).map(dimension).collect()
}
