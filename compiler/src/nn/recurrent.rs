//! Recurrent layers: loops of the entry function over native kernels. The projection of the inputs is one matrix product before the loop.

use super::activation::Dropout;
use super::dense::{fan_in_bias, linear};
use super::{Built, Forward, Layer, NnError};
use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, DType, Dim, GraphBuilder, Op, UnaryOp, ValueId};

/// The step of a recurrent layer, W and U the weights of the input x and of the state h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h ← tanh(Wx + b + Uh + b′) (Elman, 1990).
    Rnn,
    /// Gates i, f, g, o: c ← σ(f)·c + σ(i)·tanh(g), h ← σ(o)·tanh(c) (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).
    Lstm,
    /// Gates r, z, n: n = tanh(Wx + b + σ(r)·(Uh + b′)), h ← (1 − σ(z))·n + σ(z)·h (Cho et al., 2014, in cuDNN's form).
    Gru,
}

impl Cell {
    const fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }
}

/// A recurrent layer over `[time, n, in]`, which gives `[time, n, hidden]`, both directions joined if there are two.
///
/// Parameters as PyTorch's, for each layer k, those of the backward direction ending with `_reverse`: `weight_ih_lk` \[gates · hidden, in\], `weight_hh_lk`
/// \[gates · hidden, hidden\], `bias_ih_lk` and `bias_hh_lk` \[gates · hidden\]. First values are uniform in ±√(1 ÷ hidden).
#[derive(Clone, Copy, Debug)]
pub struct Recurrent {
    cell: Cell,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    batch_first: bool,
    dropout: f64,
}

/// What a recurrent layer gives.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// Outputs of the last layer at all times.
    pub output: ValueId,
    /// The last h of each layer and direction: `[layers · directions, n, hidden]`.
    pub hidden: ValueId,
    /// The last c, for LSTMs.
    pub cell: Option<ValueId>,
}

impl Recurrent {
    /// A layer of some cell.
    pub fn new(cell: Cell, hidden: usize) -> Recurrent {
        Recurrent { cell, hidden, layers: 1, bidirectional: false, batch_first: false, dropout: 0.0 }
    }

    /// A plain recurrent layer with tanh.
    pub fn rnn(hidden: usize) -> Recurrent {
        Recurrent::new(Cell::Rnn, hidden)
    }

    /// Long short-term memory.
    pub fn lstm(hidden: usize) -> Recurrent {
        Recurrent::new(Cell::Lstm, hidden)
    }

    /// Gated recurrent units.
    pub fn gru(hidden: usize) -> Recurrent {
        Recurrent::new(Cell::Gru, hidden)
    }

    /// With so many layers, one on the outputs of the other.
    #[must_use]
    pub fn layers(self, layers: usize) -> Recurrent {
        Recurrent { layers, ..self }
    }

    /// Forwards and backwards in time.
    #[must_use]
    pub fn bidirectional(self) -> Recurrent {
        Recurrent { bidirectional: true, ..self }
    }

    /// Over `[n, time, in]`.
    #[must_use]
    pub fn batch_first(self) -> Recurrent {
        Recurrent { batch_first: true, ..self }
    }

    /// With dropout between layers.
    #[must_use]
    pub fn dropout(self, probability: f64) -> Recurrent {
        Recurrent { dropout: probability, ..self }
    }

    /// Outputs and last states. `initial` is the first h and, for LSTMs, c, each as in [`Sequence`]; zeros if there is none.
    ///
    /// # Errors
    /// [`NnError::Layer`] for an input of another rank or initial states of another count.
    pub fn run(
        &self,
        f: &mut Forward<'_>,
        x: ValueId,
        initial: Option<&[ValueId]>,
    ) -> Result<Sequence, NnError> {
        if f.ty(x).rank() != 3 {
            let ty = f.ty(x).clone();
            return f.refuse(format!("a recurrent layer over {ty}: must have three dimensions"));
        }
        let states = if self.cell == Cell::Lstm { 2 } else { 1 };
        if initial.is_some_and(|initial| initial.len() != states) {
            return f.refuse(format!("needs {states} initial states"));
        }
        let mut value = if self.batch_first { f.transpose(x, &[1, 0, 2])? } else { x };
        let directions = if self.bidirectional { 2 } else { 1 };
        let mut last: Vec<Vec<ValueId>> = vec![Vec::new(); states];
        for layer in 0..self.layers {
            if layer > 0 {
                value = Dropout::new(self.dropout).forward(f, value)?;
            }
            let mut outputs = Vec::with_capacity(directions);
            for direction in 0..directions {
                let first = match initial {
                    Some(initial) => part_of(f, initial, layer * directions + direction)?,
                    None => self.zeros(f, value, states)?,
                };
                let found = self.direction(f, value, layer, direction == 1, &first)?;
                outputs.push(found.output);
                last.iter_mut().zip(found.last).for_each(|(all, state)| all.push(state));
            }
            value = match outputs[..] {
                [output] => output,
                _ => f.op(Op::Concat { axis: 2 }, &outputs)?,
            };
        }
        let mut last = last.into_iter().map(|states| stack(f, &states)).collect::<Result<Vec<_>, _>>()?;
        let cell = if states == 2 { last.pop() } else { None };
        let output = if self.batch_first { f.transpose(value, &[1, 0, 2])? } else { value };
        match last.pop() {
            Some(hidden) => Ok(Sequence { output, hidden, cell }),
            None => f.refuse("has no layer"),
        }
    }

