//! The optimisers of the domain `ai.onnx.preview.training`: one step for any number of parameters.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::{BinaryOp, CompareOp, DType, UnaryOp, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// The inputs of one parameter.
struct Parameter {
    value: ValueId,
    /// The gradient, with the regularisation's.
    gradient: ValueId,
    states: Vec<ValueId>,
}

/// Learning rate, number of updates so far, parameters with so many states each.
fn inputs(c: &mut Context<'_, '_, '_>, states: usize) -> Result<(ValueId, ValueId, Vec<Parameter>)> {
    let values = c.values()?;
    let [rate, updates, rest @ ..] = values.as_slice() else {
        return bad_input("needs a rate and a counter");
    };
    if !rest.len().is_multiple_of(states + 2) {
        return bad_input(format!("has {} inputs for parameters with {states} states", rest.len()));
    }
    let count = rest.len() / (states + 2);
    let norm = c.float_or("norm_coefficient", 0.0)?;
    let mut parameters = Vec::with_capacity(count);
    for place in 0..count {
        let value = rest[place];
        let decay = c.binary_scalar(BinaryOp::Mul, value, norm)?;
        let gradient = c.binary(BinaryOp::Add, decay, rest[count + place])?;
        let states = (0..states).map(|state| rest[count * (state + 2) + place]).collect();
        parameters.push(Parameter { value, gradient, states });
    }
    Ok((c.reshape(*rate, &[])?, c.reshape(*updates, &[])?, parameters))
}

/// Results by kind, then by parameter.
fn outputs(results: &[Vec<ValueId>]) -> Outputs {
    let kinds = results.first().map_or(0, Vec::len);
    Outputs::values((0..kinds).flat_map(|kind| results.iter().map(move |values| values[kind])))
}

/// factor · old + rest · new.
fn blended(
    c: &mut Context<'_, '_, '_>,
    [old, new]: [ValueId; 2],
    [factor, rest]: [f64; 2],
) -> Result<ValueId> {
    let old = c.binary_scalar(BinaryOp::Mul, old, factor)?;
    let new = c.binary_scalar(BinaryOp::Mul, new, rest)?;
    Ok(c.binary(BinaryOp::Add, old, new)?)
}

/// value − rate · direction ÷ (√square + ε).
fn descended(
    c: &mut Context<'_, '_, '_>,
    value: ValueId,
    rate: ValueId,
    [direction, square]: [ValueId; 2],
) -> Result<ValueId> {
    let epsilon = c.float_or("epsilon", 1e-6)?;
    let root = c.unary(UnaryOp::Sqrt, square)?;
    let divisor = c.binary_scalar(BinaryOp::Add, root, epsilon)?;
    let step = c.binary(BinaryOp::Mul, direction, rate)?;
    let step = c.binary(BinaryOp::Div, step, divisor)?;
    Ok(c.binary(BinaryOp::Sub, value, step)?)
}

/// `Adagrad` (Duchi et al., 2011).
pub(super) fn adagrad(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (rate, updates, parameters) = inputs(c, 1)?;
    let dtype = c.dtype(rate);
    let decay = c.float_or("decay_factor", 0.0)?;
    let updates = c.cast(updates, dtype)?;
    let decayed = c.binary_scalar(BinaryOp::Mul, updates, decay)?;
    let divisor = c.binary_scalar(BinaryOp::Add, decayed, 1.0)?;
    let rate = c.binary(BinaryOp::Div, rate, divisor)?;
    let mut results = Vec::with_capacity(parameters.len());
    for Parameter { value, gradient, states } in parameters {
        let square = c.binary(BinaryOp::Mul, gradient, gradient)?;
        let square = c.binary(BinaryOp::Add, states[0], square)?;
        results.push(vec![descended(c, value, rate, [gradient, square])?, square]);
    }
    Ok(outputs(&results))
}

/// 1 − factorᵗ.
fn bias_correction(c: &mut Context<'_, '_, '_>, updates: ValueId, factor: f64) -> Result<ValueId> {
    let factor = c.scalar_like(updates, factor)?;
    let power = c.binary(BinaryOp::Pow, factor, updates)?;
    let negated = c.unary(UnaryOp::Neg, power)?;
    Ok(c.binary_scalar(BinaryOp::Add, negated, 1.0)?)
}

/// `Adam` (Kingma and Ba, 2015); no correction of the bias at the first update.
pub(super) fn adam(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (rate, updates, parameters) = inputs(c, 2)?;
    let (alpha, beta) = (c.float_or("alpha", 0.9)?, c.float_or("beta", 0.999)?);
    let post = c.float_or("norm_coefficient_post", 0.0)?;
    let dtype = c.dtype(rate);
    let updates = c.cast(updates, dtype)?;
    let (first, second) = (bias_correction(c, updates, alpha)?, bias_correction(c, updates, beta)?);
    let root = c.unary(UnaryOp::Sqrt, second)?;
    let corrected = c.binary(BinaryOp::Mul, rate, root)?;
    let corrected = c.binary(BinaryOp::Div, corrected, first)?;
    let zero = c.scalar(dtype, 0.0)?;
    let is_later = c.compare(CompareOp::Gt, updates, zero)?;
    let rate = c.select(is_later, corrected, rate)?;
    let mut results = Vec::with_capacity(parameters.len());
    for Parameter { value, gradient, states } in parameters {
        let mean = blended(c, [states[0], gradient], [alpha, 1.0 - alpha])?;
        let square = c.binary(BinaryOp::Mul, gradient, gradient)?;
        let square = blended(c, [states[1], square], [beta, 1.0 - beta])?;
        let value = descended(c, value, rate, [mean, square])?;
        let value = c.binary_scalar(BinaryOp::Mul, value, 1.0 - post)?;
        results.push(vec![value, mean, square]);
    }
    Ok(outputs(&results))
}

/// `Momentum`, plain or Nesterov's (Sutskever et al., 2013). The gradient counts fully at the first update.
pub(super) fn momentum(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let (rate, updates, parameters) = inputs(c, 1)?;
    let (alpha, beta) = (c.float_or("alpha", 0.0)?, c.float_or("beta", 0.0)?);
    let is_nesterov = match c.text_or("mode", "standard")? {
        "standard" => false,
        "nesterov" => true,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let dtype = c.dtype(rate);
    let zero = c.scalar(DType::I64, 0.0)?;
    let is_later = c.compare(CompareOp::Gt, updates, zero)?;
    let (beta, one) = (c.scalar(dtype, beta)?, c.scalar(dtype, 1.0)?);
    let weight = c.select(is_later, beta, one)?;
    let mut results = Vec::with_capacity(parameters.len());
    for Parameter { value, gradient, states } in parameters {
        let old = c.binary_scalar(BinaryOp::Mul, states[0], alpha)?;
        let new = c.binary(BinaryOp::Mul, gradient, weight)?;
        let velocity = c.binary(BinaryOp::Add, old, new)?;
        let direction = match is_nesterov {
            true => {
                let ahead = c.binary_scalar(BinaryOp::Mul, velocity, alpha)?;
                c.binary(BinaryOp::Add, gradient, ahead)?
            }
            false => velocity,
        };
        let step = c.binary(BinaryOp::Mul, direction, rate)?;
        results.push(vec![c.binary(BinaryOp::Sub, value, step)?, velocity]);
    }
    Ok(outputs(&results))
}
