//! Moves constant factors of a matrix product's operands behind the product, where they cost one multiplication in registers.
//!
//! Before: `%1 = transpose %0; %2 = mul %1, scale; %3 = dot_general %2, %4`. After: `%1 = transpose %0; %2 = dot_general %1, %4; %3 = mul %2, scale`.
//! Only factors of values that are moved or given, not computed: behind a computation a factor costs nothing where it is. Then the product reads its
//! operand in place. Since (Σ (x·s)·y) becomes (Σ x·y)·s, nothing is moved where sums must not be reassociated.

use super::canonicalise::facts::{definition, repeated};
use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::{BinaryOp, Category, DType, Graph, GraphBuilder, Op, ValueId};
use smallvec::{SmallVec, smallvec};

/// Factors outside 1 ÷ `LARGEST` ..= `LARGEST` stay: sums of products without them could over- or underflow.
const LARGEST: f64 = (1u64 << 30) as f64;

/// How many reshapes and transposes stand between a product and a factor at most.
const DEPTH: usize = 4;

/// The graph with factors behind products.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    if !context.accuracy.reassociates() {
        return Ok(graph.clone());
    }
    let remarks = &mut *context.remarks;
    rewrite(context.constants, graph, &mut |builder, site| {
        let Op::DotGeneral { .. } = site.node.op else { return Ok(None) };
        let dtype = site.graph.ty(site.node.results[0]).dtype;
        if !matches!(dtype, DType::F32 | DType::F64) {
            return Ok(None);
        }
        let mut operands: SmallVec<[ValueId; 3]> = site.operands.into();
        let mut factor = 1.0;
        for operand in &mut operands {
            if let Some((value, own)) = without_factor(builder, *operand, DEPTH)? {
                (*operand, factor) = (value, factor * own);
            }
        }
        if factor == 1.0 {
            return Ok(None);
        }
        let product = builder.op(site.node.op.clone(), &operands)?;
        let shape = builder.shape(product).to_vec();
        let scalar = builder.scalar(dtype, factor)?;
        let factor = builder.broadcast_to(scalar, &shape)?;
        remarks.applied("factor", site.node, || "constant factor moved behind the product".into());
        Ok(Some(smallvec![builder.op(Op::Binary(BinaryOp::Mul), &[product, factor])?]))
    })
}

/// A value that a constant is multiplied to, maybe before it is moved, and that constant.
fn without_factor(
    builder: &mut GraphBuilder,
    value: ValueId,
    depth: usize,
) -> Result<Option<(ValueId, f64)>, PassError> {
    let Some(node) = definition(builder, value) else { return Ok(None) };
    let (op, operands) = (node.op.clone(), node.operands.clone());
    match (&op, operands.as_slice()) {
        (Op::Binary(BinaryOp::Mul), [x, y]) => {
            let factors = [(*x, repeated(builder, *y)), (*y, repeated(builder, *x))];
            let fits = |factor: &f64| (1.0 / LARGEST..=LARGEST).contains(&factor.abs());
            let found = factors.into_iter().find_map(|(x, factor)| Some((x, factor.filter(fits)?)));
            let is_computed = |x: ValueId| {
                definition(builder, x).is_some_and(|node| node.op.category() != Category::Movement)
            };
            Ok(found.filter(|(x, _)| !is_computed(*x)))
        }
        (Op::Reshape { .. } | Op::Transpose { .. }, [x]) if depth > 0 => {
            let Some((source, factor)) = without_factor(builder, *x, depth - 1)? else { return Ok(None) };
            Ok(Some((builder.op(op, &[source])?, factor)))
        }
        _ => Ok(None),
    }
}
