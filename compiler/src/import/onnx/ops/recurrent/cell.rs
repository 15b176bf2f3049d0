//! One step of the three recurrent cells. Equations: ONNX operator specification, `RNN`, `GRU`, `LSTM`.

use super::activation::Activation;
use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, Dim, GraphBuilder, Op, ValueId};

type Result<T> = std::result::Result<T, InferError>;

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// H′ = f(x + H·Rᵀ).
    Rnn,
    /// Gated recurrent unit (Cho et al., 2014).
    Gru {
        /// The reset gate multiplies the product of the state instead of the state.
        linear_before_reset: bool,
    },
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997), with peepholes.
    Lstm {
        /// The forget gate is 1 − input gate.
        input_forget: bool,
    },
}

impl Kind {
    /// Number of states: hidden, and for LSTM the cell.
    pub(super) fn states(self) -> usize {
        if matches!(self, Kind::Lstm { .. }) { 2 } else { 1 }
    }

    /// Number of activation functions.
    pub(super) fn functions(self) -> usize {
        self.default_functions().len()
    }

    /// Their defaults.
    pub(super) fn default_functions(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru { .. } => &["Sigmoid", "Tanh"],
            Kind::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// A cell with its functions.
pub(super) struct Cell {
    pub(super) kind: Kind,
    pub(super) functions: Vec<Activation>,
    /// Arguments of the functions are limited to ±clip.
    pub(super) clip: Option<f64>,
}

/// What multiplies the state.
pub(super) struct Weights {
    /// \[gates · hidden, hidden\].
    pub(super) recurrence: ValueId,
    /// \[gates · hidden\].
    pub(super) bias: Option<ValueId>,
    /// \[3 · hidden\]: input, output, forget.
    pub(super) peepholes: Option<ValueId>,
}

/// h·Rᵀ for rows `start..end` of R, plus the bias of these rows.
fn recur(
    b: &mut GraphBuilder<'_>,
    h: ValueId,
    weights: &Weights,
    rows: std::ops::Range<i64>,
) -> Result<ValueId> {
    let hidden = b.shape(h)[1].clone();
    let (start, end) = (&hidden * &Dim::from(rows.start), &hidden * &Dim::from(rows.end));
    let matrix = slice(b, weights.recurrence, 0, &start, &end)?;
    let op =
        Op::DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![1] };
    let product = b.op(op, &[h, matrix])?;
    match weights.bias {
        Some(bias) => {
            let bias = slice(b, bias, 0, &start, &end)?;
            b.binary(BinaryOp::Add, product, bias)
        }
        None => Ok(product),
    }
}

fn slice(b: &mut GraphBuilder<'_>, x: ValueId, axis: usize, start: &Dim, end: &Dim) -> Result<ValueId> {
    let shape = b.shape(x);
    if start.is(0) && *end == shape[axis] {
        return Ok(x);
    }
    let (mut starts, mut limits) = (vec![Dim::ZERO; shape.len()], shape.to_vec());
    (starts[axis], limits[axis]) = (start.clone(), end.clone());
    b.op(Op::Slice { start: starts, limit: limits, stride: vec![1; shape.len()] }, &[x])
}

/// Gate number `place` of \[batch, gates · hidden\].
fn gate(b: &mut GraphBuilder<'_>, x: ValueId, hidden: &Dim, place: i64) -> Result<ValueId> {
    slice(b, x, 1, &(hidden * &Dim::from(place)), &(hidden * &Dim::from(place + 1)))
}

impl Cell {
    /// The new states from the projected inputs \[batch, gates · hidden\] and the old states.
    pub(super) fn step(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        states: &[ValueId],
        weights: &Weights,
    ) -> Result<Vec<ValueId>> {
        match (self.kind, states) {
            (Kind::Rnn, [h]) => {
                let recurrent = recur(b, *h, weights, 0..1)?;
                let sum = b.binary(BinaryOp::Add, x, recurrent)?;
                Ok(vec![self.activate(b, 0, sum)?])
            }
            (Kind::Gru { linear_before_reset }, [h]) => self.gru(b, x, *h, weights, linear_before_reset),
            (Kind::Lstm { input_forget }, [h, cell]) => self.lstm(b, x, [*h, *cell], weights, input_forget),
            _ => Err(InferError { op: "scan", reason: "has the wrong number of states".into() }),
        }
    }