    /// Zeros as the first states for a batch.
    fn zeros(&self, f: &mut Forward<'_>, x: ValueId, states: usize) -> Result<Vec<ValueId>, NnError> {
        let dtype = f.dtype(x);
        let zero = f.scalar(dtype, 0.0)?;
        let shape = [f.shape(x)[1].clone(), Dim::from(self.hidden as i64)];
        let zeros = f.broadcast_to(zero, &shape)?;
        Ok(vec![zeros; states])
    }

    fn direction(
        &self,
        f: &mut Forward<'_>,
        x: ValueId,
        layer: usize,
        reverse: bool,
        first: &[ValueId],
    ) -> Result<Direction, NnError> {
        let weights = Weights::new(self, f, x, layer, reverse)?;
        let projected = linear(f, x, weights.input)?;
        let mut projected = f.binary(BinaryOp::Add, projected, weights.input_bias)?;
        let mut captured = vec![weights.hidden];
        match self.cell {
            Cell::Gru => captured.push(weights.hidden_bias),
            Cell::Rnn | Cell::Lstm => projected = f.binary(BinaryOp::Add, projected, weights.hidden_bias)?,
        }
        let mut operands = first.to_vec();
        operands.push(projected);
        operands.extend(&captured);
        let mut types = vec![f.ty(first[0]).clone(); first.len()];
        let mut slice = f.ty(projected).clone();
        slice.shape.remove(0);
        types.push(slice);
        types.extend(captured.iter().map(|value| f.ty(*value).clone()));
        let mut body = f.region();
        let params: Vec<ValueId> = types.into_iter().map(|ty| body.param(ty, None)).collect();
        let mut results = self.step(&mut body, &params)?;
        results.push(results[0]);
        let body = body.finish(results);
        let length = f.shape(x)[0].clone();
        let op = Op::Scan { carried: first.len(), scanned: 1, length, reverse };
        let node = f.node(op, &operands, vec![body])?;
        let results = f.graph().node(node).results.clone();
        Ok(Direction { last: results[..first.len()].to_vec(), output: results[first.len()] })
    }

    /// The new states from the old ones, a slice of the projected input and the captured weights.
    fn step(&self, b: &mut GraphBuilder<'_>, params: &[ValueId]) -> Result<Vec<ValueId>, InferError> {
        match (self.cell, params) {
            (Cell::Rnn, [h, x, weight]) => {
                let recurrent = product(b, *h, *weight)?;
                let sum = b.binary(BinaryOp::Add, *x, recurrent)?;
                Ok(vec![b.unary(UnaryOp::Tanh, sum)?])
            }
            (Cell::Lstm, [h, c, x, weight]) => {
                let recurrent = product(b, *h, *weight)?;
                let sum = b.binary(BinaryOp::Add, *x, recurrent)?;
                let input = self.gate(b, sum, 0, UnaryOp::Sigmoid)?;
                let forget = self.gate(b, sum, 1, UnaryOp::Sigmoid)?;
                let candidate = self.gate(b, sum, 2, UnaryOp::Tanh)?;
                let output = self.gate(b, sum, 3, UnaryOp::Sigmoid)?;
                let kept = b.binary(BinaryOp::Mul, forget, *c)?;
                let new = b.binary(BinaryOp::Mul, input, candidate)?;
                let c = b.binary(BinaryOp::Add, kept, new)?;
                let shown = b.unary(UnaryOp::Tanh, c)?;
                Ok(vec![b.binary(BinaryOp::Mul, output, shown)?, c])
            }
            (Cell::Gru, [h, x, weight, bias]) => {
                let recurrent = product(b, *h, *weight)?;
                let recurrent = b.binary(BinaryOp::Add, recurrent, *bias)?;
                let mut gates = Vec::with_capacity(2);
                for place in 0..2 {
                    let (x, r) = (self.part(b, *x, place)?, self.part(b, recurrent, place)?);
                    let sum = b.binary(BinaryOp::Add, x, r)?;
                    gates.push(b.unary(UnaryOp::Sigmoid, sum)?);
                }
                let (x, r) = (self.part(b, *x, 2)?, self.part(b, recurrent, 2)?);
                let gated = b.binary(BinaryOp::Mul, gates[0], r)?;
                let sum = b.binary(BinaryOp::Add, x, gated)?;
                let new = b.unary(UnaryOp::Tanh, sum)?;
                let change = b.binary(BinaryOp::Sub, *h, new)?;
                let kept = b.binary(BinaryOp::Mul, gates[1], change)?;
                Ok(vec![b.binary(BinaryOp::Add, new, kept)?])
            }
            _ => Err(InferError { op: "scan", reason: "a cell with other operands".into() }),
        }
    }

