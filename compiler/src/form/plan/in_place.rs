//! Results that are computed in the memory of an operand.
//!
//! Whether a kernel may do so shows in the kernel itself, whatever schedule it is from: see [`may_share`].

use super::Lifetime;
use crate::kernel::in_place::may_share;
use crate::kernel::{Access, BufferId};
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
        *self.proofs.entry((id, operand, result)).or_insert_with(|| may_share(kernel, operand, result))
    }
}
