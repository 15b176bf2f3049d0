//! Results that are computed in the memory of an operand.
//!
//! A kernel may do so with an argument that it reads and one that it writes, both of one size, if it goes through them element by element. That is seen in the
//! kernel itself, whatever schedule it is from: every load is followed, in the same block, by a store to the same place, and as many elements are stored
//! as there are. Since a kernel writes its whole result, no element is then stored twice, so that each is read before it is overwritten.

use super::Lifetime;
use crate::kernel::{Access, Address, Block, BufferId, Kernel, KernelOp, Number, Spread, Stmt, Val};
use crate::program::{KernelId, Launch, Place, Program, SlotId, Step};
use cranelift_entity::SecondaryMap;
use rustc_hash::FxHashMap;

/// The operand whose memory each result takes: one that is used for the last time where the result is used for the first.
pub fn reused(
    program: &Program,
    lifetimes: &SecondaryMap<SlotId, Option<Lifetime>>,
) -> SecondaryMap<SlotId, Option<SlotId>> {
    let mut search = Search {
        program,
        lifetimes,
        proofs: FxHashMap::default(),
        taken: SecondaryMap::new(),
        reused: SecondaryMap::new(),
    };
    for step in &program.steps {
        step.for_each(&mut |step| {
            if let Step::Launch(launch) = step {
                search.launch(launch);
            }
        });
    }
    search.reused
}

struct Search<'p> {
    program: &'p Program,
    lifetimes: &'p SecondaryMap<SlotId, Option<Lifetime>>,
    /// What is known about the kernels' pairs of arguments.
    proofs: FxHashMap<(KernelId, BufferId, BufferId), bool>,
    taken: SecondaryMap<SlotId, bool>,
    reused: SecondaryMap<SlotId, Option<SlotId>>,
}

impl Search<'_> {
    fn launch(&mut self, launch: &Launch) {
        let Some(kernel) = self.program.kernels.get(launch.kernel) else { return };
        let arguments: Vec<(BufferId, Access, SlotId)> = kernel
            .arguments()
            .zip(&launch.arguments)
            .map(|((id, buffer), slot)| (id, buffer.access, *slot))
            .collect();
        let once = |slot: SlotId| launch.arguments.iter().filter(|other| **other == slot).count() == 1;
        let all = |access: Access| arguments.iter().filter(move |argument| argument.1 == access);
        for (result, _, to) in all(Access::Write) {
            for (operand, _, from) in all(Access::Read) {
                let free = self.reused[*to].is_none() && !self.taken[*from] && once(*from) && once(*to);
                if free && self.fits(*from, *to) && self.proof(launch.kernel, *operand, *result) {
                    self.reused[*to] = Some(*from);
                    self.taken[*from] = true;
                }
            }
        }
    }

    /// Whether the first slot is done with when the second begins, and as large.
    fn fits(&self, from: SlotId, to: SlotId) -> bool {
        let arena = |slot: SlotId| matches!(self.program.slots[slot].place, Place::Arena { .. });
        let ends = match (self.lifetimes[from], self.lifetimes[to]) {
            (Some(from), Some(to)) => from.last == to.first,
            _ => false,
        };
        let bytes = |slot: SlotId| self.program.slots[slot].upper_bytes();
        ends && arena(from) && arena(to) && bytes(from) == bytes(to)
    }

    fn proof(&mut self, id: KernelId, operand: BufferId, result: BufferId) -> bool {
        let kernel = &self.program.kernels[id];
        *self
            .proofs
            .entry((id, operand, result))
            .or_insert_with(|| is_element_by_element(kernel, operand, result))
    }
}

/// Whether a kernel reads each element of `operand` before it writes the same element of `result`, and nothing else of either.
pub fn is_element_by_element(kernel: &Kernel, operand: BufferId, result: BufferId) -> bool {
    let (x, y) = (&kernel.buffers[operand], &kernel.buffers[result]);
    let Some(elements) = y.elements.as_const().filter(|_| x.elements == y.elements) else { return false };
    if x.dtype.bytes() != y.dtype.bytes() {
        return false;
    }
    let mut walk = Walk { kernel, operand, result, numbers: FxHashMap::default(), stored: 0 };
    walk.block(&kernel.body, 1).is_some() && walk.stored == elements
}

struct Walk<'k> {
    kernel: &'k Kernel,
    operand: BufferId,
    result: BufferId,
    /// Values that are integer constants.
    numbers: FxHashMap<Val, i64>,
    /// Elements stored.
    stored: i64,
}

/// Neighbouring elements from a place on.
#[derive(PartialEq, Eq)]
struct Span {
    index: Val,
    offset: i64,
    lanes: u16,
}

impl Walk<'_> {
    /// Goes through a block that is executed `times` times; `None` where it is not clear that it goes element by element.
    fn block(&mut self, block: &Block, times: i64) -> Option<()> {
        let mut loaded: Vec<Span> = Vec::new();
        for stmt in &block.stmts {
            match stmt {
                Stmt::Op { result, op: KernelOp::Constant(Number::Int(number)), .. } => {
                    self.numbers.insert(*result, *number);
                }
                Stmt::Load { result, address, spread, mask } if address.buffer == self.operand => {
                    loaded.push(self.span(address, *spread, *mask, *result)?);
                }
                Stmt::Store { value, address, spread, mask } if address.buffer == self.result => {
                    let span = self.span(address, *spread, *mask, *value)?;
                    self.stored = self.stored.checked_add(times.checked_mul(span.lanes.into())?)?;
                    loaded.retain(|load| *load != span);
                }
                Stmt::For(nest) => {
                    let bounds = (self.numbers.get(&nest.lower), self.numbers.get(&nest.upper));
                    match bounds {
                        (Some(lower), Some(upper)) => {
                            let length = upper.checked_sub(*lower)?.max(0);
                            let trips = length / nest.step + i64::from(length % nest.step != 0);
                            self.block(&nest.body, times.checked_mul(trips)?)?;
                        }
                        _ => self.untouched(&nest.body)?,
                    }
                }
                Stmt::If(branch) => {
                    self.untouched(&branch.then)?;
                    self.untouched(&branch.otherwise)?;
                }
                Stmt::Op { .. }
                | Stmt::Load { .. }
                | Stmt::Store { .. }
                | Stmt::Prefetch { .. }
                | Stmt::Check { .. } => {}
            }
        }
        loaded.is_empty().then_some(())
    }

    fn span(&self, address: &Address, spread: Spread, mask: Option<Val>, value: Val) -> Option<Span> {
        let lanes = self.kernel.values[value].lanes;
        let neighbours = spread == Spread::Contiguous || lanes == 1;
        (neighbours && mask.is_none()).then_some(Span { index: address.index, offset: address.offset, lanes })
    }

    /// A block that uses neither buffer.
    fn untouched(&self, block: &Block) -> Option<()> {
        let uses = |address: &Address| address.buffer == self.operand || address.buffer == self.result;
        let clear = block.stmts.iter().all(|stmt| match stmt {
            Stmt::Load { address, .. } | Stmt::Store { address, .. } => !uses(address),
            Stmt::For(nest) => self.untouched(&nest.body).is_some(),
            Stmt::If(branch) => {
                self.untouched(&branch.then).is_some() && self.untouched(&branch.otherwise).is_some()
            }
            Stmt::Op { .. } | Stmt::Prefetch { .. } | Stmt::Check { .. } => true,
        });
        clear.then_some(())
    }
}