    fn gate(
        &self,
        b: &mut GraphBuilder<'_>,
        x: ValueId,
        place: usize,
        function: UnaryOp,
    ) -> Result<ValueId, InferError> {
        let part = self.part(b, x, place)?;
        b.unary(function, part)
    }

    /// Columns of the n-th gate.
    fn part(&self, b: &mut GraphBuilder<'_>, x: ValueId, place: usize) -> Result<ValueId, InferError> {
        let batch = b.shape(x)[0].clone();
        let column = |place: usize| Dim::from((place * self.hidden) as i64);
        let op = Op::Slice {
            start: vec![Dim::ZERO, column(place)],
            limit: vec![batch, column(place + 1)],
            stride: vec![1, 1],
        };
        b.op(op, &[x])
    }
}

impl Layer for Recurrent {
    fn forward(&self, f: &mut Forward<'_>, x: ValueId) -> Built {
        Ok(self.run(f, x, None)?.output)
    }
}

/// The results of one direction of one layer.
struct Direction {
    output: ValueId,
    last: Vec<ValueId>,
}

/// The parameters of one direction of one layer.
struct Weights {
    input: ValueId,
    hidden: ValueId,
    input_bias: ValueId,
    hidden_bias: ValueId,
}

impl Weights {
    fn new(
        layer: &Recurrent,
        f: &mut Forward<'_>,
        x: ValueId,
        place: usize,
        reverse: bool,
    ) -> Result<Weights, NnError> {
        let (features, dtype) = (f.extent(x, 2)?, f.dtype(x));
        let rows = layer.cell.gates() * layer.hidden;
        let suffix = if reverse { "_reverse" } else { "" };
        let mut parameter = |word: &str, shape: &[usize], dtype: DType| {
            f.parameter(&format!("{word}_l{place}{suffix}"), dtype, shape, fan_in_bias(layer.hidden))
        };
        Ok(Weights {
            input: parameter("weight_ih", &[rows, features], dtype)?,
            hidden: parameter("weight_hh", &[rows, layer.hidden], dtype)?,
            input_bias: parameter("bias_ih", &[rows], dtype)?,
            hidden_bias: parameter("bias_hh", &[rows], dtype)?,
        })
    }
}

/// h Wᵀ.
fn product(b: &mut GraphBuilder<'_>, h: ValueId, weight: ValueId) -> Result<ValueId, InferError> {
    let op =
        Op::DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![1] };
    b.op(op, &[h, weight])
}

/// Slice `place` of the leading dimension of each value.
fn part_of(f: &mut Forward<'_>, values: &[ValueId], place: usize) -> Result<Vec<ValueId>, NnError> {
    let mut parts = Vec::with_capacity(values.len());
    for value in values {
        let shape = f.shape(*value);
        let mut start = vec![Dim::ZERO; shape.len()];
        let mut limit = shape.to_vec();
        (start[0], limit[0]) = (Dim::from(place as i64), Dim::from(place as i64 + 1));
        let part = f.op(Op::Slice { start, limit, stride: vec![1; shape.len()] }, &[*value])?;
        parts.push(f.reshape(part, &shape[1..])?);
    }
    Ok(parts)
}

/// Values joined along a new leading dimension.
fn stack(f: &mut Forward<'_>, values: &[ValueId]) -> Built {
    let mut parts = Vec::with_capacity(values.len());
    for value in values {
        let shape: Vec<Dim> = std::iter::once(Dim::ONE).chain(f.shape(*value)).collect();
        parts.push(f.reshape(*value, &shape)?);
    }
    match parts[..] {
        [only] => Ok(only),
        _ => Ok(f.op(Op::Concat { axis: 0 }, &parts)?),
    }
}
