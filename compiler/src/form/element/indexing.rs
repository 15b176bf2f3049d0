//! Gathers: indices that come from data. They are checked and clamped, so that a bad index is reported and never followed.

use super::Evaluator;
use crate::form::FormError;
use crate::form::view::Lane;
use crate::kernel::{Binary, Compare, KernelBuilder, Spread, Type, Unary, Val, math};
use graven_ir::{DType, Dim, Node, Op, Symbol, ValueId};

/// The code of a run function for an index outside its range.
pub const INDEX_OUT_OF_RANGE: i32 = graven_runtime::abi::RunError::IndexOutOfRange as i32;

/// Lanes from which on indices are checked in vectors.
const GATHERED: u16 = 8;

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
            if let Some(lanes) = self.gathered(b, &node, index, &places)? {
                return Ok(lanes);
            }
            return self.per_lane(b, value, index, |e, b, index| e.indexing(b, &node, value, index));
        }
        let mut picked = Vec::with_capacity(places.len());
        for place in &places {
            picked.push(self.with_lane(None, |e| e.value(b, indices, place))?);
        }
        let index_dtype = self.dtype(indices);
        let picked: Vec<Dim> = match &node.op {
            Op::DynamicSlice { shape: size } => {
                let last = |axis: usize| &shape[axis] - &size[axis];
                let starts = picked.iter().enumerate();
                starts.map(|(axis, start)| clamped(b, *start, index_dtype, &last(axis))).collect()
            }
            op => {
                let axis = picked_axis(op);
                let picked = picked.iter().enumerate();
                picked.map(|(k, place)| checked(b, *place, index_dtype, &shape[axis + k])).collect()
            }
        };
        let inner = self.picked_index(node, index, &picked)?;
        self.value(b, x, &inner)
    }

    /// The place in x for a place of the result, with the coordinates that the data pick.
    fn picked_index(&self, node: &Node, index: &[Dim], picked: &[Dim]) -> Result<Vec<Dim>, FormError> {
        let rank = self.graph.ty(node.operands[1]).rank();
        Ok(match &node.op {
            Op::Gather { axis } => [&index[..*axis], picked, &index[*axis + rank..]].concat(),
            Op::GatherElements { axis } => [&index[..*axis], picked, &index[*axis + 1..]].concat(),
            Op::GatherNd { batch_dimensions } => {
                [&index[..*batch_dimensions], picked, &index[rank - 1..]].concat()
            }
            Op::DynamicSlice { .. } => index.iter().zip(picked).map(|(place, start)| place + start).collect(),
            op => return Err(FormError::internal(format!("`{}` is no gather", op.name()))),
        })
    }

    /// Lanes from places that vectors of indices pick, if all that stands between is linear.
    fn gathered(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        index: &[Dim],
        places: &[Vec<Dim>],
    ) -> Result<Option<Val>, FormError> {
        let (x, indices) = (node.operands[0], node.operands[1]);
        let Some(lane) = self.lane.clone().filter(|lane| lane.count >= GATHERED) else { return Ok(None) };
        let whole = matches!(self.dtype(x), DType::F32 | DType::I32 | DType::U32);
        if !whole || matches!(node.op, Op::DynamicSlice { .. }) {
            return Ok(None);
        }
        let (axis, shape) = (picked_axis(&node.op), self.graph.ty(x).shape.clone());
        let extents = &shape[axis..axis + places.len()];
        // Each picked coordinate is to the address what a lane is.
        let picked: Vec<Lane> =
            extents.iter().enumerate().map(|(k, extent)| placeholder(k, extent)).collect();
        let coordinates: Vec<Dim> = picked.iter().map(|picked| Dim::from(&picked.symbol)).collect();
        let inner = self.picked_index(node, index, &coordinates)?;
        let Some((view, address)) = self.in_memory(x, &inner) else { return Ok(None) };
        if view.layout.elements(&view.shape).upper() > i64::from(i32::MAX) {
            return Ok(None);
        }
        let mut base = address;
        let mut steps = Vec::with_capacity(picked.len() + 1);
        for part in picked.iter().chain([&lane]) {
            let Some((rest, step)) = part.split(&base) else { return Ok(None) };
            base = rest;
            steps.push(step);
        }
        let ids = b.lane_ids(DType::I32, lane.count);
        let step = b.int(steps[picked.len()], b.ty(ids));
        let mut offsets = b.mul(ids, step);
        for ((place, extent), step) in places.iter().zip(extents).zip(&steps) {
            let coordinate = self.value(b, indices, place)?;
            let coordinate = checked_lanes(b, coordinate, self.dtype(indices), extent);
            let step = b.int(*step, b.ty(coordinate));
            let distance = b.mul(coordinate, step);
            offsets = b.add(offsets, distance);
        }
        Ok(Some(math::load(b, view.buffer, &base, lane.count, Spread::Gathered(offsets), None)))
    }
}

/// The first dimension of x that the data pick.
fn picked_axis(op: &Op) -> usize {
    match op {
        Op::Gather { axis } | Op::GatherElements { axis } => *axis,
        Op::GatherNd { batch_dimensions } => *batch_dimensions,
        _ => 0,
    }
}

/// Stands for the k-th coordinate that the data pick.
fn placeholder(k: usize, extent: &Dim) -> Lane {
    Lane { symbol: Symbol::new(format!("picked{k}"), 0, extent.upper().max(2) - 1), count: 2 }
}

/// A vector of data indices as i32 within `0..extent`; any outside is reported and clamped.
fn checked_lanes(b: &mut KernelBuilder, index: Val, dtype: DType, extent: &Dim) -> Val {
    let index = math::cast(b, dtype, DType::I64, index);
    let ty = b.ty(index);
    let zero = b.int(0, ty);
    let scalars = [extent.clone(), extent - 1].map(|dim| b.index(&dim));
    let [end, last] = scalars.map(|scalar| b.splat(scalar, ty.lanes));
    let below = b.compare(Compare::Lt, index, zero);
    let above = b.compare(Compare::Ge, index, end);
    let outside = b.binary(Binary::Or, below, above);
    let any = b.any(outside);
    let inside = b.unary(Unary::Not, any);
    b.check(inside, INDEX_OUT_OF_RANGE);
    let index = b.binary(Binary::Min, index, last);
    let index = b.binary(Binary::Max, index, zero);
    b.convert(index, DType::I32)
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
