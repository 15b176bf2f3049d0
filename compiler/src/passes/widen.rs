//! Arithmetic on halves becomes arithmetic on f32.
//!
//! Processors convert halves fast, but few compute with them. Before: `%1: f16 = tanh %0; %2: f16 = exp %1`. After: `%3: f32 = cast %0; %4: f32 = tanh %3;
//! %5: f32 = exp %4; %2: f16 = cast %5`.
//!
//! Between nodes nothing is rounded any more, so that results are nearer to those of real numbers than plain evaluation is, and no sum overflows a half. A cast that the model
//! states rounds as before, and halves that only move stay halves.

use super::rewrite::{Replacement, Site, rewrite};
use super::{Context, PassError};
use graven_ir::{Category, DType, Graph, GraphBuilder, Op, ValueId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The graph with halves only where values enter, leave or move.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    if !context.accuracy.reassociates() {
        return Ok(graph.clone());
    }
    let remarks = &mut *context.remarks;
    let mut sources = Sources::default();
    rewrite(context.constants, graph, &mut |builder, site| {
        let replacement = sources.widen(builder, site)?;
        if replacement.is_some() {
            remarks.applied("widen", site.node, || "computed in f32".into());
        }
        Ok(replacement)
    })
}

/// The f32 values that were rounded to halves, by scope.
#[derive(Default)]
struct Sources(FxHashMap<(usize, ValueId), ValueId>);

impl Sources {
    fn of(&self, site: &Site, value: ValueId) -> Option<ValueId> {
        self.0.get(&(site.scope, value)).copied()
    }

    fn widen(&mut self, builder: &mut GraphBuilder, site: &Site) -> Result<Replacement, PassError> {
        let node = site.node;
        if let (Op::Cast { to }, [operand]) = (&node.op, site.operands) {
            let source = self.of(site, *operand).filter(|_| !is_half(*to));
            let exact = source.map(|source| builder.cast(source, *to)).transpose()?;
            return Ok(exact.map(|value| SmallVec::from_elem(value, 1)));
        }
        let dtypes = |values: &[ValueId]| values.iter().any(|value| is_half(site.graph.ty(*value).dtype));
        let computes = dtypes(&node.operands) || dtypes(&node.results);
        if !computes || keeps_dtypes(&node.op) || (moves(&node.op) && !self.all_computed(builder, site)) {
            return Ok(None);
        }
        let mut operands: SmallVec<[ValueId; 3]> = SmallVec::new();
        for operand in site.operands {
            operands.push(match self.of(site, *operand) {
                Some(source) => source,
                None if is_half(builder.dtype(*operand)) => builder.cast(*operand, DType::F32)?,
                None => *operand,
            });
        }
        let mut results = builder.results(node.op.clone(), &operands)?;
        for (result, old) in results.iter_mut().zip(&node.results) {
            let dtype = site.graph.ty(*old).dtype;
            if is_half(dtype) {
                let source = *result;
                *result = builder.cast(source, dtype)?;
                self.0.insert((site.scope, *result), source);
            }
        }
        Ok(Some(results))
    }

    /// Whether all half operands are rounded f32 values or constants.
    fn all_computed(&self, builder: &GraphBuilder, site: &Site) -> bool {
        let is_free =
            |value: ValueId| !is_half(builder.dtype(value)) || builder.constant_value(value).is_some();
        let mut operands = site.operands.iter().copied();
        let computed = |value: ValueId| self.of(site, value).is_some();
        operands.clone().any(computed) && operands.all(|value| computed(value) || is_free(value))
    }
}

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

fn moves(op: &Op) -> bool {
    op.category() == Category::Movement
}

/// Ops that name dtypes, have regions, or depend on an operand's dtype.
fn keeps_dtypes(op: &Op) -> bool {
    matches!(op.category(), Category::Leaf | Category::Control | Category::Custom)
        || matches!(op, Op::Bitcast { .. } | Op::BindExtent { .. } | Op::Relayout | Op::Quantize { .. })
}
