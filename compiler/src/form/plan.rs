//! The memory plan: offsets in the arena for buffers whose lifetimes overlap.
//!
//! Largest first, each buffer at the lowest offset where it meets no placed buffer that lives at the same time (greedy by size,
//! Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).

use crate::program::{Place, Program, SlotId, Step};
use cranelift_entity::SecondaryMap;

/// Alignment of every buffer in the arena and the weights, in bytes.
pub const ALIGNMENT: u64 = 64;

/// Steps from the first write to the last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Step that writes first.
    pub first: usize,
    /// Step that reads last.
    pub last: usize,
}

impl Lifetime {
    fn overlaps(self, other: Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The slots that a step reads or writes.
pub fn slots_of(step: &Step) -> Vec<SlotId> {
    match step {
        Step::Launch(launch) => launch.arguments.clone(),
        Step::Copy { from, to } => vec![*from, *to],
    }
}

/// Lifetimes of the slots that any step uses.
pub fn lifetimes(program: &Program) -> SecondaryMap<SlotId, Option<Lifetime>> {
    let mut lifetimes: SecondaryMap<SlotId, Option<Lifetime>> = SecondaryMap::new();
    for (place, step) in program.steps.iter().enumerate() {
        for slot in slots_of(step) {
            let first = lifetimes[slot].map_or(place, |lifetime| lifetime.first);
            lifetimes[slot] = Some(Lifetime { first, last: place });
        }
    }
    lifetimes
}

/// Sets the offsets of all arena slots and the size of the arena.
pub fn place(program: &mut Program) {
    let lifetimes = lifetimes(program);
    let is_arena = |slot: &SlotId| matches!(program.slots[*slot].place, Place::Arena { .. });
    let mut order: Vec<SlotId> = program.slots.keys().filter(is_arena).collect();
    order.sort_by_key(|slot| (std::cmp::Reverse(program.slots[*slot].upper_bytes()), *slot));
    let mut placed: Vec<(u64, u64, Lifetime)> = Vec::new();
    let mut total = 0;
    for slot in order {
        let Some(lifetime) = lifetimes[slot] else { continue };
        let bytes = program.slots[slot].upper_bytes().next_multiple_of(ALIGNMENT);
        let mut busy: Vec<(u64, u64)> = placed
            .iter()
            .filter(|(_, _, other)| other.overlaps(lifetime))
            .map(|(start, end, _)| (*start, *end))
            .collect();
        busy.sort_unstable();
        let mut offset = 0;
        for (start, end) in busy {
            if offset + bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        placed.push((offset, offset + bytes, lifetime));
        program.slots[slot].place = Place::Arena { offset };
        total = total.max(offset + bytes);
    }
    program.arena_bytes = total;
}

/// Checks, independently of how it was made, that no two slots that live at the same time share bytes of the arena, and that all lie within it.
pub fn check(program: &Program) -> Result<(), String> {
    let mut owner: Vec<(u64, u64, SlotId)> = Vec::new();
    let uses = |slot: SlotId, step: &Step| slots_of(step).contains(&slot);
    let last_use: SecondaryMap<SlotId, usize> = {
        let mut last = SecondaryMap::new();
        for (place, step) in program.steps.iter().enumerate() {
            slots_of(step).into_iter().for_each(|slot| last[slot] = place);
        }
        last
    };
    for (now, step) in program.steps.iter().enumerate() {
        for slot in slots_of(step) {
            let Place::Arena { offset } = program.slots[slot].place else { continue };
            let end = offset + program.slots[slot].upper_bytes();
            if end > program.arena_bytes {
                return Err(format!("{slot} ends at {end} behind the arena's {} bytes", program.arena_bytes));
            }
            owner.retain(|(_, _, other)| *other == slot || last_use[*other] >= now || uses(*other, step));
            if let Some((_, _, other)) =
                owner.iter().find(|(s, e, other)| *other != slot && *s < end && offset < *e)
            {
                return Err(format!("{slot} and {other} share memory at step {now}"));
            }
            if owner.iter().all(|(_, _, other)| *other != slot) {
                owner.push((offset, end, slot));
            }
        }
    }
    Ok(())
}
