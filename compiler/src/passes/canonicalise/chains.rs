//! Chains of movement ops that are together one slice: channel shuffles, of which each half takes every second channel.
//!
//! Before: `%1 = reshape %0; %2 = transpose %1; %3 = slice %2; %4 = reshape %3`. After: `%4 = slice %0`, wherever the index of `%4`, taken through the chain, is a linear function of
//! its own dimension in each dimension of `%0`. Nothing is computed, so the rule is exact.

use super::facts::definition;
use crate::form::element::map_index;
use crate::passes::PassError;
use graven_ir::{Dim, GraphBuilder, Node, Op, Symbol, ValueId};

/// Ops of a chain at most.
const LONGEST: usize = 8;

/// Ops of a chain at least: shorter ones are as simple as a slice.
const SHORTEST: usize = 3;

/// The slice that a node is together with the movement ops before it.
pub fn chain_as_slice(
    builder: &mut GraphBuilder,
    node: &Node,
    operands: &[ValueId],
) -> Result<Option<ValueId>, PassError> {
    let [operand] = operands else { return Ok(None) };
    let Some(shape) = result_shape(builder, &node.op, *operand) else { return Ok(None) };
    let symbols: Vec<Symbol> = shape
        .iter()
        .enumerate()
        .map(|(axis, extent)| Symbol::new(format!("i{axis}"), 0, extent - 1))
        .collect();
    let place = |(symbol, extent): (&Symbol, &i64)| if *extent == 1 { Dim::ZERO } else { Dim::from(symbol) };
    let mut index: Vec<Dim> = symbols.iter().zip(&shape).map(place).collect();
    let (mut op, mut to) =
        (node.op.clone(), shape.iter().map(|extent| Dim::from(*extent)).collect::<Vec<_>>());
    let (mut source, mut cuts, mut found) = (*operand, false, None);
    for length in 1..=LONGEST {
        let from = builder.shape(source).to_vec();
        let Some(inner) = map_index(&op, &from, &to, &index) else { break };
        cuts |= matches!(op, Op::Slice { .. });
        index = inner;
        if length >= SHORTEST
            && cuts
            && let Some(slice) = as_slice(&index, &symbols, &shape)
        {
            found = Some((source, slice));
        }
        let Some(next) = definition(builder, source) else { break };
        if !is_moving(&next.op) {
            break;
        }
        (op, to, source) = (next.op.clone(), from, next.operands[0]);
    }
    match found {
        Some((source, slice)) => Ok(Some(builder.op(slice, &[source])?)),
        None => Ok(None),
    }
}

fn is_moving(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. })
}

/// The extents of a movement op's result, if they are known.
fn result_shape(builder: &GraphBuilder, op: &Op, operand: ValueId) -> Option<Vec<i64>> {
    let from = builder.shape(operand);
    let extents: Vec<Dim> = match op {
        Op::Reshape { shape } => shape.clone(),
        Op::Transpose { permutation } => permutation.iter().map(|axis| from[*axis].clone()).collect(),
        Op::Slice { start, limit, stride } => (0..start.len())
            .map(|axis| (&limit[axis] - &start[axis]).ceil_div(&Dim::from(stride[axis])))
            .collect(),
        _ => return None,
    };
    extents.iter().map(|extent| extent.as_const().filter(|extent| *extent > 0)).collect()
}

/// The slice whose element at `symbols` lies at `index` of its operand.
fn as_slice(index: &[Dim], symbols: &[Symbol], shape: &[i64]) -> Option<Op> {
    if index.len() != symbols.len() {
        return None;
    }
    let (mut start, mut limit, mut stride) = (Vec::new(), Vec::new(), Vec::new());
    for ((place, symbol), extent) in index.iter().zip(symbols).zip(shape) {
        let at =
            |value: i64| place.substitute(&|other| (other == symbol).then(|| Dim::from(value))).as_const();
        let first = at(0)?;
        let step = if *extent == 1 { 1 } else { at(1)? - first };
        let expected = if *extent == 1 { Dim::from(first) } else { Dim::from(symbol) * step + first };
        if step < 1 || *place != expected {
            return None;
        }
        start.push(Dim::from(first));
        limit.push(Dim::from(first + step * (extent - 1) + 1));
        stride.push(step);
    }
    Some(Op::Slice { start, limit, stride })
}
