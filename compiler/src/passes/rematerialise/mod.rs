//! Computes values again instead of keeping them, so that the arena stays within a budget.
//!
//! Training keeps what the forward pass computes until the backward pass reads it. The pass works on the graph of fusion groups with its layouts, where a node is a
//! kernel and a value is memory, and a second evaluation is a launch of the same kernel: all results keep their bits.
//!
//! 1. `schedule`: updates of parameters as soon as their gradients are there, so that gradients don't pile up
//! 2. As long as the most memory that is in use at a time exceeds the budget: of the values that are kept over that time without being read, the one with the largest
//!    memory saved ÷ cost of computing it again is computed again before its next use. Its operands must be there then, or what it takes to keep them counts against it.
//!    The greedy choice by that quotient is that of XLA's rematerialisation; Chen et al., "Training deep nets with sublinear memory cost" (2016), whose
//!    segments arise where one value after the other is chosen, and Jain et al., "Checkmate" (2020), formulate the problem.
//!
//! Before: `%1 = fuse %x; %2 = fuse %1; …; %8 = fuse %7; %9 = fuse %8, %1`. After: `…; %8 = fuse %7; %9 = fuse %x; %10 = fuse %8, %9`, where `%1` has died early.
//!
//! * `sequence`: nodes in the order of computation, and the memory at each
//! * `schedule`: that order

mod schedule;
mod sequence;

use crate::form::lower::Layouts;
use graven_ir::infer::InferError;
use graven_ir::{Constants, Graph, Op};
use sequence::Sequence;

/// A graph that needs less memory.
pub struct Reduced {
    /// The graph; its ids are in the order of computation.
    pub graph: Graph,
    /// The layouts of its values.
    pub layouts: Layouts,
    /// Bytes of all values that live at the same time, at most. The arena is near that.
    pub peak: u64,
    /// How many kernels run a second time.
    pub recomputed: usize,
}

/// The graph with less than `budget` bytes in use at a time, or as little as the pass can reach.
///
/// # Errors
/// Our bug.
pub fn run(
    constants: &Constants,
    graph: &Graph,
    layouts: &Layouts,
    budget: u64,
) -> Result<Reduced, InferError> {
    let mut sequence = Sequence::new(graph, layouts, schedule::order(graph));
    let mut recomputed = 0;
    loop {
        let usage = sequence.usage();
        let (place, peak) = usage.peak();
        let choice = if peak > budget { best(&sequence, &usage, place) } else { None };
        match choice {
            Some(value) => {
                sequence.recompute(value, place);
                recomputed += 1;
            }
            None => {
                let (graph, layouts) = sequence.graph(constants)?;
                return Ok(Reduced { graph, layouts, peak, recomputed });
            }
        }
    }
}

/// The most memory that the graph has in use at a time, in its order.
pub fn peak(graph: &Graph, layouts: &Layouts) -> u64 {
    Sequence::new(graph, layouts, graph.order()).usage().peak().1
}

/// The value that is best computed again after `place`.
fn best(sequence: &Sequence<'_>, usage: &sequence::Usage, place: usize) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for value in 0..sequence.values() {
        let Some(lifetime) = usage.lifetime(value) else { continue };
        let over = lifetime.first < place && place < lifetime.last;
        if !over || !sequence.can_recompute(lifetime.first) || usage.is_used_at(value, place) {
            continue;
        }
        let item = lifetime.first;
        let kept: u64 = sequence
            .operands(item)
            .filter(|operand| !usage.lives_after(*operand, place))
            .map(|v| sequence.bytes(v))
            .sum();
        let Some(saved) = sequence.bytes(value).checked_sub(kept).filter(|saved| *saved > 0) else {
            continue;
        };
        let cost = match usage.is_used_before(value, place) {
            true => sequence.cost(item),
            // It moves; nothing is computed twice.
            false => 1.0,
        };
        let quotient = saved as f64 / cost;
        if best.is_none_or(|(known, _)| quotient > known) {
            best = Some((quotient, value));
        }
    }
    best.map(|(_, value)| value)
}

/// Whether a node may run twice: kernels, not loops, branches or the application's code.
fn is_kernel(op: &Op) -> bool {
    let control = matches!(op, Op::If | Op::While { .. } | Op::Scan { .. });
    !control && op.is_pure() && !matches!(op, Op::Constant { .. } | Op::Reshape { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x → a → b → c → d, and d with all of them.
    fn chain() -> graven_ir::Module {
        let text = "func @main(%x: f32[256]) -> (y: f32[256]) {
  %a = exp %x : f32[256]
  %b = sin %a : f32[256]
  %c = cos %b : f32[256]
  %d = tanh %c : f32[256]
  %1 = add %d, %c : f32[256]
  %2 = add %1, %b : f32[256]
  %3 = add %2, %a : f32[256]
  %4 = neg %3 : f32[256]
  return %4
}
";
        graven_ir::text::parse(text).unwrap()
    }

    #[test]
    fn less_memory_for_more_work_and_the_same_result() {
        let mut module = chain();
        let graph = &module.functions[0].graph;
        // At the fifth step a, b, c, d and the sum are there; the result is the caller's memory.
        assert_eq!(peak(graph, &Layouts::default()), 5 * 1024);
        let unlimited = run(&module.constants, graph, &Layouts::default(), u64::MAX).unwrap();
        assert_eq!((unlimited.peak, unlimited.recomputed), (5 * 1024, 0));
        let reduced = run(&module.constants, graph, &Layouts::default(), 4 * 1024).unwrap();
        assert!(reduced.peak <= 4 * 1024 && reduced.recomputed > 0, "{} bytes", reduced.peak);
        assert_eq!(reduced.graph.node_count(), graph.node_count() + reduced.recomputed);
        graven_ir::verify::verify_graph(&module.constants, &[], &reduced.graph).unwrap();

        let x = graven_ir::Tensor::from_f32s(vec![256], &[0.3; 256]).unwrap();
        let before = graven_ir::interp::evaluate(&module, "main", std::slice::from_ref(&x)).unwrap();
        module.functions[0].graph = reduced.graph;
        assert_eq!(graven_ir::interp::evaluate(&module, "main", &[x]).unwrap(), before);
    }

    #[test]
    fn there_is_a_least() {
        let module = chain();
        let reduced = run(&module.constants, &module.functions[0].graph, &Layouts::default(), 0).unwrap();
        assert!(reduced.peak >= 2 * 1024, "an operand and a result must be there");
    }
}
