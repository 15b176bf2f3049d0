//! Recognises functions that have a row of their own where a model spells them out.
//!
//! Before: `%1 = mul %0, 0.7071…; %2 = erf %1; %3 = add %2, 1.0; %4 = mul %0, %3; %5 = mul %4, 0.5`. After: `%5 = gelu %0 {tanh = false}`.
//!
//! * gelu, with erf or tanh, its factors in any order and nesting
//! * sigmoid as 1 ÷ (1 + e⁻ˣ), which overflows for no x in its own row
//! * silu as x · sigmoid(x) and x ÷ (1 + e⁻ˣ)
//!
//! Softmax and the norms need no row: spelled out, canonicalisation leaves the very primitives that they decompose into, and attention is the products around them.
//! Products are computed in another order, so nothing is raised where that is not allowed. Constants may be rounded to the dtype of the model.

use super::canonicalise::facts::{definition, operand_of, repeated};
use super::rewrite::rewrite;
use super::{Context, PassError};
use graven_ir::{BinaryOp, DType, Graph, GraphBuilder, Node, Op, UnaryOp, ValueId};
use smallvec::smallvec;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// How deep products are taken apart.
const DEPTH: usize = 6;

/// The cubic coefficient of the tanh form (Hendrycks and Gimpel, 2016).
const CUBIC: f64 = 0.044715;

/// The graph with functions raised to rows of their own.
pub fn run(context: &mut Context, graph: &Graph) -> Result<Graph, PassError> {
    if !context.accuracy.reassociates() {
        return Ok(graph.clone());
    }
    let remarks = &mut *context.remarks;
    rewrite(context.constants, graph, &mut |builder, site| {
        let Some((op, x)) = recognise(builder, site.node, site.operands) else { return Ok(None) };
        remarks.applied("raise", site.node, || format!("recognised as `{}`", op.name()));
        Ok(Some(smallvec![builder.op(op, &[x])?]))
    })
}

fn recognise(builder: &GraphBuilder, node: &Node, operands: &[ValueId]) -> Option<(Op, ValueId)> {
    match (&node.op, operands) {
        (Op::Unary(UnaryOp::Reciprocal), [y]) => {
            Some((Op::Unary(UnaryOp::Sigmoid), sigmoid_divisor(builder, *y)?))
        }
        (Op::Binary(BinaryOp::Div), [x, y]) => {
            (sigmoid_divisor(builder, *y)? == *x).then_some((Op::Silu, *x))
        }
        (Op::Binary(BinaryOp::Mul), [a, b]) => {
            let mut product = Product::of(builder, *a, DEPTH);
            product.append(Product::of(builder, *b, DEPTH));
            silu(builder, &product).or_else(|| gelu(builder, &product))
        }
        _ => None,
    }
}

/// x of 1 + e⁻ˣ.
fn sigmoid_divisor(builder: &GraphBuilder, value: ValueId) -> Option<ValueId> {
    let power = plus(builder, value, 1.0)?;
    operand_of(builder, operand_of(builder, power, UnaryOp::Exp)?, UnaryOp::Neg)
}

/// y of y + `constant`.
fn plus(builder: &GraphBuilder, value: ValueId, constant: f64) -> Option<ValueId> {
    let node = definition(builder, value).filter(|node| node.op == Op::Binary(BinaryOp::Add))?;
    let [x, y] = node.operands.as_slice() else { return None };
    if repeated(builder, *y) == Some(constant) {
        return Some(*x);
    }
    (repeated(builder, *x) == Some(constant)).then_some(*y)
}

/// Factors of a product: the constant ones multiplied.
struct Product {
    constant: f64,
    factors: Vec<ValueId>,
}

