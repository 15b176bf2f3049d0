//! The memory plan: offsets in the arena for buffers whose lifetimes overlap.
//!
//! Largest first, each buffer at the lowest offset where it meets no placed buffer that lives at the same time (greedy by size,
//! Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
//!
//! * `lifetime`: when buffers live
//! * `check`: whether a plan is right, found out by going through the steps

mod check;
mod lifetime;

pub use check::check;
pub use lifetime::{Lifetime, lifetimes};

use crate::program::{Place, Program, SlotId};

/// Alignment of every buffer in the arena and the weights, in bytes.
pub const ALIGNMENT: u64 = 64;

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
