//! Sorting lines of a tensor: bottom-up merge sort (Knuth, TAOCP vol. 3, 5.2.4) of keys and their places, stable, in scratch memory.

use super::pointwise::{self, unflatten};
use super::{Context, Draft, Scheduled};
use crate::form::FormError;
use crate::form::group::Group;
use crate::form::view::{View, store};
use crate::kernel::{Access, Binary, BufferId, Compare, KernelBuilder, Spread, Type, Unary, Val, math};
use graven_ir::{CompareOp, DType, Dim, Op, UnaryOp};

/// The kernel of a `sort` or `top_k`; `None` for others.
pub fn schedule(group: &Group, context: &Context) -> Result<Option<Vec<Scheduled>>, FormError> {
    let Some(node) = group.result_node(0) else { return Ok(None) };
    let (axis, largest_first, count) = match &node.op {
        Op::Sort { axis, descending } => (*axis, *descending, None),
        Op::TopK { axis, k, largest } => (*axis, *largest, Some(k.clone())),
        _ => return Ok(None),
    };
    let operand = node.operands[0];
    let mut draft = Draft::new(&pointwise::name(group), group, context);
    // The group's results are the node's in any order and number.
    let place = |n: usize| node.results.iter().position(|value| *value == group.graph.results()[n]);
    let views: Vec<(usize, View)> =
        (0..group.results.len()).filter_map(|n| Some((place(n)?, draft.result(group, context, n)))).collect();
    let mut lines = group.graph.ty(operand).shape.clone();
    let length = lines.remove(axis);
    let count = count.unwrap_or_else(|| length.clone());
    let dtype = draft.evaluator.dtype(operand);
    let mut buffers = Vec::with_capacity(2);
    for _ in 0..2 {
        let keys = draft.builder.buffer("keys", dtype, length.clone(), Access::Scratch);
        let places = draft.builder.buffer("places", DType::I64, length.clone(), Access::Scratch);
        buffers.push((keys, places));
    }
    let total = lines.iter().fold(Dim::ONE, |product, extent| product * extent);
    let parallel = draft.builder.open_parallel(&total);
    let line = unflatten(&parallel.index, &lines);
    let at = |place: &Dim| {
        let mut index = line.clone();
        index.insert(axis, place.clone());
        index
    };
    let nest = draft.builder.open_loop((&Dim::ZERO, &length, 1), &[]);
    let Draft { builder: b, evaluator, .. } = &mut draft;
    let key = evaluator.scope(|e| e.with_lane(None, |e| e.value(b, operand, &at(&nest.index))))?;
    let number = b.index(&nest.index);
    b.store(key, buffers[0].0, &nest.index, Spread::Contiguous, None);
    b.store(number, buffers[0].1, &nest.index, Spread::Contiguous, None);
    b.close_loop(nest, Vec::new());
    let mut width = 1i64;
    let (mut from, mut to) = (buffers[0], buffers[1]);
    while width < length.upper() {
        merge_pass(b, from, to, &length, width, (dtype, largest_first));
        std::mem::swap(&mut from, &mut to);
        width = width.saturating_mul(2);
    }
    let nest = b.open_loop((&Dim::ZERO, &count, 1), &[]);
    let index = at(&nest.index);
    for (which, view) in &views {
        let value = match which {
            0 => load_key(b, from.0, &nest.index),
            _ => b.load(from.1, &nest.index, Type::INDEX, Spread::Contiguous, None),
        };
        store(b, view, &index, None, value);
    }
    b.close_loop(nest, Vec::new());
    b.close_loop(parallel, Vec::new());
    Ok(Some(vec![draft.finish(pointwise::cost(group))]))
}

type Pair = (BufferId, BufferId);

fn load_key(b: &mut KernelBuilder, keys: BufferId, place: &Dim) -> Val {
    math::load(b, keys, place, 1, Spread::Contiguous, None)
}

/// Merges neighbouring runs of `width`.
fn merge_pass(b: &mut KernelBuilder, from: Pair, to: Pair, length: &Dim, width: i64, order: (DType, bool)) {
    let runs = b.open_loop((&Dim::ZERO, length, 2 * width), &[]);
    let middle = (&runs.index + width).minimum(length);
    let end = (&runs.index + 2 * width).minimum(length);
    let (left, right) = (b.index(&runs.index), b.index(&middle));
    let nest = b.open_loop((&runs.index, &end, 1), &[left, right]);
    let (left, right) = (nest.params[0], nest.params[1]);
    let (middle_value, end_value, one) = (b.index(&middle), b.index(&end), b.int(1, Type::INDEX));
    let has_left = b.compare(Compare::Lt, left, middle_value);
    let has_right = b.compare(Compare::Lt, right, end_value);
    let (x, x_place) = candidate(b, from, left, length);
    let (y, y_place) = candidate(b, from, right, length);
    let right_first = before(b, y, x, order);
    let left_wins = b.unary(Unary::Not, right_first);
    let no_right = b.unary(Unary::Not, has_right);
    let left_wins = b.binary(Binary::Or, left_wins, no_right);
    let take_left = b.binary(Binary::And, has_left, left_wins);
    let key = b.select(take_left, x, y);
    let place = b.select(take_left, x_place, y_place);
    b.store(key, to.0, &nest.index, Spread::Contiguous, None);
    b.store(place, to.1, &nest.index, Spread::Contiguous, None);
    let (next_left, next_right) = (b.add(left, one), b.add(right, one));
    let left = b.select(take_left, next_left, left);
    let right = b.select(take_left, right, next_right);
    b.close_loop(nest, vec![left, right]);
    b.close_loop(runs, Vec::new());
}

/// Key and place at a run's head; behind the end, the last ones, which are not taken.
fn candidate(b: &mut KernelBuilder, from: Pair, head: Val, length: &Dim) -> (Val, Val) {
    let last = b.index(&(length - 1));
    let head = b.binary(Binary::Min, head, last);
    let place = Dim::from(b.data_symbol(head, 0, length.upper().max(1) - 1));
    let key = load_key(b, from.0, &place);
    (key, b.load(from.1, &place, Type::INDEX, Spread::Contiguous, None))
}

/// Whether `x` comes strictly before `y`; NaN is larger than every number.
fn before(b: &mut KernelBuilder, x: Val, y: Val, (dtype, largest_first): (DType, bool)) -> Val {
    let (x, y) = if largest_first { (y, x) } else { (x, y) };
    let less = math::compare(b, CompareOp::Lt, dtype, x, y);
    if !dtype.is_float() {
        return less;
    }
    let x_nan = math::unary(b, UnaryOp::IsNan, dtype, x);
    let y_nan = math::unary(b, UnaryOp::IsNan, dtype, y);
    let x_number = b.unary(Unary::Not, x_nan);
    let y_above = b.binary(Binary::And, y_nan, x_number);
    b.binary(Binary::Or, less, y_above)
}