impl Product {
    fn of(builder: &GraphBuilder, value: ValueId, depth: usize) -> Product {
        if let Some(constant) = repeated(builder, value) {
            return Product { constant, factors: Vec::new() };
        }
        let whole = || Product { constant: 1.0, factors: vec![value] };
        let Some(node) = definition(builder, value).filter(|_| depth > 0) else { return whole() };
        match (&node.op, node.operands.as_slice()) {
            (Op::Binary(BinaryOp::Mul), [x, y]) => {
                let mut product = Product::of(builder, *x, depth - 1);
                product.append(Product::of(builder, *y, depth - 1));
                product
            }
            (Op::Binary(BinaryOp::Div), [x, y]) => match repeated(builder, *y) {
                Some(divisor) => {
                    let mut product = Product::of(builder, *x, depth - 1);
                    product.constant /= divisor;
                    product
                }
                None => whole(),
            },
            _ => whole(),
        }
    }

    fn append(&mut self, other: Product) {
        self.constant *= other.constant;
        self.factors.extend(other.factors);
    }

    /// Whether this is `constant` · x^`power`.
    fn is(&self, dtype: DType, constant: f64, x: ValueId, power: usize) -> bool {
        self.factors.len() == power
            && self.factors.iter().all(|factor| *factor == x)
            && near(dtype, self.constant, constant)
    }
}

/// Equal but for the rounding of constants to the dtype.
fn near(dtype: DType, value: f64, wanted: f64) -> bool {
    let tolerance = match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 2e-6,
    };
    (value - wanted).abs() <= tolerance * wanted.abs()
}

fn silu(builder: &GraphBuilder, product: &Product) -> Option<(Op, ValueId)> {
    let [a, b] = product.factors.as_slice() else { return None };
    if product.constant != 1.0 {
        return None;
    }
    let is_gate = |gate: ValueId, x: ValueId| operand_of(builder, gate, UnaryOp::Sigmoid) == Some(x);
    let x = [(*a, *b), (*b, *a)].into_iter().find(|(x, gate)| is_gate(*gate, *x))?.0;
    Some((Op::Silu, x))
}

fn gelu(builder: &GraphBuilder, product: &Product) -> Option<(Op, ValueId)> {
    let [a, b] = product.factors.as_slice() else { return None };
    [(*a, *b), (*b, *a)].into_iter().find_map(|(x, factor)| {
        let dtype = builder.dtype(x);
        if !near(dtype, product.constant, 0.5) {
            return None;
        }
        let inner = plus(builder, factor, 1.0)?;
        if let Some(argument) = operand_of(builder, inner, UnaryOp::Erf) {
            let scaled = Product::of(builder, argument, DEPTH);
            return scaled.is(dtype, FRAC_1_SQRT_2, x, 1).then_some((Op::Gelu { tanh: false }, x));
        }
        let argument = operand_of(builder, inner, UnaryOp::Tanh)?;
        is_tanh_argument(builder, argument, x).then_some((Op::Gelu { tanh: true }, x))
    })
}

/// √(2/π)(x + 0.044715x³), or √(2/π)x(1 + 0.044715x²).
fn is_tanh_argument(builder: &GraphBuilder, value: ValueId, x: ValueId) -> bool {
    let dtype = builder.dtype(x);
    let product = Product::of(builder, value, DEPTH);
    if !near(dtype, product.constant, FRAC_2_PI.sqrt()) {
        return false;
    }
    let is_power =
        |value: ValueId, power: usize| Product::of(builder, value, DEPTH).is(dtype, CUBIC, x, power);
    match product.factors.as_slice() {
        [sum] => {
            let Some(node) = definition(builder, *sum) else { return false };
            let (Op::Binary(BinaryOp::Add), [a, b]) = (&node.op, node.operands.as_slice()) else {
                return false;
            };
            (*a == x && is_power(*b, 3)) || (*b == x && is_power(*a, 3))
        }
        [a, b] => [(*a, *b), (*b, *a)].into_iter().any(|(linear, sum)| {
            linear == x && plus(builder, sum, 1.0).is_some_and(|square| is_power(square, 2))
        }),
        _ => false,
    }
}
