//! Folds factors and addends per channel into the weights of the contraction before them: batch normalisation behind convolutions and matrix products.
//!
//! Before: `%1 = conv %0, @w; %2 = sub %1, mean; %3 = mul %2, scale; %4 = add %3, bias`, the constants repeated along all dimensions but
//! the channels. After: `%1 = conv %0, @w·scale; %2 = add %1, bias − mean · scale`.
//!
//! Factors are collected in f64 and applied to the original weights once, so a chain of any length costs one rounding per weight. The scaled weights are a
//! [deferred](graven_ir::deferred) tensor if they are large. Since (Σ w·x) · s becomes Σ (w·s)·x, nothing is folded where sums must not be reassociated, and
//! only into f32 and f64: halves would round the weights to 11 bits once more. Factors beyond 2^60, with which weights could overflow, stay; weights that
//! underflow are those of channels that vanish beside all others.

use super::rewrite::{Site, rewrite};
use super::{Context, PassError};
use graven_ir::{
    BinaryOp, ConvDimensions, DType, Dim, DimensionRole, Graph, GraphBuilder, Node, Op, Tensor, ValueId,
};
use rustc_hash::FxHashMap;
use smallvec::smallvec;

/// Factors beyond are not folded.
const LARGEST: f64 = (1u64 << 60) as f64;

/// The graph with affine functions of channels folded into weights.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    if !context.accuracy.reassociates() {
        return Ok(graph.clone());
    }
    let mut chains: FxHashMap<(usize, ValueId), Chain> = FxHashMap::default();
    let remarks = &mut *context.remarks;
    rewrite(context.constants, graph, &mut |builder, site| {
        if let Some(chain) = Chain::start(builder, site.node, site.operands) {
            let value = builder.op(site.node.op.clone(), site.operands)?;
            chains.insert((site.scope, value), chain);
            return Ok(Some(smallvec![value]));
        }
        let Some((chain, step)) = extend(builder, site, &chains) else { return Ok(None) };
        let folded = chain.after(&step);
        let value = match step {
            // An addend right behind the contraction is what the fold would give.
            Step::Add(..) if chain.is_bare() => builder.op(site.node.op.clone(), site.operands)?,
            _ => folded.build(builder)?,
        };
        if builder.ty(value) != site.graph.ty(site.node.results[0]) {
            return Ok(None);
        }
        if let Step::Mul(..) = step {
            remarks.applied("affine", site.node, || "factor per channel folded into weights".into());
        }
        chains.insert((site.scope, value), folded);
        Ok(Some(smallvec![value]))
    })
}

/// A contraction with constant weights and what has been done to its channels since.
#[derive(Clone)]
struct Chain {
    op: Op,
    operands: [ValueId; 2],
    /// Which operand the weights are.
    weights: usize,
    /// For each dimension of the result the dimension of the weights that it comes from.
    axes: Vec<Option<usize>>,
    /// The dimension of the result along which factor and addend vary.
    axis: Option<usize>,
    /// One entry per channel; a single one where they don't vary.
    factor: Vec<f64>,
    addend: Option<Vec<f64>>,
}

/// One function of each channel.
enum Step {
    Mul(Option<usize>, Vec<f64>),
    Add(Option<usize>, Vec<f64>),
}

impl Chain {
    /// The chain of a contraction with constant weights in f32 or f64.
    fn start(builder: &GraphBuilder, node: &Node, operands: &[ValueId]) -> Option<Chain> {
        let [x, y] = operands else { return None };
        if !matches!(builder.dtype(*x), DType::F32 | DType::F64) {
            return None;
        }
        let (weights, axes) = match &node.op {
            Op::Conv { dimensions, .. } => {
                builder.constant_value(*y)?;
                let kernel = ConvDimensions::position(&dimensions.kernel, DimensionRole::Outer)?;
                let axis = |role: &DimensionRole| (*role == DimensionRole::Inner).then_some(kernel);
                (1, dimensions.output.iter().map(axis).collect())
            }
            Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } => {
                let free = |value: ValueId, taken: [&[usize]; 2]| {
                    let all = 0..builder.ty(value).rank();
                    all.filter(|axis| !taken.iter().any(|t| t.contains(axis))).collect::<Vec<usize>>()
                };
                let (left, right) =
                    (free(*x, [lhs_batch, lhs_contract]), free(*y, [rhs_batch, rhs_contract]));
                let none = |axes: &[usize]| vec![None; axes.len()];
                let some = |axes: &[usize]| axes.iter().copied().map(Some).collect::<Vec<_>>();
                if builder.constant_value(*y).is_some() {
                    (1, [some(rhs_batch), none(&left), some(&right)].concat())
                } else {
                    builder.constant_value(*x)?;
                    (0, [some(lhs_batch), some(&left), none(&right)].concat())
                }
            }
            _ => return None,
        };
        let (op, operands) = (node.op.clone(), [*x, *y]);
        Some(Chain { op, operands, weights, axes, axis: None, factor: vec![1.0], addend: None })
    }

    fn is_bare(&self) -> bool {
        self.axis.is_none() && self.factor == [1.0] && self.addend.is_none()
    }

    /// Whether `axis` is one of the weights' and the same as that of what has been folded so far.
    fn takes(&self, axis: Option<usize>) -> bool {
        match (axis, self.axis) {
            (None, _) => true,
            (Some(axis), None) => self.axes.get(axis).copied().flatten().is_some(),
            (Some(axis), Some(own)) => axis == own,
        }
    }

    fn after(&self, step: &Step) -> Chain {
        let mut chain = self.clone();
        let (Step::Mul(axis, values) | Step::Add(axis, values)) = step;
        chain.axis = chain.axis.or(*axis);
        match step {
            Step::Mul(..) => {
                chain.factor = together(&self.factor, values, |a, b| a * b);
                chain.addend = self.addend.as_ref().map(|addend| together(addend, values, |a, b| a * b));
            }
            Step::Add(..) => {
                let zero = vec![0.0];
                let before = self.addend.as_ref().unwrap_or(&zero);
                chain.addend = Some(together(before, values, |a, b| a + b));
            }
        }
        chain
    }

    /// The contraction with scaled weights, and the addend.
    fn build(&self, builder: &mut GraphBuilder) -> Result<ValueId, PassError> {
        let mut operands = self.operands;
        let dtype = builder.dtype(operands[0]);
        if self.factor != [1.0] {
            let weights = operands[self.weights];
            let axis = self.axis.and_then(|axis| self.axes[axis]);
            let factor = vector(dtype, &self.factor)?;
            operands[self.weights] = scaled(builder, weights, factor, axis)?;
        }
        let value = builder.op(self.op.clone(), &operands)?;
        let Some(addend) = &self.addend else { return Ok(value) };
        let tensor = vector(dtype, addend)?;
        let dimensions = if tensor.shape().is_empty() { Vec::new() } else { self.axis.into_iter().collect() };
        let addend = builder.constant(tensor)?;
        let shape = builder.shape(value).to_vec();
        let addend = builder.op(Op::Broadcast { shape, dimensions }, &[addend])?;
        Ok(builder.op(Op::Binary(BinaryOp::Add), &[value, addend])?)
    }
}

