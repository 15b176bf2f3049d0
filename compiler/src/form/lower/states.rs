//! States: the new value goes where the old one was.
//!
//! A new value is computed in the state's own buffer if nothing reads the old one afterwards: all reads come before the step that writes first, or are in that very step, whose
//! kernel reads each element right before it writes it. Otherwise the value is computed in the arena and copied at the end.

use super::Lowering;
use super::scope::Scope;
use crate::form::FormError;
use crate::form::plan::{Lifetime, lifetimes};
use crate::kernel::in_place::may_share;
use crate::program::{Launch, Place, Program, SlotId, Step};
use cranelift_entity::SecondaryMap;
use graven_ir::ValueId;

impl Lowering<'_> {
    /// Copies the new values of states to where the old ones are.
    pub(super) fn states(&mut self, scope: &mut Scope<'_>, outputs: usize) -> Result<(), FormError> {
        let values: Vec<ValueId> = scope.graph.results()[outputs..].to_vec();
        // Old states may be the new values of others: read them all before the first is overwritten.
        let mut copies = Vec::new();
        for (n, value) in values.into_iter().enumerate() {
            let mut from = self.slot(scope, value)?;
            let place = Place::State(n as u32);
            if self.program.slots[from].place == place {
                continue;
            }
            let ty = scope.graph.ty(value);
            if matches!(self.program.slots[from].place, Place::State(_)) {
                let to = self.place(Place::Arena { offset: 0 }, ty);
                self.steps.push(Step::Copy { from, to });
                from = to;
            }
            let to = self.place(place, ty);
            copies.push(Step::Copy { from, to });
        }
        self.steps.extend(copies);
        Ok(())
    }
}

/// Lets new values be computed in the buffers of their states, and drops the copies at the end.
pub(super) fn in_place(program: &mut Program) {
    if program.states.is_empty() {
        return;
    }
    let lifetimes = lifetimes(program);
    let alternating = loop_buffers(program);
    let mut steps = std::mem::take(&mut program.steps);
    let states = steps.iter().rev().take_while(|step| copied_state(program, step).is_some()).count();
    let copies = steps.split_off(steps.len() - states);
    program.steps = steps;
    let mut left = Vec::new();
    for copy in copies {
        match copied_state(program, &copy) {
            Some((from, to)) if !alternating.contains(&from) && fits(program, &lifetimes, from, to) => {
                program.slots[from].place = program.slots[to].place;
            }
            _ => left.push(copy),
        }
    }
    program.steps.extend(left);
}

/// The slots of a step that copies from the arena to a state.
fn copied_state(program: &Program, step: &Step) -> Option<(SlotId, SlotId)> {
    let Step::Copy { from, to } = step else { return None };
    let state = matches!(program.slots[*to].place, Place::State(_));
    state.then_some((*from, *to))
}

/// Buffers that loops alternate between, which must stay in the arena.
fn loop_buffers(program: &Program) -> Vec<SlotId> {
    let mut buffers = Vec::new();
    let mut visit = |step: &Step| {
        if let Step::Loop(nest) = step {
            buffers.extend(nest.carried.iter().flat_map(|carried| carried.buffers));
        }
    };
    program.steps.iter().for_each(|step| step.for_each(&mut visit));
    buffers
}

/// Whether the new value in `from` can be computed where the state of `to` is.
fn fits(
    program: &Program,
    lifetimes: &SecondaryMap<SlotId, Option<Lifetime>>,
    from: SlotId,
    to: SlotId,
) -> bool {
    let (value, state) = (&program.slots[from], &program.slots[to]);
    let alike = value.dtype == state.dtype && value.elements == state.elements;
    let (Place::Arena { .. }, true, Some(written)) = (value.place, alike, lifetimes[from]) else {
        return false;
    };
    let others = program.slots.iter().filter(|(id, slot)| *id != to && slot.place == state.place);
    others.into_iter().all(|(old, _)| match lifetimes[old] {
        None => true,
        Some(read) if read.last < written.first => true,
        Some(read) => read.last == written.first && shares(program, old, from),
    })
}

/// Whether a launch that reads the old value writes the new one, and may do so in place.
fn shares(program: &Program, old: SlotId, new: SlotId) -> bool {
    let reads = |launch: &&Launch| launch.arguments.contains(&old) && launch.arguments.contains(&new);
    let mut launches = program.steps.iter().filter_map(|step| match step {
        Step::Launch(launch) => Some(launch).filter(reads),
        _ => None,
    });
    let (Some(launch), None) = (launches.next(), launches.next()) else { return false };
    let kernel = &program.kernels[launch.kernel];
    let buffers = |slot: SlotId| {
        let arguments = kernel.arguments().zip(&launch.arguments);
        arguments.filter(move |(_, argument)| **argument == slot).map(|((id, _), _)| id)
    };
    let mut pairs = buffers(old).flat_map(|read| buffers(new).map(move |written| (read, written)));
    pairs.all(|(read, written)| may_share(kernel, read, written))
}
