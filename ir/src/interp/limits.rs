//! Bounds on what an evaluation may take, so that constant folding ends whatever the graph is.

use super::EvalErrorKind;
use super::values::Array;
use crate::{Op, Tensor};

/// What an evaluation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements of any one tensor.
    pub elements: u64,
    /// Steps altogether: elements read and written, multiplications of contractions, elements of windows, trips of loops.
    /// They bound time and memory.
    pub steps: u64,
}

impl Default for Limits {
    /// 2³¹ elements a tensor, any number of steps: for tests and `graven run --backend interp`.
    fn default() -> Limits {
        Limits { elements: 1 << 31, steps: u64::MAX }
    }
}

/// The steps that are left.
pub(super) struct Budget {
    limits: Limits,
    left: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Budget {
        Budget { limits, left: limits.steps }
    }

    /// Takes `steps` off the budget.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), EvalErrorKind> {
        let exceeded = EvalErrorKind::Limit { what: "steps", limit: self.limits.steps };
        self.left = self.left.checked_sub(steps).ok_or(exceeded)?;
        Ok(())
    }

    /// Whether a tensor of so many elements is allowed.
    pub(super) fn check_elements(&self, elements: u64) -> Result<(), EvalErrorKind> {
        match elements <= self.limits.elements {
            true => Ok(()),
            false => Err(EvalErrorKind::Limit { what: "elements per tensor", limit: self.limits.elements }),
        }
    }

    /// Takes the cost of an op off the budget, before it is evaluated.
    pub(super) fn spend_op(
        &mut self,
        op: &Op,
        operands: &[Tensor],
        results: &[Array],
    ) -> Result<(), EvalErrorKind> {
        results.iter().try_for_each(|result| self.check_elements(result.elements()))?;
        let read = operands.iter().map(|operand| operand.len() as u64).fold(1, u64::saturating_add);
        let written = results.iter().map(Array::elements).fold(0, u64::saturating_add);
        let inner = inner_steps(op, operands).saturating_mul(written);
        self.spend(read.saturating_add(written).saturating_add(inner))
    }
}

/// Steps for each result element beyond writing it.
fn inner_steps(op: &Op, operands: &[Tensor]) -> u64 {
    let extent = |operand: usize, dimension: usize| {
        operands.get(operand).and_then(|x| x.shape().get(dimension)).map_or(1, |extent| *extent as u64)
    };
    let last = |operand: usize| operands.get(operand).and_then(|x| x.shape().last()).map_or(1, |n| *n as u64);
    match op {
        Op::DotGeneral { lhs_contract, .. } => {
            lhs_contract.iter().map(|d| extent(0, *d)).fold(1, u64::saturating_mul)
        }
        // A kernel element per output feature; the exact number is smaller by the output features.
        Op::Conv { .. } => operands.get(1).map_or(1, |kernel| kernel.len() as u64),
        Op::ReduceWindow { size, .. } | Op::ArgMaxWindow { size, .. } => {
            size.iter().map(|n| n.unsigned_abs()).fold(1, u64::saturating_mul)
        }
        Op::Sort { axis, .. } | Op::TopK { axis, .. } => {
            u64::from(u64::BITS - extent(0, *axis).leading_zeros())
        }
        Op::Attention { .. } => {
            let keys = operands.get(1).map_or(1, |k| k.shape().iter().rev().nth(1).map_or(1, |n| *n as u64));
            keys.saturating_mul(last(0).saturating_add(1))
        }
        _ => 0,
    }
}
