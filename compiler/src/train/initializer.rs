//! First values of parameters, drawn from the counter-based generator of `random_bits`: the same seed gives the same bits everywhere.

use super::random;
use graven_ir::infer::InferError;
use graven_ir::interp::{EvalError, evaluate};
use graven_ir::{BinaryOp, DType, Dim, Function, GraphBuilder, Module, Tensor, ValueId};

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
        let key = b.constant(random::key(seed, stream << 32))?;
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
                let unit = random::open_uniform(b, key, shape)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, unit, high - low)?;
                b.binary_scalar(BinaryOp::Add, scaled, *low)?
            }
            Draw::Normal { mean, deviation } => {
                let unit = random::normal(b, key, shape)?;
                let scaled = b.binary_scalar(BinaryOp::Mul, unit, *deviation)?;
                b.binary_scalar(BinaryOp::Add, scaled, *mean)?
            }
        };
        b.cast(value, dtype)
    }
}