    /// A function of a clipped argument.
    fn activate(&self, b: &mut GraphBuilder<'_>, function: usize, x: ValueId) -> Result<ValueId> {
        let x = match self.clip {
            Some(clip) => {
                let low = b.binary_scalar(BinaryOp::Max, x, -clip)?;
                b.binary_scalar(BinaryOp::Min, low, clip)?
            }
            None => x,
        };
        self.functions[function].apply(b, x)
    }

    /// Gates: update, reset, hidden.
    fn gru(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        h: ValueId,
        weights: &Weights,
        linear_before_reset: bool,
    ) -> Result<Vec<ValueId>> {
        let hidden = b.shape(h)[1].clone();
        let (z, r, n) = (gate(b, x, &hidden, 0)?, gate(b, x, &hidden, 1)?, gate(b, x, &hidden, 2)?);
        let gates = recur(b, h, weights, 0..2)?;
        let (state_z, state_r) = (gate(b, gates, &hidden, 0)?, gate(b, gates, &hidden, 1)?);
        let z = b.binary(BinaryOp::Add, z, state_z)?;
        let z = self.activate(b, 0, z)?;
        let r = b.binary(BinaryOp::Add, r, state_r)?;
        let r = self.activate(b, 0, r)?;
        let state_n = match linear_before_reset {
            true => {
                let product = recur(b, h, weights, 2..3)?;
                b.binary(BinaryOp::Mul, r, product)?
            }
            false => {
                let reset = b.binary(BinaryOp::Mul, r, h)?;
                recur(b, reset, weights, 2..3)?
            }
        };
        let n = b.binary(BinaryOp::Add, n, state_n)?;
        let n = self.activate(b, 1, n)?;
        // (1 − z)·n + z·h = n + z·(h − n).
        let difference = b.binary(BinaryOp::Sub, h, n)?;
        let kept = b.binary(BinaryOp::Mul, z, difference)?;
        Ok(vec![b.binary(BinaryOp::Add, n, kept)?])
    }

    /// Gates: input, output, forget, cell.
    fn lstm(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        [h, cell]: [ValueId; 2],
        weights: &Weights,
        input_forget: bool,
    ) -> Result<Vec<ValueId>> {
        let hidden = b.shape(h)[1].clone();
        let recurrent = recur(b, h, weights, 0..4)?;
        let sum = b.binary(BinaryOp::Add, x, recurrent)?;
        let peep =
            |b: &mut GraphBuilder<'_>, gate: ValueId, place: i64, cell: ValueId| match weights.peepholes {
                None => Ok(gate),
                Some(peepholes) => {
                    let factors = slice(
                        b,
                        peepholes,
                        0,
                        &(&hidden * &Dim::from(place)),
                        &(&hidden * &Dim::from(place + 1)),
                    )?;
                    let seen = b.binary(BinaryOp::Mul, cell, factors)?;
                    b.binary(BinaryOp::Add, gate, seen)
                }
            };
        let input = gate(b, sum, &hidden, 0)?;
        let input = peep(b, input, 0, cell)?;
        let input = self.activate(b, 0, input)?;
        let forget = match input_forget {
            true => {
                let negated = b.unary(graven_ir::UnaryOp::Neg, input)?;
                b.binary_scalar(BinaryOp::Add, negated, 1.0)?
            }
            false => {
                let forget = gate(b, sum, &hidden, 2)?;
                let forget = peep(b, forget, 2, cell)?;
                self.activate(b, 0, forget)?
            }
        };
        let candidate = gate(b, sum, &hidden, 3)?;
        let candidate = self.activate(b, 1, candidate)?;
        let kept = b.binary(BinaryOp::Mul, forget, cell)?;
        let added = b.binary(BinaryOp::Mul, input, candidate)?;
        let cell = b.binary(BinaryOp::Add, kept, added)?;
        let output = gate(b, sum, &hidden, 1)?;
        let output = peep(b, output, 1, cell)?;
        let output = self.activate(b, 0, output)?;
        // The cell itself is not clipped.
        let squashed = self.functions[2].apply(b, cell)?;
        Ok(vec![b.binary(BinaryOp::Mul, output, squashed)?, cell])
    }
}
