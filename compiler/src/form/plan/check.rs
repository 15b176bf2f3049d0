//! Checks a memory plan, independently of how it was made, by going through the steps.
//!
//! A write makes a buffer whole and breaks those that share memory with it; what is read must be whole. Loops are gone through with no, one and two trips, branches
//! either way, so that a buffer that a later trip still reads is seen to be broken by the trip before.

use crate::kernel::Access;
use crate::kernel::in_place::may_share;
use crate::program::{Launch, Loop, Place, Program, SlotId, Step};

/// Which way branches are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branches {
    Then,
    Otherwise,
    /// One after the other.
    Alternating,
}

/// Checks that every buffer that is read still holds what was written, that the buffers of a step don't overlap, and that all lie within the arena.
///
/// # Errors
/// The first violation, in words.
pub fn check(program: &Program) -> Result<(), String> {
    for trips in 0..=2 {
        for branches in [Branches::Then, Branches::Otherwise, Branches::Alternating] {
            let pointers = vec![None; program.pointers as usize];
            let mut run = Run {
                program,
                trips,
                branches,
                taken: 0,
                pointers,
                whole: old_states(program),
                in_place: Vec::new(),
            };
            run.steps(&program.steps)?;
        }
    }
    Ok(())
}

/// The slots that hold the old values of states.
fn old_states(program: &Program) -> Vec<SlotId> {
    let state = |n: usize| program.slots.iter().find(|(_, slot)| slot.place == Place::State(n as u32));
    (0..program.states.len()).filter_map(state).map(|(id, _)| id).collect()
}

