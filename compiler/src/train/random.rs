//! Random numbers as graphs, from the counter-based generator of `random_bits` (Philox 4×32-10: Salmon et al., SC'11).
//!
//! A draw is a function of a key, `u64[2]` of seed and block number, so it has the same bits in every run and for any number of threads. Blocks hold four words; who
//! draws n words from block c on leaves the rest from block c + ⌈n ÷ 4⌉ on to others. [`advance`] moves a key on. What comes from the words by exact
//! arithmetic (uniform numbers, Bernoulli trials, permutations) is the same on every backend, too; normal numbers are computed in f64 and differ by the
//! last bits of that where the logarithm and the cosine of backends do.

use graven_ir::infer::InferError;
use graven_ir::{BinaryOp, CompareOp, DType, Dim, GraphBuilder, Op, Tensor, UnaryOp, ValueId};
use std::f64::consts::TAU;

type Built = Result<ValueId, InferError>;

/// Name of the state from which a model draws its random numbers: a key. Its first value is the seed and [`FIRST_BLOCK`]; a run leaves it behind the last
/// block that it has used.
pub const RANDOM_KEY: &str = "random.key";

/// Where a model's random numbers begin: the blocks before it are for the first values of parameters.
pub const FIRST_BLOCK: u64 = 1 << 63;

/// 2³².
const WORDS: f64 = 4_294_967_296.0;

/// The key of a seed and a block number.
pub fn key(seed: u64, block: u64) -> Tensor {
    Tensor::from_u64s(&[seed, block])
}

/// Blocks that hold so many words.
pub fn blocks(words: u64) -> u64 {
    words.div_ceil(4)
}

/// The key further on by so many blocks.
///
/// # Errors
/// A key that is not `u64[2]`.
pub fn advance(b: &mut GraphBuilder<'_>, key: ValueId, blocks: u64) -> Built {
    match blocks {
        0 => Ok(key),
        _ => {
            let step = b.constant(Tensor::from_u64s(&[0, blocks]))?;
            b.binary(BinaryOp::Add, key, step)
        }
    }
}

/// f64 in 0..1 from one word each: (word + ½) ÷ 2³², so never 0 or 1.
///
/// # Errors
/// A key that is not `u64[2]`.
pub fn open_uniform(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim]) -> Built {
    let bits = b.op(Op::RandomBits { shape: shape.to_vec() }, &[key])?;
    let number = b.cast(bits, DType::F64)?;
    let centred = b.binary_scalar(BinaryOp::Add, number, 0.5)?;
    b.binary_scalar(BinaryOp::Mul, centred, 1.0 / WORDS)
}

/// Uniform numbers in 0..1, 0 included, 1 not, from one word each: its upper bits, as many as a float of the dtype has, as in PyTorch.
///
/// # Errors
/// A key that is not `u64[2]`, a dtype that is no float.
pub fn uniform(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim], dtype: DType) -> Built {
    let bits = b.op(Op::RandomBits { shape: shape.to_vec() }, &[key])?;
    let precision = match dtype {
        DType::F64 => 32,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::BF16 => 8,
        other => {
            let reason = format!("uniform numbers are floats, not {}", other.name());
            return Err(InferError { op: "random_bits", reason });
        }
    };
    let upper = b.binary_scalar(BinaryOp::ShiftRight, bits, f64::from(32 - precision))?;
    let number = b.cast(upper, dtype)?;
    b.binary_scalar(BinaryOp::Mul, number, 0.5_f64.powi(precision))
}

/// Standard normal f64 by the transform of Box and Muller (1958): √(−2 ln u) · cos(2πv), u and v from two words each.
///
/// # Errors
/// A key that is not `u64[2]`.
pub fn normal(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim]) -> Built {
    let (u, v) = pairs(b, key, shape, open_uniform)?;
    let log = b.unary(UnaryOp::Log, u)?;
    let square = b.binary_scalar(BinaryOp::Mul, log, -2.0)?;
    let radius = b.unary(UnaryOp::Sqrt, square)?;
    let angle = b.binary_scalar(BinaryOp::Mul, v, TAU)?;
    let cosine = b.unary(UnaryOp::Cos, angle)?;
    b.binary(BinaryOp::Mul, radius, cosine)
}

/// True with a probability, up to 2⁻³² exactly, from one word each: word < ⌊probability · 2³²⌉.
///
/// # Errors
/// A key that is not `u64[2]`.
pub fn bernoulli(b: &mut GraphBuilder<'_>, key: ValueId, shape: &[Dim], probability: f64) -> Built {
    let bits = b.op(Op::RandomBits { shape: shape.to_vec() }, &[key])?;
    let threshold = (probability.clamp(0.0, 1.0) * WORDS).round();
    if threshold >= WORDS {
        return b.compare(CompareOp::Eq, bits, bits);
    }
    let threshold = b.scalar(DType::U32, threshold)?;
    b.compare(CompareOp::Lt, bits, threshold)
}

/// 0..count in random order, as `i64[count]`, from two words each: their order as numbers of 64 bits.
///
/// # Errors
/// A key that is not `u64[2]`.
pub fn permutation(b: &mut GraphBuilder<'_>, key: ValueId, count: &Dim) -> Built {
    let shape = [count.clone()];
    let (high, low) =
        pairs(b, key, &shape, |b, key, shape| b.op(Op::RandomBits { shape: shape.to_vec() }, &[key]))?;
    let (high, low) = (b.cast(high, DType::U64)?, b.cast(low, DType::U64)?);
    let high = b.binary_scalar(BinaryOp::ShiftLeft, high, 32.0)?;
    let number = b.binary(BinaryOp::Or, high, low)?;
    let sorted = b.results(Op::Sort { axis: 0, descending: false }, &[number])?;
    sorted.get(1).copied().ok_or_else(|| InferError { op: "sort", reason: "has no indices".into() })
}

/// Two draws of a shape, one after the other.
fn pairs(
    b: &mut GraphBuilder<'_>,
    key: ValueId,
    shape: &[Dim],
    draw: impl FnOnce(&mut GraphBuilder<'_>, ValueId, &[Dim]) -> Built,
) -> Result<(ValueId, ValueId), InferError> {
    let mut both = vec![Dim::from(2)];
    both.extend(shape.iter().cloned());
    let drawn = draw(b, key, &both)?;
    let half = |b: &mut GraphBuilder<'_>, place: i64| {
        let mut start = vec![Dim::ZERO; both.len()];
        let mut limit = both.clone();
        (start[0], limit[0]) = (Dim::from(place), Dim::from(place + 1));
        let part = b.op(Op::Slice { start, limit, stride: vec![1; both.len()] }, &[drawn])?;
        b.reshape(part, shape)
    };
    Ok((half(b, 0)?, half(b, 1)?))
}
