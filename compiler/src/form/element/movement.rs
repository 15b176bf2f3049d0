//! Movement ops as index maps.

use super::{Evaluator, splat};
use crate::form::FormError;
use crate::kernel::{Binary, Compare, KernelBuilder, Type, Val, math};
use graven_ir::{Dim, Node, Op, ValueId};

impl Evaluator<'_> {
    pub(super) fn movement(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let operand = node.operands[0];
        match &node.op {
            Op::Relayout => self.value(b, operand, index),
            Op::Pad { .. } => self.pad(b, node, value, index),
            Op::Concat { axis } => self.concat(b, node, value, index, *axis),
            op => {
                let from = &self.graph.ty(operand).shape;
                let mapped = map_index(op, from, &self.graph.ty(value).shape, index)
                    .ok_or_else(|| FormError::internal(format!("`{}` is no index map", op.name())))?;
                self.value(b, operand, &mapped)
            }
        }
    }

    /// Reads within the operand by clamping, then selects.
    fn pad(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
    ) -> Result<Val, FormError> {
        let Op::Pad { low, interior, .. } = &node.op else { return Err(FormError::internal("not a pad")) };
        let (operand, filler) = (node.operands[0], node.operands[1]);
        let from = self.graph.ty(operand).shape.clone();
        let mut inner = Vec::with_capacity(index.len());
        let mut conditions: Vec<(Compare, Dim, Dim)> = Vec::new();
        for axis in 0..index.len() {
            let place = &index[axis] - &low[axis];
            inner.push(undilated(&place, interior[axis] + 1, &from[axis], &mut conditions));
        }
        let outside = self.value(b, filler, &[])?;
        if from.iter().any(|extent| extent.is(0)) {
            return Ok(outside);
        }
        if conditions.is_empty() {
            return self.value(b, operand, &inner);
        }
        let inside = self.value(b, operand, &inner)?;
        let like = self.register_type(value);
        let mut mask = None;
        for (op, x, y) in &conditions {
            let one = self.index_mask(b, *op, x, y);
            let one = b.convert_mask(one, like);
            mask = Some(match mask {
                None => one,
                Some(all) => b.binary(Binary::And, all, one),
            });
        }
        match mask {
            Some(mask) => Ok(b.select(mask, inside, outside)),
            None => Ok(inside),
        }
    }

    /// A comparison of index expressions, lane by lane where they depend on it.
    pub(super) fn index_mask(&mut self, b: &mut KernelBuilder, op: Compare, x: &Dim, y: &Dim) -> Val {
        let like = math::register_type(graven_ir::DType::I32, self.lanes());
        let difference = x - y;
        let Some(lane) = self.lane.clone().filter(|lane| difference.contains(&lane.symbol)) else {
            let truth = b.compare_index(op, x, y);
            return splat(b, truth, self.lanes(), like);
        };
        match lane.split(&difference) {
            Some((base, stride)) => {
                let base = b.index(&base);
                let base = b.convert(base, graven_ir::DType::I32);
                let base = b.splat(base, lane.count);
                let ids = b.lane_ids(graven_ir::DType::I32, lane.count);
                let step = b.int(stride, Type::vector(graven_ir::DType::I32, lane.count));
                let steps = b.mul(ids, step);
                let total = b.add(base, steps);
                let zero = b.int(0, b.ty(total));
                b.compare(op, total, zero)
            }
            None => {
                let truths: Vec<Val> =
                    (0..lane.count).map(|k| b.compare_index(op, &lane.at(x, k), &lane.at(y, k))).collect();
                super::join(b, &truths, like)
            }
        }
    }

    /// Branches on the place along the axis; lanes that may lie in different operands are taken one by one.
    fn concat(
        &mut self,
        b: &mut KernelBuilder,
        node: &Node,
        value: ValueId,
        index: &[Dim],
        axis: usize,
    ) -> Result<Val, FormError> {
        if self.lane.as_ref().is_some_and(|lane| index[axis].contains(&lane.symbol)) {
            let node = node.clone();
            return self.per_lane(b, value, index, |e, b, index| e.concat(b, &node, value, index, axis));
        }
        let mut start = Dim::ZERO;
        let mut parts = Vec::with_capacity(node.operands.len());
        for operand in &node.operands {
            let end = &start + &self.graph.ty(*operand).shape[axis];
            parts.push((*operand, start, end.clone()));
            start = end;
        }
        self.concat_part(b, &parts, index, axis)
    }

    fn concat_part(
        &mut self,
        b: &mut KernelBuilder,
        parts: &[(ValueId, Dim, Dim)],
        index: &[Dim],
        axis: usize,
    ) -> Result<Val, FormError> {
        let Some(((operand, start, end), rest)) = parts.split_first() else {
            return Err(FormError::internal("an index behind the last operand of a concat"));
        };
        let place = &index[axis];
        if (place - end).lower() >= 0 && !rest.is_empty() {
            return self.concat_part(b, rest, index, axis);
        }
        let mut inner = index.to_vec();
        inner[axis] = place - start;
        if rest.is_empty() || (place - end).upper() < 0 {
            return self.value(b, *operand, &inner);
        }
        let condition = b.compare_index(Compare::Lt, place, end);
        b.open_block();
        let first = self.scope(|e| e.value(b, *operand, &inner))?;
        let then = b.close_block(vec![first]);
        b.open_block();
        let other = self.scope(|e| e.concat_part(b, rest, index, axis))?;
        let otherwise = b.close_block(vec![other]);
        b.branch(condition, then, otherwise)
            .first()
            .copied()
            .ok_or_else(|| FormError::internal("a branch without a value"))
    }
}

