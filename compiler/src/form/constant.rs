//! Constants seen through movement ops: what only rearranges a constant is done when its weights are packed, not at run time.

use graven_ir::{ConstantId, Constants, Dim, Graph, Node, Op, ValueId};

/// A value whose element at index i is element `offset` + Σ i\[d\]·`strides`\[d\] of a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstantView {
    /// The constant.
    pub id: ConstantId,
    /// Extents of the value.
    pub shape: Vec<usize>,
    /// The first element.
    pub offset: isize,
    /// Elements per step of each dimension.
    pub strides: Vec<isize>,
}

impl ConstantView {
    /// The view that a value is, if it is a constant or made from one by transposing, reversing, slicing and reshaping.
    pub fn of(constants: &Constants, graph: &Graph, value: ValueId) -> Option<ConstantView> {
        ConstantView::within(constants, graph, value, &|_| None)
    }

    /// The view that a value of a region is; `params` has those of the region's parameters.
    pub fn within(
        constants: &Constants,
        graph: &Graph,
        value: ValueId,
        params: &dyn Fn(usize) -> Option<ConstantView>,
    ) -> Option<ConstantView> {
        let Some(id) = graph.defining_node(value) else {
            return params(graph.params().iter().position(|param| *param == value)?);
        };
        let node = graph.node(id);
        let operand = |n: usize| ConstantView::within(constants, graph, *node.operands.get(n)?, params);
        match &node.op {
            Op::Constant { id } => {
                let shape = constants[*id].tensor.shape().to_vec();
                let strides = row_major(&shape);
                Some(ConstantView { id: *id, shape, offset: 0, strides })
            }
            Op::Fuse { .. } => {
                let region = node.regions.first()?;
                let place = node.results.iter().position(|result| *result == value)?;
                ConstantView::within(constants, region, *region.results().get(place)?, &operand)
            }
            _ => operand(0)?.moved(graph, node),
        }
    }

    /// Whether the value is the constant as it is, its shape aside.
    pub fn is_whole(&self) -> bool {
        self.offset == 0 && self.strides == row_major(&self.shape)
    }

    fn moved(mut self, graph: &Graph, node: &Node) -> Option<ConstantView> {
        let shape =
            graph.ty(*node.results.first()?).shape.iter().map(constant).collect::<Option<Vec<_>>>()?;
        match &node.op {
            Op::Transpose { permutation } => {
                self.strides = permutation.iter().map(|axis| self.strides[*axis]).collect();
            }
            Op::Reverse { axes } => {
                for axis in axes {
                    self.offset += self.strides[*axis] * (self.shape[*axis] as isize - 1).max(0);
                    self.strides[*axis] = -self.strides[*axis];
                }
            }
            Op::Slice { start, stride, .. } => {
                for (axis, (start, step)) in start.iter().zip(stride).enumerate() {
                    self.offset += self.strides[axis] * constant(start)? as isize;
                    self.strides[axis] *= isize::try_from(*step).ok()?;
                }
            }
            Op::Reshape { .. } => self.strides = reshaped(&self.shape, &self.strides, &shape)?,
            _ => return None,
        }
        self.shape = shape;
        Some(self)
    }
}

fn constant(dim: &Dim) -> Option<usize> {
    usize::try_from(dim.as_const()?).ok()
}

fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The strides of a view under another shape, if it has any: runs of dimensions of equal size must be evenly spaced on one side.
fn reshaped(from: &[usize], strides: &[isize], to: &[usize]) -> Option<Vec<isize>> {
    let mut result = vec![1; to.len()];
    let (mut i, mut j) = (0, 0);
    while i < from.len() && j < to.len() {
        let (mut i_end, mut j_end) = (i + 1, j + 1);
        let (mut old, mut new) = (from[i], to[j]);
        while old != new {
            if old < new {
                old *= from.get(i_end)?;
                i_end += 1;
            } else {
                new *= to.get(j_end)?;
                j_end += 1;
            }
        }
        // The old dimensions of the run must be one evenly spaced dimension.
        for axis in i + 1..i_end {
            if strides[axis - 1] != strides[axis] * from[axis] as isize {
                return None;
            }
        }
        let mut stride = strides[i_end - 1];
        for axis in (j..j_end).rev() {
            result[axis] = stride;
            stride *= to[axis] as isize;
        }
        (i, j) = (i_end, j_end);
    }
    let ones = |extents: &[usize]| extents.iter().all(|extent| *extent == 1);
    (ones(&from[i..]) && ones(&to[j..])).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_split_and_join_even_runs() {
        assert_eq!(reshaped(&[6, 4], &[4, 1], &[2, 3, 4]), Some(vec![12, 4, 1]));
        assert_eq!(reshaped(&[2, 3, 4], &[12, 4, 1], &[24]), Some(vec![1]));
        // A transposed matrix has no even spacing as a vector, but its rows can be split.
        assert_eq!(reshaped(&[4, 6], &[1, 4], &[24]), None);
        assert_eq!(reshaped(&[4, 6], &[1, 4], &[2, 2, 6]), Some(vec![2, 1, 4]));
        assert_eq!(reshaped(&[4, 3], &[-3, 1], &[4, 3, 1]), Some(vec![-3, 1, 1]));
    }
}
