//! `TfIdfVectorizer` of integers: how often each n-gram of a list occurs.

use super::constant::vector;
use super::slice::{concat_of, slice_axis};
use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input, unsupported};
use graven_ir::{BinaryOp, CompareOp, DType, Dim, Op, ReduceOp, Tensor, ValueId};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// n-grams of one length.
struct Pool<'p> {
    length: usize,
    grams: Vec<&'p [i64]>,
}

/// The list of n-grams by length; `ngram_counts` says where each length starts.
fn pools<'p>(c: &Context<'_, '_, 'p>) -> Result<Vec<Pool<'p>>> {
    let Some(all) = c.ints("pool_int64s")? else {
        return unsupported("n-grams of strings are not supported");
    };
    let starts = c.ints("ngram_counts")?.unwrap_or(&[]);
    let mut pools = Vec::with_capacity(starts.len());
    for (place, start) in starts.iter().enumerate() {
        let end = starts.get(place + 1).copied().unwrap_or(all.len() as i64);
        let range = usize::try_from(*start).ok().zip(usize::try_from(end).ok());
        let part = range.and_then(|(start, end)| all.get(start..end));
        let length = place + 1;
        match part {
            Some(part) if part.len().is_multiple_of(length) => {
                pools.push(Pool { length, grams: part.chunks_exact(length).collect() });
            }
            _ => {
                return bad_input(format!(
                    "attribute `ngram_counts` is {starts:?} for {} numbers",
                    all.len()
                ));
            }
        }
    }
    Ok(pools)
}

/// `TfIdfVectorizer`.
pub(super) fn tf_idf(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    const MAX_LENGTH: i64 = 64;
    let (shortest, longest) = (c.int_or("min_gram_length", 1)?, c.int_or("max_gram_length", 1)?);
    let skips = c.int_or("max_skip_count", 0)?;
    if !(1..=longest).contains(&shortest) || longest > MAX_LENGTH || !(0..=MAX_LENGTH).contains(&skips) {
        return bad_input(format!("can't look for n-grams of {shortest} to {longest} with {skips} skips"));
    }
    let x = c.value(0)?;
    let x = c.cast(x, DType::I64)?;
    let shape = c.shape(x);
    let [batch @ .., length] = shape.as_slice() else { return bad_input("needs a vector or a matrix") };
    let rows = batch.first().cloned().unwrap_or(Dim::ONE);
    let x = c.reshape(x, &[rows.clone(), length.clone()])?;
    let Some(length) = length.as_const() else {
        return unsupported("the length of the text is not constant");
    };
    let mut counts = Vec::new();
    for pool in pools(c)? {
        let is_wanted = (shortest..=longest).contains(&(pool.length as i64)) && !pool.grams.is_empty();
        counts.push(match is_wanted {
            true => occurrences(c, x, length, &pool, skips)?,
            false => zeros(c, &rows, pool.grams.len())?,
        });
    }
    let y = placed(c, counts, &rows)?;
    let y = weighted(c, y)?;
    let columns = c.shape(y)[1].clone();
    let result: Vec<Dim> = batch.iter().cloned().chain([columns]).collect();
    Ok(c.reshape(y, &result)?.into())
}

fn zeros(c: &mut Context<'_, '_, '_>, rows: &Dim, columns: usize) -> Result<ValueId> {
    let zero = c.scalar(DType::F32, 0.0)?;
    Ok(c.broadcast_to(zero, &[rows.clone(), Dim::from(columns)])?)
}

