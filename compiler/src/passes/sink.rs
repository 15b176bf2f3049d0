//! Sinks transposes and reshapes towards the results, where they meet others and cancel.
//!
//! Before: `%1 = transpose %0; %2 = max %1, %zero; %3 = transpose %2` with inverse permutations. After: `%3 = max %0, %zero`. Functions of elements, concatenations,
//! paddings, slices, reductions and windows are moved in front of a transpose, with their axes renamed; the other operands of a function are transposed
//! back, which costs nothing for constants and small repeated tensors. A transpose in front of a matrix product becomes part of its dimension numbers where that keeps the order
//! of the result. Reshapes go behind functions of one tensor, so that these end in the group of the contraction that computes it.
//!
//! A transpose is sunk only if all users of its result let it through, so that it does not stay as well; it ends in front of a reshape, a result or
//! an op that needs the order. Convolutions in the standard order keep it: that is what the schedules block. Nothing is computed in another order, so the pass is exact but for
//! sums, whose order the schedules choose anyway.

use super::canonicalise::facts::{definition, repeated};
use super::canonicalise::{movement, simplify};
use super::rewrite::{Site, rewrite};
use super::{Context, PassError};
use graven_ir::{Category, Dim, Graph, GraphBuilder, Node, Op, ValueId};
use smallvec::{SmallVec, smallvec};

/// The graph with transposes and reshapes moved towards its results.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let (accuracy, remarks) = (context.accuracy, &mut *context.remarks);
    rewrite(context.constants, graph, &mut |builder, site| {
        let [result] = site.node.results.as_slice() else { return Ok(None) };
        let ty = site.graph.ty(*result);
        if let Some(value) = sunk(builder, site)?
            && builder.ty(value) == ty
        {
            remarks.applied("sink", site.node, || "moved in front of a transpose or reshape".into());
            return Ok(Some(smallvec![value]));
        }
        if matches!(site.node.op, Op::Transpose { .. }) && !passes_on(site) {
            remarks.missed("sink", site.node, || "a user of the transpose needs its order".into());
        }
        // The operands may have become something that this node cancels.
        let moves = site.node.op.category() == Category::Movement;
        let simpler = moves.then(|| simplify(builder, site.node, site.operands, ty, accuracy)).flatten();
        Ok(simpler.map(|value| smallvec![value]))
    })
}

fn sunk(builder: &mut GraphBuilder, site: &Site) -> Result<Option<ValueId>, PassError> {
    if !is_transparent(site.graph, site.node) {
        return Ok(None);
    }
    let turned = site.operands.iter().enumerate().find_map(|(place, operand)| {
        let node = definition(builder, *operand)?;
        let Op::Transpose { permutation } = &node.op else { return None };
        Some((place, permutation.clone()))
    });
    match turned {
        Some((place, permutation)) if every_user_lets_through(site, place) => {
            if let Op::DotGeneral { .. } = site.node.op {
                return into_dot(builder, site, place, &permutation);
            }
            match &site.node.op {
                Op::Reshape { shape } => ones_behind_transpose(builder, site, &permutation, shape),
                _ => behind_transpose(builder, site, &permutation),
            }
        }
        _ => behind_reshape(builder, site),
    }
}

/// Whether a transpose can go through a node.
fn is_transparent(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Reshape { shape } => only_ones_change(&graph.ty(node.operands[0]).shape, shape),
        Op::Quantize { .. } | Op::Dequantize { .. } => false,
        Op::Concat { .. } | Op::Pad { .. } | Op::Slice { .. } | Op::Reverse { .. } => true,
        Op::Reduce { .. } | Op::ReduceWindow { .. } | Op::DotGeneral { .. } => true,
        Op::Softmax { .. } | Op::LogSoftmax { .. } | Op::Gelu { .. } | Op::Silu => true,
        op => op.category() == Category::Elementwise,
    }
}

fn every_user_lets_through(site: &Site, place: usize) -> bool {
    lets_through(site, site.node.operands[place])
}

fn lets_through(site: &Site, value: ValueId) -> bool {
    let through = |node: &Node| is_transparent(site.graph, node) || matches!(node.op, Op::Transpose { .. });
    !site.uses.is_result(value) && site.uses.users(value).iter().all(|user| through(site.graph.node(*user)))
}

fn passes_on(site: &Site) -> bool {
    site.node.results.iter().all(|result| lets_through(site, *result))
}

