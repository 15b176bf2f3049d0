//! `Einsum`: operands are reduced to their indices, then contracted pair by pair from left to right.

use crate::import::onnx::context::{NodeContext, Outputs};
use crate::import::onnx::failure::{Failure, Result, bad_input};
use graven_ir::{CompareOp, DType, Dim, Op, ReduceOp, ValueId, broadcast_shapes};

type Context<'c, 'm, 'p> = NodeContext<'c, 'm, 'p>;

/// An index: a letter, or a dimension of the ellipsis counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    Ellipsis(usize),
    Letter(char),
}

/// A value whose dimensions are named.
struct Term {
    value: ValueId,
    indices: Vec<Index>,
}

/// The letters of one operand, with the ellipsis's place.
fn parse_term(text: &str, ellipsis_rank: impl Fn(usize) -> Option<usize>) -> Result<Vec<Index>> {
    let (before, after) = match text.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    let letters = |part: &str| -> Result<Vec<Index>> {
        let letter = |c: char| match c.is_ascii_alphabetic() {
            true => Ok(Index::Letter(c)),
            false => bad_input(format!("the equation has the character `{c}`")),
        };
        part.chars().map(letter).collect()
    };
    let mut indices = letters(before)?;
    if let Some(after) = after {
        let after = letters(after)?;
        let rank = ellipsis_rank(indices.len() + after.len());
        let rank =
            rank.ok_or_else(|| Failure::BadInput("the equation has more indices than dimensions".into()))?;
        indices.extend((0..rank).rev().map(Index::Ellipsis));
        indices.extend(after);
    }
    Ok(indices)
}

/// Without `->` the result has the ellipsis, then the letters that occur once, in alphabetical order.
fn implicit_result(terms: &[Vec<Index>]) -> Vec<Index> {
    let all: Vec<Index> = terms.iter().flatten().copied().collect();
    let mut result: Vec<Index> = all
        .iter()
        .copied()
        .filter(|index| match index {
            Index::Ellipsis(_) => true,
            Index::Letter(_) => all.iter().filter(|other| *other == index).count() == 1,
        })
        .collect();
    result.sort_by_key(|index| match index {
        Index::Ellipsis(place) => (0, usize::MAX - place, ' '),
        Index::Letter(letter) => (1, 0, *letter),
    });
    result.dedup();
    result
}

/// `Einsum`.
pub(super) fn einsum(c: &mut Context<'_, '_, '_>) -> Result<Outputs> {
    let values = c.values()?;
    let Some(equation) = c.text("equation")? else { return bad_input("attribute `equation` is missing") };
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let texts: Vec<&str> = left.split(',').collect();
    if texts.len() != values.len() {
        return bad_input(format!("the equation has {} terms for {} inputs", texts.len(), values.len()));
    }
    let mut indices = Vec::with_capacity(texts.len());
    let mut widest = 0;
    for (text, value) in texts.iter().zip(&values) {
        let rank = c.shape(*value).len();
        let term = parse_term(text, |letters| rank.checked_sub(letters))?;
        if term.len() != rank {
            return bad_input(format!("the term `{text}` does not fit {}", c.ty(*value)));
        }
        widest = widest.max(term.iter().filter(|index| matches!(index, Index::Ellipsis(_))).count());
        indices.push(term);
    }
    let result = match right {
        Some(right) => parse_term(right, |_| Some(widest))?,
        None => implicit_result(&indices),
    };
    let mut terms = Vec::with_capacity(values.len());
    for (value, indices) in values.into_iter().zip(indices) {
        terms.push(diagonals(c, Term { value, indices })?);
    }
    let product = contract_all(c, terms, &result)?;
    Ok(arranged(c, product, &result)?.into())
}

/// Repeated indices within one operand become the diagonal.
fn diagonals(c: &mut Context<'_, '_, '_>, mut term: Term) -> Result<Term> {
    loop {
        let repeated = (0..term.indices.len()).find_map(|second| {
            let first = term.indices[..second].iter().position(|index| *index == term.indices[second])?;
            Some((first, second))
        });
        let Some((first, second)) = repeated else { return Ok(term) };
        let shape = c.shape(term.value);
        if shape[first] != shape[second] {
            return bad_input(format!("an index has the extents {} and {}", shape[first], shape[second]));
        }
        let count = |axis| Op::Iota { shape: shape.to_vec(), axis, dtype: DType::I64 };
        let (i, j) = (c.op(count(first), &[])?, c.op(count(second), &[])?);
        let on_diagonal = c.compare(CompareOp::Eq, i, j)?;
        let zero = c.scalar_like(term.value, 0.0)?;
        let kept = c.select(on_diagonal, term.value, zero)?;
        term.value = c.reduce(ReduceOp::Sum, kept, &[second], false)?;
        term.indices.remove(second);
    }
}

