//! The activation functions of recurrent operators.

use super::cell::Kind;
use crate::import::onnx::context::NodeContext;
use crate::import::onnx::failure::{Result, bad_input};
use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, GraphBuilder, UnaryOp, ValueId};

/// A function with its parameters α and β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Activation {
    function: Function,
    alpha: f64,
    beta: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Relu,
    Tanh,
    Sigmoid,
    Affine,
    LeakyRelu,
    ThresholdedRelu,
    ScaledTanh,
    HardSigmoid,
    Elu,
    Softsign,
    Softplus,
}

impl Function {
    /// The function of a name, which some exporters write in other cases, with the defaults of its parameters.
    fn of_name(name: &str) -> Option<(Function, f64, f64)> {
        Some(match name.to_ascii_lowercase().as_str() {
            "relu" => (Function::Relu, 0.0, 0.0),
            "tanh" => (Function::Tanh, 0.0, 0.0),
            "sigmoid" => (Function::Sigmoid, 0.0, 0.0),
            "affine" => (Function::Affine, 1.0, 0.0),
            "leakyrelu" => (Function::LeakyRelu, 0.01, 0.0),
            "thresholdedrelu" => (Function::ThresholdedRelu, 1.0, 0.0),
            "scaledtanh" => (Function::ScaledTanh, 1.0, 1.0),
            "hardsigmoid" => (Function::HardSigmoid, 0.2, 0.5),
            "elu" => (Function::Elu, 1.0, 0.0),
            "softsign" => (Function::Softsign, 0.0, 0.0),
            "softplus" => (Function::Softplus, 0.0, 0.0),
            _ => return None,
        })
    }

    /// Whether a function takes a value of the attributes `activation_alpha` and `activation_beta`.
    fn takes(self) -> (bool, bool) {
        match self {
            Function::Affine | Function::ScaledTanh | Function::HardSigmoid => (true, true),
            Function::LeakyRelu | Function::ThresholdedRelu | Function::Elu => (true, false),
            Function::Relu | Function::Tanh | Function::Sigmoid | Function::Softsign | Function::Softplus => {
                (false, false)
            }
        }
    }
}

impl Activation {
    /// The functions of all directions of a node.
    pub(super) fn of_node(
        c: &NodeContext<'_, '_, '_>,
        kind: Kind,
        directions: usize,
    ) -> Result<Vec<Activation>> {
        let defaults: Vec<&str> =
            std::iter::repeat_n(kind.default_functions(), directions).flatten().copied().collect();
        let names = c.texts("activations")?.unwrap_or(defaults);
        if names.len() != directions * kind.functions() {
            return bad_input(format!("has {} activations for {directions} directions", names.len()));
        }
        let mut alphas = c.floats("activation_alpha")?.unwrap_or(&[]).iter();
        let mut betas = c.floats("activation_beta")?.unwrap_or(&[]).iter();
        let activation = |name: &&str| {
            let Some((function, alpha, beta)) = Function::of_name(name) else {
                return bad_input(format!("there is no activation `{name}`"));
            };
            let next = |takes: bool, values: &mut std::slice::Iter<'_, f32>, default: f64| match takes {
                true => values.next().map_or(default, |value| f64::from(*value)),
                false => default,
            };
            let (takes_alpha, takes_beta) = function.takes();
            Ok(Activation {
                function,
                alpha: next(takes_alpha, &mut alphas, alpha),
                beta: next(takes_beta, &mut betas, beta),
            })
        };
        names.iter().map(activation).collect()
    }

    /// The function of `x`.
    pub(super) fn apply(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
    ) -> std::result::Result<ValueId, InferError> {
        let Activation { function, alpha, beta } = *self;
        match function {
            Function::Relu => b.binary_scalar(BinaryOp::Max, x, 0.0),
            Function::Tanh => b.unary(UnaryOp::Tanh, x),
            Function::Sigmoid => b.unary(UnaryOp::Sigmoid, x),
            Function::Affine => affine(b, x, alpha, beta),
            Function::LeakyRelu => {
                let scaled = b.binary_scalar(BinaryOp::Mul, x, alpha)?;
                above(b, x, 0.0, x, scaled)
            }
            Function::ThresholdedRelu => {
                let zero = b.scalar(b.dtype(x), 0.0)?;
                above(b, x, alpha, x, zero)
            }
            Function::ScaledTanh => {
                let scaled = b.binary_scalar(BinaryOp::Mul, x, beta)?;
                let tanh = b.unary(UnaryOp::Tanh, scaled)?;
                b.binary_scalar(BinaryOp::Mul, tanh, alpha)
            }
            Function::HardSigmoid => {
                let line = affine(b, x, alpha, beta)?;
                let low = b.binary_scalar(BinaryOp::Max, line, 0.0)?;
                b.binary_scalar(BinaryOp::Min, low, 1.0)
            }
            Function::Elu => {
                let curve = b.unary(UnaryOp::Expm1, x)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, curve, alpha)?;
                above(b, x, 0.0, x, scaled)
            }
            Function::Softsign => {
                let magnitude = b.unary(UnaryOp::Abs, x)?;
                let divisor = b.binary_scalar(BinaryOp::Add, magnitude, 1.0)?;
                b.binary(BinaryOp::Div, x, divisor)
            }
            Function::Softplus => softplus(b, x),
        }
    }
}

fn affine(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    alpha: f64,
    beta: f64,
) -> std::result::Result<ValueId, InferError> {
    let scaled = b.binary_scalar(BinaryOp::Mul, x, alpha)?;
    b.binary_scalar(BinaryOp::Add, scaled, beta)
}

/// `then` where x > `threshold`, else `otherwise`.
fn above(
    b: &mut GraphBuilder<'_>,
    x: ValueId,
    threshold: f64,
    then: ValueId,
    otherwise: ValueId,
) -> std::result::Result<ValueId, InferError> {
    let threshold = b.scalar(b.dtype(x), threshold)?;
    let is_above = b.compare(CompareOp::Gt, x, threshold)?;
    b.select(is_above, then, otherwise)
}

/// max(x, 0) + ln(1 + e^−|x|).
fn softplus(b: &mut GraphBuilder<'_>, x: ValueId) -> std::result::Result<ValueId, InferError> {
    let magnitude = b.unary(UnaryOp::Abs, x)?;
    let negated = b.unary(UnaryOp::Neg, magnitude)?;
    let decay = b.unary(UnaryOp::Exp, negated)?;
    let tail = b.unary(UnaryOp::Log1p, decay)?;
    let positive = b.binary_scalar(BinaryOp::Max, x, 0.0)?;
    b.binary(BinaryOp::Add, positive, tail)
}