/// For each dimension of what is transposed the dimension of the transpose.
fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; permutation.len()];
    permutation.iter().enumerate().for_each(|(to, from)| inverse[*from] = to);
    inverse
}

/// A value in the order before the transpose, where that is free or nearly so.
fn turned_back(
    builder: &mut GraphBuilder,
    value: ValueId,
    permutation: &[usize],
) -> Result<Option<ValueId>, PassError> {
    if builder.constant_value(value).is_some() {
        return Ok(Some(builder.transpose(value, &inverse(permutation))?));
    }
    let Some(node) = definition(builder, value) else { return Ok(None) };
    let source = node.operands.first().copied();
    match (&node.op, source) {
        (Op::Transpose { permutation: own }, Some(source)) if own == permutation => Ok(Some(source)),
        (Op::Broadcast { shape, dimensions }, Some(source)) => {
            let (shape, dimensions) = (shape.clone(), dimensions.clone());
            let elements = |value| builder.ty(value).elements().upper();
            if elements(source).saturating_mul(4) > elements(value) {
                return Ok(None);
            }
            let back = inverse(permutation);
            movement::transposed_broadcast(builder, source, &shape, &dimensions, &back).map(Some)
        }
        _ => Ok(None),
    }
}

/// Attributes in the order before the transpose.
fn reordered<T: Clone>(values: &[T], permutation: &[usize]) -> Vec<T> {
    inverse(permutation).iter().map(|place| values[*place].clone()).collect()
}

/// The op with its axes renamed, and the permutation of its result. The flags say which operands are transposed back.
fn renamed(op: &Op, permutation: &[usize]) -> Option<(Op, Vec<usize>)> {
    let renamed = match op {
        Op::Concat { axis } => Op::Concat { axis: permutation[*axis] },
        Op::Softmax { axis } => Op::Softmax { axis: permutation[*axis] },
        Op::LogSoftmax { axis } => Op::LogSoftmax { axis: permutation[*axis] },
        Op::Pad { low, high, interior } => Op::Pad {
            low: reordered(low, permutation),
            high: reordered(high, permutation),
            interior: reordered(interior, permutation),
        },
        Op::Slice { start, limit, stride } => Op::Slice {
            start: reordered(start, permutation),
            limit: reordered(limit, permutation),
            stride: reordered(stride, permutation),
        },
        Op::Reverse { axes } => Op::Reverse { axes: axes.iter().map(|axis| permutation[*axis]).collect() },
        Op::ReduceWindow { combine, size, stride, dilation, padding_low, padding_high } => Op::ReduceWindow {
            combine: *combine,
            size: reordered(size, permutation),
            stride: reordered(stride, permutation),
            dilation: reordered(dilation, permutation),
            padding_low: reordered(padding_low, permutation),
            padding_high: reordered(padding_high, permutation),
        },
        Op::Reduce { combine, axes } => {
            let mut sources: Vec<usize> = axes.iter().map(|axis| permutation[*axis]).collect();
            sources.sort_unstable();
            let kept: Vec<usize> = (0..permutation.len()).filter(|axis| !sources.contains(axis)).collect();
            let order = permutation.iter().filter_map(|from| kept.iter().position(|axis| axis == from));
            return Some((Op::Reduce { combine: *combine, axes: sources }, order.collect()));
        }
        op if op.category() == Category::Elementwise || matches!(op, Op::Gelu { .. } | Op::Silu) => {
            op.clone()
        }
        _ => return None,
    };
    Some((renamed, permutation.to_vec()))
}

fn behind_transpose(
    builder: &mut GraphBuilder,
    site: &Site,
    permutation: &[usize],
) -> Result<Option<ValueId>, PassError> {
    let Some((op, order)) = renamed(&site.node.op, permutation) else { return Ok(None) };
    let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
    for (place, operand) in site.operands.iter().enumerate() {
        // The value of the padding is a scalar.
        if matches!(op, Op::Pad { .. }) && place == 1 {
            operands.push(*operand);
            continue;
        }
        match turned_back(builder, *operand, permutation)? {
            Some(value) => operands.push(value),
            None => return Ok(None),
        }
    }
    let value = builder.op(op, &operands)?;
    Ok(Some(builder.transpose(value, &order)?))
}

/// Whether a reshape only adds and removes extents of 1.
fn only_ones_change(from: &[Dim], to: &[Dim]) -> bool {
    let others = |shape: &[Dim]| shape.iter().filter(|extent| !extent.is(1)).cloned().collect::<Vec<_>>();
    others(from) == others(to)
}