fn contract_all(c: &mut Context<'_, '_, '_>, terms: Vec<Term>, result: &[Index]) -> Result<Term> {
    let mut terms = terms.into_iter();
    let Some(mut product) = terms.next() else { return bad_input("needs at least one input") };
    let mut rest: Vec<Term> = terms.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        let needed =
            |index: &Index| result.contains(index) || rest.iter().any(|term| term.indices.contains(index));
        product = contract(c, product, next, &needed)?;
    }
    summed(c, product, &|index| result.contains(index))
}

/// A term without the indices that nobody needs any more.
fn summed(c: &mut Context<'_, '_, '_>, term: Term, needed: &dyn Fn(&Index) -> bool) -> Result<Term> {
    let axes: Vec<usize> = (0..term.indices.len()).filter(|axis| !needed(&term.indices[*axis])).collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let value = c.reduce(ReduceOp::Sum, term.value, &axes, false)?;
    Ok(Term { value, indices: term.indices.into_iter().filter(|index| needed(index)).collect() })
}

/// The product of two terms: indices of both that are needed become batch dimensions, the others are contracted.
fn contract(c: &mut Context<'_, '_, '_>, a: Term, b: Term, needed: &dyn Fn(&Index) -> bool) -> Result<Term> {
    let a = summed(c, a, &|index| needed(index) || b.indices.contains(index))?;
    let b = summed(c, b, &|index| needed(index) || a.indices.contains(index))?;
    let (a, b) = aligned(c, a, b)?;
    let (mut lhs_batch, mut rhs_batch) = (Vec::new(), Vec::new());
    let (mut lhs_contract, mut rhs_contract) = (Vec::new(), Vec::new());
    let mut indices = Vec::new();
    for (i, index) in a.indices.iter().enumerate() {
        let Some(j) = b.indices.iter().position(|other| other == index) else { continue };
        match needed(index) {
            true => {
                lhs_batch.push(i);
                rhs_batch.push(j);
                indices.push(*index);
            }
            false => {
                lhs_contract.push(i);
                rhs_contract.push(j);
            }
        }
    }
    indices.extend(a.indices.iter().filter(|index| !b.indices.contains(index)));
    indices.extend(b.indices.iter().filter(|index| !a.indices.contains(index)));
    let op = Op::DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract };
    Ok(Term { value: c.op(op, &[a.value, b.value])?, indices })
}

/// Both terms with shared dimensions of extent 1 repeated to the other's extent.
fn aligned(c: &mut Context<'_, '_, '_>, mut a: Term, mut b: Term) -> Result<(Term, Term)> {
    let (mut left, mut right) = (c.shape(a.value), c.shape(b.value));
    for (i, index) in a.indices.iter().enumerate() {
        if let Some(j) = b.indices.iter().position(|other| other == index) {
            let common = broadcast_shapes(&left[i..=i], &right[j..=j])?;
            (left[i], right[j]) = (common[0].clone(), common[0].clone());
        }
    }
    a.value = c.broadcast_to(a.value, &left)?;
    b.value = c.broadcast_to(b.value, &right)?;
    Ok((a, b))
}

/// The dimensions in the order of the result.
fn arranged(c: &mut Context<'_, '_, '_>, term: Term, result: &[Index]) -> Result<ValueId> {
    let place = |index: &Index| {
        let place = term.indices.iter().position(|other| other == index);
        place.ok_or_else(|| Failure::BadInput("the result has an index that no operand has".into()))
    };
    let permutation: Vec<usize> = result.iter().map(place).collect::<Result<_>>()?;
    let shape = c.shape(term.value);
    if permutation.len() != shape.len() {
        return bad_input("the result repeats an index");
    }
    debug_assert!(shape.iter().all(|dim: &Dim| dim.upper() >= 0));
    Ok(c.transpose(term.value, &permutation)?)
}
