//! First values of parameters, drawn from the counter-based generator of `random_bits`: the same seed gives the same bits everywhere.

use graven_ir::infer::InferError;
use graven_ir::interp::{EvalError, evaluate};
use graven_ir::{
    BinaryOp, DType, Dim, Function, GraphBuilder, Module, Op, SizeMismatch, Tensor, UnaryOp, ValueId,
};
use std::f64::consts::TAU;

/// A distribution of first values. Fans are those of PyTorch: for a weight `[out, in, k…]` the fan in is in · ∏k, the fan out out · ∏k.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// 0 everywhere.
    Zeros,
    /// 1 everywhere.
    Ones,
    /// Uniform in low..high.
    Uniform {
        /// Least value.
        low: f64,
        /// Bound, exclusive.
        high: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniform in ±√(6 ÷ (fan in + fan out)) (Glorot and Bengio, 2010).
    XavierUniform,
    /// Normal with deviation √(2 ÷ (fan in + fan out)) (Glorot and Bengio, 2010).
    XavierNormal,
    /// Uniform in ±√(6 ÷ fan in), for ReLU (He et al., 2015).
    HeUniform,
    /// Normal with deviation √(2 ÷ fan in), for ReLU (He et al., 2015).
    HeNormal,
    /// Uniform in ±√(1 ÷ fan in): what PyTorch's linear and convolution layers start with.
    FanIn,
}

/// Fan in and fan out of a weight `[out, in, k…]`; both are the extent for a vector, 1 for a scalar.
pub fn fans(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (*n, *n),
        [out, input, kernel @ ..] => {
            let area: usize = kernel.iter().product();
            (input * area, out * area)
        }
    }
}

impl Initializer {
    /// A tensor of first values, `stream` telling the parameters of a model apart.
    ///
    /// # Errors
    /// A shape that no tensor can have.
    pub fn tensor(self, dtype: DType, shape: &[usize], seed: u64, stream: u64) -> Result<Tensor, DrawError> {
        let (input, output) = fans(shape);
        let both = (input + output) as f64;
        let symmetric = |bound: f64| Draw::Uniform { low: -bound, high: bound };
        let draw = match self {
            Initializer::Zeros => Draw::Constant(0.0),
            Initializer::Ones => Draw::Constant(1.0),
            Initializer::Uniform { low, high } => Draw::Uniform { low, high },
            Initializer::Normal { mean, deviation } => Draw::Normal { mean, deviation },
            Initializer::XavierUniform => symmetric((6.0 / both).sqrt()),
            Initializer::XavierNormal => Draw::Normal { mean: 0.0, deviation: (2.0 / both).sqrt() },
            Initializer::HeUniform => symmetric((6.0 / input as f64).sqrt()),
            Initializer::HeNormal => Draw::Normal { mean: 0.0, deviation: (2.0 / input as f64).sqrt() },
            Initializer::FanIn => symmetric((1.0 / input as f64).sqrt()),
        };
        draw.tensor(dtype, shape, seed, stream)
    }
}

/// Why no tensor was drawn: a shape that no tensor can have.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum DrawError {
    /// The graph that draws can't be built.
    Infer(#[from] InferError),
    /// It can't be evaluated.
    Eval(#[from] EvalError),
    /// The generator's key is no tensor: our bug.
    Size(#[from] SizeMismatch),
}

enum Draw {
    Constant(f64),
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, deviation: f64 },
}

impl Draw {
    fn tensor(&self, dtype: DType, shape: &[usize], seed: u64, stream: u64) -> Result<Tensor, DrawError> {
        let mut module = Module::default();
        let mut b = GraphBuilder::new(&mut module.constants);
        let dims: Vec<Dim> = shape.iter().map(|extent| Dim::from(*extent as i64)).collect();
        // One stream is 2³² blocks of the generator, more than any tensor takes.
        let words: Vec<u8> = [seed, stream << 32].iter().flat_map(|word| word.to_le_bytes()).collect();
        let key = b.constant(Tensor::new(DType::U64, vec![2], words)?)?;
        let result = self.build(&mut b, key, &dims, dtype)?;
        let graph = b.finish(vec![result]);
        module.functions = vec![Function { name: "draw".into(), graph, ..Function::default() }];
        Ok(evaluate(&module, "draw", &[])?.swap_remove(0))
    }

    fn build(
        &self,
        b: &mut GraphBuilder<'_>,
        key: ValueId,
        shape: &[Dim],
        dtype: DType,
    ) -> Result<ValueId, InferError> {
        let value = match self {
            Draw::Constant(value) => {
                let scalar = b.scalar(DType::F64, *value)?;
                b.broadcast_to(scalar, shape)?
            }
            Draw::Uniform { low, high } => {
                let unit = uniform(b, key, shape)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, unit, high - low)?;
                b.binary_scalar(BinaryOp::Add, scaled, *low)?
            }
            Draw::Normal { mean, deviation } => {
                let unit = normal(b, key, shape)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, unit, *deviation)?;
                b.binary_scalar(BinaryOp::Add, scaled, *mean)?
            }
        };
        b.cast(value, dtype)
    }
}

/// f64 in 0..1 from `random_bits`: (bits + ½) ÷ 2³², so never 0 or 1.
pub fn uniform(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim]) -> Result<ValueId, InferError> {
    let bits = b.op(Op::RandomBits { shape: shape.to_vec() }, &[key])?;
    let number = b.cast(bits, DType::F64)?;
    let centred = b.binary_scalar(BinaryOp::Add, number, 0.5)?;
    b.binary_scalar(BinaryOp::Mul, centred, 1.0 / 4_294_967_296.0)
}

/// Standard normal f64 by the transform of Box and Muller (1958): √(−2 ln u) · cos(2πv), u and v from two words of the generator.
pub fn normal(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim]) -> Result<ValueId, InferError> {
    let mut pairs = vec![Dim::from(2)];
    pairs.extend(shape.iter().cloned());
    let both = uniform(b, key, &pairs)?;
    let half = |b: &mut GraphBuilder<'_>, place: i64| {
        let mut start = vec![Dim::ZERO; pairs.len()];
        let mut limit = pairs.clone();
        (start[0], limit[0]) = (Dim::from(place), Dim::from(place + 1));
        let part = b.op(Op::Slice { start, limit, stride: vec![1; pairs.len()] }, &[both])?;
        b.reshape(part, shape)
    };
    let (u, v) = (half(b, 0)?, half(b, 1)?);
    let log = b.unary(UnaryOp::Log, u)?;
    let square = b.binary_scalar(BinaryOp::Mul, log, -2.0)?;
    let radius = b.unary(UnaryOp::Sqrt, square)?;
    let angle = b.binary_scalar(BinaryOp::Mul, v, TAU)?;
    let cosine = b.unary(UnaryOp::Cos, angle)?;
    b.binary(BinaryOp::Mul, radius, cosine)
}