/// A reshape of a transposed value that only adds and removes extents of 1: they are added behind the others before the transpose.
fn ones_behind_transpose(
    builder: &mut GraphBuilder,
    site: &Site,
    permutation: &[usize],
    shape: &[Dim],
) -> Result<Option<ValueId>, PassError> {
    let Some(source) = definition(builder, site.operands[0]).map(|node| node.operands[0]) else {
        return Ok(None);
    };
    let extents = builder.shape(source).to_vec();
    let kept: Vec<usize> = (0..extents.len()).filter(|axis| !extents[*axis].is(1)).collect();
    let ones = shape.len() - kept.len();
    let flat: Vec<Dim> =
        kept.iter().map(|axis| extents[*axis].clone()).chain(std::iter::repeat_n(Dim::ONE, ones)).collect();
    let mut moved = permutation.iter().filter_map(|from| kept.iter().position(|axis| axis == from));
    let mut added = kept.len()..shape.len();
    let order: Option<Vec<usize>> =
        shape.iter().map(|extent| if extent.is(1) { added.next() } else { moved.next() }).collect();
    let Some(order) = order else { return Ok(None) };
    let value = builder.reshape(source, &flat)?;
    Ok(Some(builder.transpose(value, &order)?))
}

/// The product of a transposed operand, read in place.
fn into_dot(
    builder: &mut GraphBuilder,
    site: &Site,
    place: usize,
    permutation: &[usize],
) -> Result<Option<ValueId>, PassError> {
    let mut op = site.node.op.clone();
    let Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = &mut op else {
        return Ok(None);
    };
    let (batch, contract) = if place == 0 { (lhs_batch, lhs_contract) } else { (rhs_batch, rhs_contract) };
    let free = |axis: &usize| !batch.contains(axis) && !contract.contains(axis);
    let sources: Vec<usize> = (0..permutation.len()).filter(free).map(|axis| permutation[axis]).collect();
    if !sources.is_sorted() {
        return Ok(None);
    }
    batch.iter_mut().chain(contract.iter_mut()).for_each(|axis| *axis = permutation[*axis]);
    let Some(source) = definition(builder, site.operands[place]).map(|node| node.operands[0]) else {
        return Ok(None);
    };
    let mut operands: SmallVec<[ValueId; 3]> = site.operands.into();
    operands[place] = source;
    Ok(Some(builder.op(op, &operands)?))
}

/// A function of one reshaped tensor and repeated constants, on the tensor as it was.
fn behind_reshape(builder: &mut GraphBuilder, site: &Site) -> Result<Option<ValueId>, PassError> {
    let node = site.node;
    let composite = matches!(node.op, Op::Gelu { .. } | Op::Silu);
    if node.op.category() != Category::Elementwise && !composite {
        return Ok(None);
    }
    let mut source = None;
    let mut others: SmallVec<[Option<f64>; 3]> = SmallVec::new();
    for (place, operand) in site.operands.iter().enumerate() {
        let constant = repeated(builder, *operand);
        others.push(constant);
        if constant.is_some() {
            continue;
        }
        let Some(inner) = definition(builder, *operand) else { return Ok(None) };
        let once = site.uses.count(node.operands[place]) == 1;
        let (Op::Reshape { .. }, true, None) = (&inner.op, once, source) else { return Ok(None) };
        source = Some(inner.operands[0]);
    }
    let Some(source) = source else { return Ok(None) };
    // Where nothing computes the tensor, there is nothing that the function could join.
    if definition(builder, source).is_none_or(|inner| inner.op.category() == Category::Leaf) {
        return Ok(None);
    }
    let (shape, result): (Vec<Dim>, Vec<Dim>) =
        (builder.shape(source).to_vec(), site.graph.ty(node.results[0]).shape.to_vec());
    let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
    for (operand, constant) in site.operands.iter().zip(others) {
        operands.push(match constant {
            Some(element) => {
                let dtype = builder.dtype(*operand);
                // Integers that f64 does not hold would change.
                if !dtype.is_float() && dtype.bits() > 32 {
                    return Ok(None);
                }
                let scalar = builder.scalar(dtype, element)?;
                builder.broadcast_to(scalar, &shape)?
            }
            None => source,
        });
    }
    let value = builder.op(node.op.clone(), &operands)?;
    Ok(Some(builder.reshape(value, &result)?))
}