/// The operand's index for an index of the result; `None` for ops that are no plain index map.
pub fn map_index(op: &Op, from: &[Dim], to: &[Dim], index: &[Dim]) -> Option<Vec<Dim>> {
    match op {
        Op::Reshape { .. } => Some(reshape_index(from, to, index)),
        Op::Transpose { permutation } => {
            let mut inner = vec![Dim::ZERO; index.len()];
            permutation.iter().enumerate().for_each(|(place, axis)| inner[*axis] = index[place].clone());
            Some(inner)
        }
        Op::Broadcast { dimensions, .. } => {
            let place = |(axis, dimension): (usize, &usize)| match from[axis].is(1) {
                true => Dim::ZERO,
                false => index[*dimension].clone(),
            };
            Some(dimensions.iter().enumerate().map(place).collect())
        }
        Op::Slice { start, stride, .. } => {
            let place = |axis: usize| &start[axis] + &index[axis] * stride[axis];
            Some((0..index.len()).map(place).collect())
        }
        Op::Reverse { axes } => {
            let mut inner = index.to_vec();
            axes.iter().for_each(|axis| inner[*axis] = &from[*axis] - 1 - &index[*axis]);
            Some(inner)
        }
        Op::Relayout => Some(index.to_vec()),
        _ => None,
    }
}

/// The element at a place of a dimension whose elements lie `period` apart, clamped into it, with the conditions under which there is one.
pub fn undilated(place: &Dim, period: i64, extent: &Dim, conditions: &mut Vec<(Compare, Dim, Dim)>) -> Dim {
    let period = Dim::from(period);
    let (whole, rest) = (place.floor_div(&period), place.modulo(&period));
    let last = extent - 1;
    if !rest.is(0) {
        conditions.push((Compare::Eq, rest, Dim::ZERO));
    }
    if whole.lower() < 0 {
        conditions.push((Compare::Ge, whole.clone(), Dim::ZERO));
    }
    if (&last - &whole).lower() < 0 {
        conditions.push((Compare::Le, whole.clone(), last.clone()));
    }
    whole.maximum(&Dim::ZERO).minimum(&last)
}

/// The row-major place of an index.
pub fn linear(index: &[Dim], shape: &[Dim]) -> Dim {
    index.iter().zip(shape).fold(Dim::ZERO, |place, (i, extent)| place * extent + i)
}

/// Splits both shapes into the smallest runs of dimensions with equal products, so that dimensions which the reshape leaves
/// alone need no division.
fn reshape_index(from: &[Dim], to: &[Dim], index: &[Dim]) -> Vec<Dim> {
    let mut inner = Vec::with_capacity(from.len());
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (first_i, first_j) = (i, j);
        let (mut p, mut q) = (Dim::ONE, Dim::ONE);
        // At least one dimension from each side that has any left.
        if i < from.len() {
            p = from[i].clone();
            i += 1;
        }
        if j < to.len() {
            q = to[j].clone();
            j += 1;
        }
        while p != q && (i < from.len() || j < to.len()) {
            let grow_from = match (i < from.len(), j < to.len()) {
                (true, true) => match (p.as_const(), q.as_const()) {
                    (Some(a), Some(b)) => a < b,
                    _ => i - first_i <= j - first_j,
                },
                (left, _) => left,
            };
            if grow_from {
                p = p * &from[i];
                i += 1;
            } else {
                q = q * &to[j];
                j += 1;
            }
        }
        let place = linear(&index[first_j..j], &to[first_j..j]);
        delinearise(&place, &from[first_i..i], &mut inner);
    }
    inner
}

fn delinearise(place: &Dim, shape: &[Dim], index: &mut Vec<Dim>) {
    let mut stride = Dim::ONE;
    let mut reversed = Vec::with_capacity(shape.len());
    for (axis, extent) in shape.iter().enumerate().rev() {
        let quotient = place.floor_div(&stride);
        reversed.push(if axis == 0 { quotient } else { quotient.modulo(extent) });
        stride = stride * extent;
    }
    index.extend(reversed.into_iter().rev());
}
