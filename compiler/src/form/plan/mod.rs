//! The memory plan: offsets in the arena for buffers whose lifetimes overlap.
//!
//! Largest first, each buffer at the lowest offset where it meets no placed buffer that lives at the same time (greedy by size,
//! Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020). Buffers that take over the memory of others count as one with these.
//!
//! * [`in_place`]: which results are computed in the memory of an operand
//! * `lifetime`: when buffers live
//! * `check`: whether a plan is right, found out by going through the steps

mod check;
pub mod in_place;
mod lifetime;

pub use check::check;
pub use lifetime::{Lifetime, lifetimes};

use crate::program::{Place, Program, SlotId};
use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::ReservedValue;

/// Alignment of every buffer in the arena and the weights, in bytes.
pub const ALIGNMENT: u64 = 64;

/// Sets the offsets of all arena slots and the size of the arena.
pub fn place(program: &mut Program) {
    let lifetimes = lifetimes(program);
    let reused = in_place::reused(program, &lifetimes);
    let homes = homes(program, &reused);
    let mut together = lifetimes.clone();
    for slot in program.slots.keys() {
        if let (Some(whole), Some(part)) = (together[homes[slot]], lifetimes[slot]) {
            let (first, last) = (whole.first.min(part.first), whole.last.max(part.last));
            together[homes[slot]] = Some(Lifetime { first, last });
        }
    }
    let is_arena = |slot: &SlotId| matches!(program.slots[*slot].place, Place::Arena { .. });
    let mut order: Vec<SlotId> =
        program.slots.keys().filter(|slot| is_arena(slot) && homes[*slot] == *slot).collect();
    order.sort_by_key(|slot| (std::cmp::Reverse(program.slots[*slot].upper_bytes()), *slot));
    let mut placed: Vec<(u64, u64, Lifetime)> = Vec::new();
    let mut total = 0;
    for slot in order {
        let Some(lifetime) = together[slot] else { continue };
        let bytes = program.slots[slot].upper_bytes().next_multiple_of(ALIGNMENT);
        let offset = free_offset(&placed, lifetime, bytes);
        placed.push((offset, offset + bytes, lifetime));
        program.slots[slot].place = Place::Arena { offset };
        total = total.max(offset + bytes);
    }
    for slot in program.slots.keys().collect::<Vec<_>>() {
        program.slots[slot].place = match homes[slot] == slot {
            true => program.slots[slot].place,
            false => program.slots[homes[slot]].place,
        };
    }
    program.arena_bytes = total;
}

/// The lowest offset where no buffer lies that lives at the same time.
fn free_offset(placed: &[(u64, u64, Lifetime)], lifetime: Lifetime, bytes: u64) -> u64 {
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
    offset
}

/// The slot whose memory each slot has: its own, or that of the first of a chain of slots that take over from each other.
fn homes(program: &Program, reused: &SecondaryMap<SlotId, Option<SlotId>>) -> SecondaryMap<SlotId, SlotId> {
    let mut homes = SecondaryMap::with_default(SlotId::reserved_value());
    for slot in program.slots.keys() {
        let mut home = slot;
        while let Some(from) = reused[home] {
            home = from;
        }
        homes[slot] = home;
    }
    homes
}