struct Run<'p> {
    program: &'p Program,
    trips: i64,
    branches: Branches,
    /// Number of branches so far.
    taken: usize,
    /// The buffer that each pointer leads into.
    pointers: Vec<Option<SlotId>>,
    /// Buffers in the arena and states that hold what was written to them.
    whole: Vec<SlotId>,
    /// Arguments of the current launch that may share memory.
    in_place: Vec<(SlotId, SlotId)>,
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            match step {
                Step::Launch(launch) => self.launch(launch)?,
                Step::Copy { from, to } => {
                    self.in_place.clear();
                    self.access(&[*from], &[*to])?;
                }
                Step::If(branch) => {
                    self.access(&[branch.condition], &[])?;
                    self.taken += 1;
                    let then = match self.branches {
                        Branches::Then => true,
                        Branches::Otherwise => false,
                        Branches::Alternating => self.taken % 2 == 1,
                    };
                    self.steps(if then { &branch.then } else { &branch.otherwise })?;
                }
                Step::Loop(nest) => self.nest(nest)?,
                Step::Bind(binding) => {
                    self.in_place.clear();
                    self.access(&[binding.value], &[])?;
                }
                Step::Call(call) => {
                    self.in_place.clear();
                    self.access(&call.operands, &call.results)?;
                }
            }
        }
        Ok(())
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), String> {
        let kernel = &self.program.kernels[launch.kernel];
        let access = |place: usize| kernel.arguments().nth(place).map(|(_, buffer)| buffer.access);
        let arguments = || launch.arguments.iter().copied().enumerate();
        let of = |read: bool| -> Vec<SlotId> {
            arguments()
                .filter(|(n, _)| (access(*n) == Some(Access::Read)) == read)
                .map(|(_, slot)| slot)
                .collect()
        };
        self.in_place = self.pairs_in_place(launch);
        self.access(&of(true), &of(false)).map_err(|error| format!("{}: {error}", kernel.name))
    }

    /// Pairs of a read and a written argument at one place that the kernel goes through element by element.
    fn pairs_in_place(&self, launch: &Launch) -> Vec<(SlotId, SlotId)> {
        let kernel = &self.program.kernels[launch.kernel];
        let place = |slot: SlotId| self.program.slots[slot].place;
        let once = |slot: SlotId| launch.arguments.iter().filter(|other| **other == slot).count() == 1;
        let arguments = || kernel.arguments().zip(launch.arguments.iter().copied());
        let mut pairs = Vec::new();
        for ((operand, x), from) in arguments().filter(|((_, x), _)| x.access == Access::Read) {
            for ((result, _), to) in arguments().filter(|((_, y), _)| y.access == Access::Write) {
                let shared = x.elements.upper() > 0 && place(from) == place(to) && once(from) && once(to);
                if shared && may_share(kernel, operand, result) {
                    pairs.push((from, to));
                }
            }
        }
        pairs
    }

    fn nest(&mut self, nest: &Loop) -> Result<(), String> {
        let (least, most) = match nest.condition {
            None => nest.trips.bounds(),
            Some(_) => (0, nest.trips.upper()),
        };
        let trips = self.trips.clamp(least.clamp(0, 2), most.clamp(0, 2));
        for carried in &nest.carried {
            let initial = self.resolve(carried.initial)?;
            self.point(carried.current, initial)?;
            self.point(carried.next, carried.buffers[0])?;
        }
        for slice in &nest.slices {
            let whole = self.resolve(slice.whole)?;
            self.point(slice.slice, whole)?;
            if trips == 0 && slice.written {
                self.write(whole)?;
            }
        }
        for trip in 0..=trips {
            if let Some(condition) = &nest.condition {
                self.steps(&condition.steps)?;
                self.access(&[condition.value], &[])?;
            }
            if trip == trips {
                break;
            }
            self.steps(&nest.body)?;
            for carried in &nest.carried {
                let [first, second] = carried.buffers;
                let current = self.resolve(carried.next)?;
                self.point(carried.current, current)?;
                self.point(carried.next, if current == first { second } else { first })?;
            }
        }
        Ok(())
    }

    fn point(&mut self, pointer: SlotId, to: SlotId) -> Result<(), String> {
        match self.program.slots[pointer].place {
            Place::Pointer(n) if (n as usize) < self.pointers.len() => self.pointers[n as usize] = Some(to),
            place => return Err(format!("{pointer} is no pointer but at {place:?}")),
        }
        Ok(())
    }

    /// The buffer that a slot is or leads into.
    fn resolve(&self, slot: SlotId) -> Result<SlotId, String> {
        match self.program.slots[slot].place {
            Place::Pointer(n) => {
                let target = self.pointers.get(n as usize).copied().flatten();
                target.ok_or_else(|| format!("{slot} is used before it leads anywhere"))
            }
            _ => Ok(slot),
        }
    }

    fn access(&mut self, read: &[SlotId], written: &[SlotId]) -> Result<(), String> {
        let buffers = |run: &Self, slots: &[SlotId]| -> Result<Vec<SlotId>, String> {
            slots.iter().map(|slot| run.resolve(*slot)).collect()
        };
        let (read, written) = (buffers(self, read)?, buffers(self, written)?);
        for slot in &read {
            if self.range(*slot)?.is_some() && !self.whole.contains(slot) {
                return Err(format!("{slot} is read, but not or no longer written"));
            }
        }
        for slot in &written {
            let collides =
                |other: &&SlotId| self.overlap(**other, *slot) && !self.in_place.contains(&(**other, *slot));
            if let Some(other) = read.iter().chain(&written).find(collides) {
                return Err(format!("{slot} and {other} share memory in one step"));
            }
            self.write(*slot)?;
        }
        Ok(())
    }

    fn write(&mut self, slot: SlotId) -> Result<(), String> {
        if self.range(slot)?.is_none() {
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.whole);
        whole.retain(|other| *other != slot && !self.overlap(*other, slot));
        whole.push(slot);
        self.whole = whole;
        Ok(())
    }

    /// Whether two slots are different and have bytes in common.
    fn overlap(&self, a: SlotId, b: SlotId) -> bool {
        match (self.range(a), self.range(b)) {
            (Ok(Some(x)), Ok(Some(y))) => a != b && x.0 == y.0 && x.1 < y.2 && y.1 < x.2,
            _ => false,
        }
    }

    /// The arena or a state, by a number, and the bytes of it that a slot has; `None` for other places and no bytes.
    fn range(&self, slot: SlotId) -> Result<Option<(u32, u64, u64)>, String> {
        let bytes = self.program.slots[slot].upper_bytes();
        let offset = match self.program.slots[slot].place {
            Place::Arena { offset } => offset,
            Place::State(n) => return Ok((bytes > 0).then_some((n + 1, 0, bytes))),
            _ => return Ok(None),
        };
        let end = offset.saturating_add(bytes);
        if end > self.program.arena_bytes {
            return Err(format!(
                "{slot} ends at {end} behind the arena's {} bytes",
                self.program.arena_bytes
            ));
        }
        Ok((bytes > 0).then_some((0, offset, end)))
    }
}