/// How often each n-gram of a pool occurs in each row, with all distances between its elements.
fn occurrences(
    c: &mut Context<'_, '_, '_>,
    x: ValueId,
    length: i64,
    pool: &Pool<'_>,
    skips: i64,
) -> Result<ValueId> {
    let rows = c.shape(x)[0].clone();
    let mut sum = zeros(c, &rows, pool.grams.len())?;
    let span = pool.length as i64 - 1;
    // Without neighbours all distances are the same.
    let skips = if span == 0 { 0 } else { skips };
    for step in 1..=skips + 1 {
        let places = length - span * step;
        if places < 1 {
            break;
        }
        let mut all: Option<ValueId> = None;
        for element in 0..pool.length {
            let start = element as i64 * step;
            let part = slice_axis(c, x, 1, Dim::from(start), Dim::from(start + places))?;
            let part = c.reshape(part, &[rows.clone(), Dim::from(places), Dim::ONE])?;
            let wanted: Vec<i64> = pool.grams.iter().map(|gram| gram[element]).collect();
            let wanted = c.constant(Tensor::from_i64s(&wanted))?;
            let is_equal = c.compare(CompareOp::Eq, part, wanted)?;
            all = Some(match all {
                None => is_equal,
                Some(all) => c.binary(BinaryOp::And, all, is_equal)?,
            });
        }
        let Some(all) = all else { continue };
        let ones = c.cast(all, DType::F32)?;
        let found = c.reduce(ReduceOp::Sum, ones, &[1], false)?;
        sum = c.binary(BinaryOp::Add, sum, found)?;
    }
    Ok(sum)
}

/// The counts in the columns that `ngram_indexes` names, 0 in the others.
fn placed(c: &mut Context<'_, '_, '_>, mut counts: Vec<ValueId>, rows: &Dim) -> Result<ValueId> {
    const MAX_COLUMNS: i64 = 1 << 24;
    let columns = c.ints("ngram_indexes")?.unwrap_or(&[]);
    let width = columns.iter().copied().max().unwrap_or(-1).saturating_add(1);
    let total: usize = columns.len();
    if width > MAX_COLUMNS || columns.iter().any(|column| *column < 0) {
        return bad_input("attribute `ngram_indexes` names impossible columns");
    }
    counts.push(zeros(c, rows, 1)?);
    let joined = concat_of(c, &counts, 1)?;
    if !c.shape(joined)[1].is(total as i64 + 1) {
        return bad_input(format!("has {total} columns for other n-grams"));
    }
    let mut sources = vec![total as i64; width as usize];
    for (gram, column) in columns.iter().enumerate() {
        sources[*column as usize] = gram as i64;
    }
    let sources = c.constant(Tensor::from_i64s(&sources))?;
    Ok(c.op(Op::Gather { axis: 1 }, &[joined, sources])?)
}

/// Counts as they are (TF), or weights of what occurs (IDF), or their product (TFIDF).
fn weighted(c: &mut Context<'_, '_, '_>, counts: ValueId) -> Result<ValueId> {
    let mode = c.text_or("mode", "")?;
    let weights = c.floats("weights")?;
    let columns = c.ints("ngram_indexes")?.unwrap_or(&[]);
    let occurs = match mode {
        "TF" => return Ok(counts),
        "IDF" => {
            let occurs = super::elementwise::compare_scalar(c, CompareOp::Gt, counts, 0.0)?;
            c.cast(occurs, DType::F32)?
        }
        "TFIDF" => counts,
        other => return bad_input(format!("there is no mode `{other}`")),
    };
    let Some(weights) = weights else { return Ok(occurs) };
    if weights.len() != columns.len() {
        return bad_input(format!("has {} weights for {} n-grams", weights.len(), columns.len()));
    }
    let Some(width) = c.shape(counts)[1].as_const().and_then(|width| usize::try_from(width).ok()) else {
        return Err(Failure::BadInput("has an impossible number of columns".into()));
    };
    let mut placed = vec![0.0; width];
    for (weight, column) in weights.iter().zip(columns) {
        if let Some(place) = usize::try_from(*column).ok().and_then(|column| placed.get_mut(column)) {
            *place = f64::from(*weight);
        }
    }
    let weights = c.constant(vector(DType::F32, &placed)?)?;
    Ok(c.binary(BinaryOp::Mul, occurs, weights)?)
}
