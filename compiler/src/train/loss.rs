//! Losses: the mean over the batch of how far predictions are from targets.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, DType, Dim, GraphBuilder, Op, ReduceOp, UnaryOp, ValueId};

type Built = Result<ValueId, InferError>;

/// How predictions are compared with targets. The result is a float scalar, the mean over what a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// (p − t)², mean over all elements.
    MeanSquaredError,
    /// |p − t|, mean over all elements.
    MeanAbsoluteError,
    /// −ln softmax(p)\[t\] for class indices t (integers `[n, d…]` for logits `[n, classes, d…]`), or −Σ t·ln softmax(p) for class
    /// probabilities (floats, shape of the logits); mean over all but the classes.
    CrossEntropy,
    /// −p\[t\] for log-probabilities p and class indices t; shapes as of [`Loss::CrossEntropy`].
    NegativeLogLikelihood,
    /// −t·ln p − (1 − t)·ln(1 − p), the logarithms not below −100, mean over all elements.
    BinaryCrossEntropy,
    /// The same from logits x, p = sigmoid(x): max(x, 0) − x·t + ln(1 + e^(−|x|)).
    BinaryCrossEntropyWithLogits,
    /// t·(ln t − p) for log-probabilities p, 0 where t = 0; the sum over all elements divided by the batch, the first dimension (PyTorch's `batchmean`).
    KlDivergence,
    /// The model's output itself, a float scalar: the model computes its loss, and there are no targets.
    Output,
}

impl Loss {
    /// All losses that compare predictions with targets.
    pub const ALL: &[Loss] = &[
        Loss::MeanSquaredError,
        Loss::MeanAbsoluteError,
        Loss::CrossEntropy,
        Loss::NegativeLogLikelihood,
        Loss::BinaryCrossEntropy,
        Loss::BinaryCrossEntropyWithLogits,
        Loss::KlDivergence,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::MeanSquaredError => "mse",
            Loss::MeanAbsoluteError => "mae",
            Loss::CrossEntropy => "cross-entropy",
            Loss::NegativeLogLikelihood => "nll",
            Loss::BinaryCrossEntropy => "bce",
            Loss::BinaryCrossEntropyWithLogits => "bce-with-logits",
            Loss::KlDivergence => "kl-div",
            Loss::Output => "output",
        }
    }

    /// Whether targets are class indices or probabilities over the classes of the predictions.
    pub const fn has_classes(self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::NegativeLogLikelihood)
    }

    /// Whether there are targets.
    pub const fn has_target(self) -> bool {
        !matches!(self, Loss::Output)
    }

    /// The loss of `predictions`, a float scalar of their dtype.
    ///
    /// # Errors
    /// Shapes or dtypes that the row does not take.
    pub fn build(self, b: &mut GraphBuilder<'_>, predictions: ValueId, targets: ValueId) -> Built {
        if self.has_classes() && !b.dtype(targets).is_float() {
            let log_probabilities = match self {
                Loss::CrossEntropy => log_softmax(b, predictions)?,
                _ => predictions,
            };
            return picked(b, log_probabilities, targets);
        }
        let targets = b.cast(targets, b.dtype(predictions))?;
        let (p, t) = (b.ty(predictions), b.ty(targets));
        if p.shape != t.shape {
            let reason = format!("predictions are {p}, targets {t}: the shapes must be equal");
            return Err(InferError { op: "loss", reason });
        }
        match self {
            Loss::MeanSquaredError => {
                let difference = b.binary(BinaryOp::Sub, predictions, targets)?;
                let square = b.binary(BinaryOp::Mul, difference, difference)?;
                mean(b, square)
            }
            Loss::MeanAbsoluteError => {
                let difference = b.binary(BinaryOp::Sub, predictions, targets)?;
                let magnitude = b.unary(UnaryOp::Abs, difference)?;
                mean(b, magnitude)
            }
            Loss::CrossEntropy => {
                let log_probabilities = log_softmax(b, predictions)?;
                weighted(b, log_probabilities, targets)
            }
            Loss::NegativeLogLikelihood => weighted(b, predictions, targets),
            Loss::BinaryCrossEntropy => binary_cross_entropy(b, predictions, targets),
            Loss::BinaryCrossEntropyWithLogits => binary_cross_entropy_with_logits(b, predictions, targets),
            Loss::KlDivergence => kl_divergence(b, predictions, targets),
            Loss::Output => Ok(predictions),
        }
    }
}

impl std::str::FromStr for Loss {
    type Err = String;

    fn from_str(name: &str) -> Result<Loss, String> {
        let known = || Loss::ALL.iter().map(|loss| loss.name()).collect::<Vec<_>>().join(", ");
        let found = Loss::ALL.iter().copied().find(|loss| loss.name() == name);
        found.ok_or_else(|| format!("there is no loss `{name}`; known are {}", known()))
    }
}

/// The sum of all elements divided by `count`.
fn sum_over(b: &mut GraphBuilder<'_>, x: ValueId, count: &Dim) -> Built {
    let axes: Vec<usize> = (0..b.shape(x).len()).collect();
    let sum = b.reduce(ReduceOp::Sum, x, &axes, false)?;
    match count.as_const() {
        Some(count) => b.binary_scalar(BinaryOp::Mul, sum, 1.0 / count as f64),
        None => {
            let count = b.op(Op::Extent { dim: count.clone() }, &[])?;
            let count = b.cast(count, b.dtype(sum))?;
            b.binary(BinaryOp::Div, sum, count)
        }
    }
}

