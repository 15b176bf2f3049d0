//! Common subexpressions: equal ops on equal operands are computed once.
//!
//! Before: `%1 = exp %0; %2 = exp %0`. After: `%1 = exp %0`, used for both. Nodes with regions and impure ops are left. Constants with equal bytes become one.

use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::{ConstantId, Constants, Graph, Op, Tensor, ValueId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Constants above this size are compared by identity of their memory only.
const COMPARED_BYTES: usize = 1 << 16;

/// An op on its operands, in a graph or region.
type Expression = (usize, Op, SmallVec<[ValueId; 3]>);

/// The graph without repeated nodes.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    let canonical = equal_constants(context.constants);
    let mut known: FxHashMap<Expression, SmallVec<[ValueId; 1]>> = FxHashMap::default();
    rewrite(context.constants, graph, &mut |builder, site| {
        let node = site.node;
        if !node.regions.is_empty() || !node.op.is_pure() {
            return Ok(None);
        }
        let op = match node.op {
            Op::Constant { id } => Op::Constant { id: canonical.get(&id).copied().unwrap_or(id) },
            ref op => op.clone(),
        };
        // A region sees only its own values.
        let key = (site.scope, op, site.operands.into());
        if let Some(results) = known.get(&key) {
            return Ok(Some(results.clone()));
        }
        let results = builder.results(key.1.clone(), site.operands)?;
        known.insert(key, results.clone());
        Ok(Some(results))
    })
}

/// For each constant the first one with the same type and bytes.
fn equal_constants(constants: &Constants) -> FxHashMap<ConstantId, ConstantId> {
    let mut first: FxHashMap<(graven_ir::DType, Vec<usize>, &[u8]), ConstantId> = FxHashMap::default();
    let mut canonical = FxHashMap::default();
    let small = |tensor: &Tensor| !tensor.is_deferred() && tensor.byte_len() <= COMPARED_BYTES;
    for (id, constant) in constants.iter().filter(|(_, constant)| small(&constant.tensor)) {
        let tensor = &constant.tensor;
        let key = (tensor.dtype(), tensor.shape().to_vec(), tensor.data().as_ref());
        canonical.insert(id, *first.entry(key).or_insert(id));
    }
    canonical
}
