//! Gathers: indices that come from data. They are checked and clamped, so that a bad index is reported and never followed.

use super::Evaluator;
use crate::form::FormError;
use crate::kernel::{Binary, Compare, KernelBuilder, Type, Val, math};
use graven_ir::{DType, Dim, Node, Op, ValueId};

/// The code of a run function for an index outside its range.
pub const INDEX_OUT_OF_RANGE: i32 = graven_runtime::abi::RunError::IndexOutOfRange as i32;

impl Evaluator<'_> {
    pub(super) fn indexing(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let (x, indices) = (node.operands[0], node.operands[1]);
        let shape = self.graph.ty(x).shape.clone();
        // Places of the indices tensor whose elements pick the place in x.
        let places: Vec<Vec<Dim>> = match &node.op {
            Op::Gather { axis } => {
                let rank = self.graph.ty(indices).rank();
                vec![index[*axis..*axis + rank].to_vec()]
            }
            Op::GatherElements { .. } => vec![index.to_vec()],
            Op::GatherNd { .. } => {
                let ty = self.graph.ty(indices);
                let lead = &index[..ty.rank() - 1];
                let count = ty.shape[ty.rank() - 1].as_const().unwrap_or(0);
                (0..count).map(|k| lead.iter().cloned().chain([Dim::from(k)]).collect()).collect()
            }
            _ => (0..shape.len()).map(|axis| vec![Dim::from(axis)]).collect(),
        };
        if let Some(lane) = &self.lane
            && places.iter().any(|place| lane.varies(place))
        {
            let node = node.clone();
            return self.per_lane(b, value, index, |e, b, index| e.indexing(b, &node, value, index));
        }
        let mut picked = Vec::with_capacity(places.len());
        for place in &places {
            picked.push(self.with_lane(None, |e| e.value(b, indices, place))?);
        }
        let index_dtype = self.dtype(indices);
        let inner = match &node.op {
            Op::Gather { axis } => {
                let rank = self.graph.ty(indices).rank();
                let mut inner = index[..*axis].to_vec();
                inner.push(checked(b, picked[0], index_dtype, &shape[*axis]));
                inner.extend_from_slice(&index[*axis + rank..]);
                inner
            }
            Op::GatherElements { axis } => {
                let mut inner = index.to_vec();
                inner[*axis] = checked(b, picked[0], index_dtype, &shape[*axis]);
                inner
            }
            Op::GatherNd { batch_dimensions } => {
                let lead = self.graph.ty(indices).rank() - 1;
                let mut inner = index[..*batch_dimensions].to_vec();
                for (k, coordinate) in picked.iter().enumerate() {
                    inner.push(checked(b, *coordinate, index_dtype, &shape[batch_dimensions + k]));
                }
                inner.extend_from_slice(&index[lead..]);
                inner
            }
            Op::DynamicSlice { shape: size } => {
                let start = |(axis, start): (usize, &Val)| {
                    let last = &shape[axis] - &size[axis];
                    &index[axis] + clamped(b, *start, index_dtype, &last)
                };
                picked.iter().enumerate().map(start).collect()
            }
            op => return Err(FormError::internal(format!("`{}` is no gather", op.name()))),
        };
        self.value(b, x, &inner)
    }
}

/// A data index as a symbol within `0..extent`; outside it is reported and clamped.
pub fn checked(b: &mut KernelBuilder, index: Val, dtype: DType, extent: &Dim) -> Dim {
    let index = math::cast(b, dtype, DType::I64, index);
    let zero = b.int(0, Type::INDEX);
    let end = b.index(extent);
    let above = b.compare(Compare::Ge, index, zero);
    let below = b.compare(Compare::Lt, index, end);
    let inside = b.binary(Binary::And, above, below);
    b.check(inside, INDEX_OUT_OF_RANGE);
    let last = extent - 1;
    clamp(b, index, &last)
}

/// A data index as a symbol, clamped to `0..=last`.
pub fn clamped(b: &mut KernelBuilder, index: Val, dtype: DType, last: &Dim) -> Dim {
    let index = math::cast(b, dtype, DType::I64, index);
    clamp(b, index, last)
}

fn clamp(b: &mut KernelBuilder, index: Val, last: &Dim) -> Dim {
    let zero = b.int(0, Type::INDEX);
    let end = b.index(last);
    let index = b.binary(Binary::Min, index, end);
    let index = b.binary(Binary::Max, index, zero);
    Dim::from(b.data_symbol(index, 0, last.upper().max(0)))
}