/// A function of two vectors, where one of length 1 is repeated.
fn together(a: &[f64], b: &[f64], function: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let at = |values: &[f64], n: usize| values[if values.len() == 1 { 0 } else { n }];
    (0..a.len().max(b.len())).map(|n| function(at(a, n), at(b, n))).collect()
}

/// A vector, or a scalar for a single element, rounded to the dtype.
fn vector(dtype: DType, values: &[f64]) -> Result<Tensor, PassError> {
    let shape = if values.len() == 1 { Vec::new() } else { vec![values.len()] };
    let data: Vec<u8> =
        values.iter().flat_map(|value| graven_ir::element::encode_float(dtype, *value)).collect();
    Tensor::new(dtype, shape, data).map_err(|error| PassError::internal(error.to_string()))
}

/// Weights times a factor along one of their dimensions.
fn scaled(
    builder: &mut GraphBuilder,
    weights: ValueId,
    factor: Tensor,
    axis: Option<usize>,
) -> Result<ValueId, PassError> {
    let Some(tensor) = builder.constant_value(weights).cloned() else {
        return Err(PassError::internal("weights that are no constant"));
    };
    let shape = tensor.shape().iter().map(|extent| Dim::from(*extent)).collect();
    let dimensions = if factor.shape().is_empty() { Vec::new() } else { axis.into_iter().collect() };
    let factor = Tensor::deferred(Op::Broadcast { shape, dimensions }, &[factor])?;
    let product = Tensor::deferred(Op::Binary(BinaryOp::Mul), &[tensor, factor])?;
    let small = product.len() as i64 <= super::fold::FOLDED_ELEMENTS;
    Ok(builder.constant(if small { product.stored() } else { product })?)
}

/// The chain that a node continues, and how.
fn extend(
    builder: &GraphBuilder,
    site: &Site,
    chains: &FxHashMap<(usize, ValueId), Chain>,
) -> Option<(Chain, Step)> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands) else { return None };
    let commutes = matches!(op, BinaryOp::Add | BinaryOp::Mul);
    let places = [(0, *x, *y), (1, *y, *x)];
    let (place, chain, other) = places
        .into_iter()
        .take(if commutes { 2 } else { 1 })
        .find_map(|(place, value, other)| Some((place, chains.get(&(site.scope, value))?, other)))?;
    // Other users would need the contraction as it was.
    if site.uses.count(site.node.operands[place]) != 1 {
        return None;
    }
    let (axis, mut values) = per_channel(builder, other)?;
    let step = match op {
        BinaryOp::Add => Step::Add(axis, values),
        BinaryOp::Sub => {
            values.iter_mut().for_each(|value| *value = -*value);
            Step::Add(axis, values)
        }
        BinaryOp::Mul => Step::Mul(axis, values),
        BinaryOp::Div => {
            values.iter_mut().for_each(|value| *value = 1.0 / *value);
            Step::Mul(axis, values)
        }
        _ => return None,
    };
    let fits = |value: &f64| match step {
        Step::Mul(..) => value.abs() <= LARGEST,
        Step::Add(..) => value.is_finite(),
    };
    let (Step::Mul(_, values) | Step::Add(_, values)) = &step;
    (values.iter().all(fits) && chain.takes(axis)).then(|| (chain.clone(), step))
}

/// A constant that varies along one dimension at most: that dimension, and its elements along it.
fn per_channel(builder: &GraphBuilder, value: ValueId) -> Option<(Option<usize>, Vec<f64>)> {
    let graph = builder.graph();
    let (tensor, dimensions) = match builder.constant_value(value) {
        Some(tensor) => (tensor, (0..tensor.shape().len()).collect()),
        None => {
            let node = graph.node(graph.defining_node(value)?);
            let Op::Broadcast { dimensions, .. } = &node.op else { return None };
            (builder.constant_value(node.operands[0])?, dimensions.clone())
        }
    };
    let mut wide = tensor.shape().iter().enumerate().filter(|(_, extent)| **extent != 1);
    let axis = match (wide.next(), wide.next()) {
        (None, _) => None,
        (Some((axis, extent)), None) if *extent <= 1 << 20 => Some(dimensions[axis]),
        _ => return None,
    };
    Some((axis, tensor.to_f64s()))
}