/// The mean of all elements.
pub(super) fn mean(b: &mut GraphBuilder<'_>, x: ValueId) -> Built {
    let count = b.ty(x).elements();
    sum_over(b, x, &count)
}

fn log_softmax(b: &mut GraphBuilder<'_>, logits: ValueId) -> Built {
    class_axis(b, logits)?;
    b.op(Op::LogSoftmax { axis: 1 }, &[logits])
}

fn class_axis(b: &GraphBuilder<'_>, predictions: ValueId) -> Result<Dim, InferError> {
    match b.ty(predictions).shape.as_slice() {
        [_, classes, ..] => Ok(classes.clone()),
        _ => {
            let reason = format!("predictions are {}: needs [batch, classes, …]", b.ty(predictions));
            Err(InferError { op: "loss", reason })
        }
    }
}

/// The mean of −p\[t\] for class indices t.
fn picked(b: &mut GraphBuilder<'_>, log_probabilities: ValueId, targets: ValueId) -> Built {
    class_axis(b, log_probabilities)?;
    let shape = b.shape(log_probabilities);
    let mut expected = shape.to_vec();
    expected.remove(1);
    if b.shape(targets).as_slice() != expected.as_slice() {
        let (p, t) = (b.ty(log_probabilities), b.ty(targets));
        let reason = format!("predictions are {p}, class indices {t}: needs the shape without the classes");
        return Err(InferError { op: "loss", reason });
    }
    let mut column = shape.to_vec();
    column[1] = Dim::ONE;
    let indices = b.cast(targets, DType::I64)?;
    let indices = b.reshape(indices, &column)?;
    let picked = b.op(Op::GatherElements { axis: 1 }, &[log_probabilities, indices])?;
    let mean = mean(b, picked)?;
    b.unary(UnaryOp::Neg, mean)
}

/// −Σ t·p divided by the number of rows of classes.
fn weighted(b: &mut GraphBuilder<'_>, log_probabilities: ValueId, targets: ValueId) -> Built {
    class_axis(b, log_probabilities)?;
    let shape = b.shape(log_probabilities);
    let rows = shape.iter().enumerate().filter(|(axis, _)| *axis != 1);
    let rows = rows.fold(Dim::ONE, |product, (_, extent)| product * extent);
    let product = b.binary(BinaryOp::Mul, log_probabilities, targets)?;
    let mean = sum_over(b, product, &rows)?;
    b.unary(UnaryOp::Neg, mean)
}

fn binary_cross_entropy(b: &mut GraphBuilder<'_>, p: ValueId, t: ValueId) -> Built {
    let bounded_log = |b: &mut GraphBuilder<'_>, x| {
        let log = b.unary(UnaryOp::Log, x)?;
        b.binary_scalar(BinaryOp::Max, log, -100.0)
    };
    let complement = |b: &mut GraphBuilder<'_>, x| {
        let negative = b.unary(UnaryOp::Neg, x)?;
        b.binary_scalar(BinaryOp::Add, negative, 1.0)
    };
    let (not_p, not_t) = (complement(b, p)?, complement(b, t)?);
    let (log_p, log_not_p) = (bounded_log(b, p)?, bounded_log(b, not_p)?);
    let positive = b.binary(BinaryOp::Mul, t, log_p)?;
    let negative = b.binary(BinaryOp::Mul, not_t, log_not_p)?;
    let sum = b.binary(BinaryOp::Add, positive, negative)?;
    let mean = mean(b, sum)?;
    b.unary(UnaryOp::Neg, mean)
}

fn binary_cross_entropy_with_logits(b: &mut GraphBuilder<'_>, x: ValueId, t: ValueId) -> Built {
    // softplus(−x) + x·(1 − t), with softplus(−x) = max(−x, 0) + ln(1 + e^(−|x|)).
    let magnitude = b.unary(UnaryOp::Abs, x)?;
    let exponent = b.unary(UnaryOp::Neg, magnitude)?;
    let power = b.unary(UnaryOp::Exp, exponent)?;
    let log = b.unary(UnaryOp::Log1p, power)?;
    let positive = b.binary_scalar(BinaryOp::Max, x, 0.0)?;
    let product = b.binary(BinaryOp::Mul, x, t)?;
    let linear = b.binary(BinaryOp::Sub, positive, product)?;
    let sum = b.binary(BinaryOp::Add, linear, log)?;
    mean(b, sum)
}

fn kl_divergence(b: &mut GraphBuilder<'_>, p: ValueId, t: ValueId) -> Built {
    let batch = b.shape(p).first().cloned().unwrap_or(Dim::ONE);
    let zero = b.scalar(b.dtype(t), 0.0)?;
    let one = b.scalar(b.dtype(t), 1.0)?;
    let positive = b.compare(graven_ir::CompareOp::Gt, t, zero)?;
    let argument = b.select(positive, t, one)?;
    let log = b.unary(UnaryOp::Log, argument)?;
    let difference = b.binary(BinaryOp::Sub, log, p)?;
    let product = b.binary(BinaryOp::Mul, t, difference)?;
    sum_over(b, product, &batch)
}
