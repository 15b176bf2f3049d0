//! When buffers live.
//!
//! Steps are numbered in the order of the program, loops with a number before and one after their steps. A buffer that is used within a single trip lives from its
//! first use to its last, so that all buffers of a body lie in one part of the arena that every trip uses anew. A buffer that is also used outside of a loop lives
//! throughout the loop. A pointer's use is a use of every buffer that it can lead to.

use crate::program::{Loop, Place, Program, SlotId, Step};
use cranelift_entity::SecondaryMap;

/// Steps from the first write to the last read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Step that writes first.
    pub first: usize,
    /// Step that reads last.
    pub last: usize,
}

impl Lifetime {
    /// Whether there is a step in both.
    pub fn overlaps(self, other: Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Lifetimes of the slots that any step uses, those of pointers apart.
pub fn lifetimes(program: &Program) -> SecondaryMap<SlotId, Option<Lifetime>> {
    let whole = Nest { outer: 0, depth: 0, lifetime: Lifetime::default() };
    let mut walk = Walk {
        program,
        now: 0,
        inside: 0,
        nests: vec![whole],
        uses: SecondaryMap::new(),
        targets: SecondaryMap::new(),
    };
    walk.steps(&program.steps);
    let mut lifetimes = SecondaryMap::new();
    for slot in program.slots.keys() {
        lifetimes[slot] = walk.lifetime(slot);
    }
    lifetimes
}

/// A loop, or the program as the first.
struct Nest {
    outer: usize,
    depth: usize,
    lifetime: Lifetime,
}

struct Walk<'p> {
    program: &'p Program,
    /// Number of the current step.
    now: usize,
    /// The innermost loop of the current step.
    inside: usize,
    nests: Vec<Nest>,
    /// Steps that use a slot, with their loops.
    uses: SecondaryMap<SlotId, Vec<(usize, usize)>>,
    /// Where pointers can lead.
    targets: SecondaryMap<SlotId, Vec<SlotId>>,
}

impl Walk<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Launch(launch) => launch.arguments.iter().for_each(|slot| self.used(*slot)),
                Step::Copy { from, to } => [*from, *to].into_iter().for_each(|slot| self.used(slot)),
                Step::If(branch) => {
                    self.used(branch.condition);
                    self.now += 1;
                    self.steps(&branch.then);
                    self.steps(&branch.otherwise);
                }
                Step::Loop(nest) => self.nest(nest),
                Step::Bind(binding) => self.used(binding.value),
                Step::Call(call) => {
                    call.operands.iter().chain(&call.results).for_each(|slot| self.used(*slot))
                }
            }
            self.now += 1;
        }
    }

    fn nest(&mut self, nest: &Loop) {
        for slice in &nest.slices {
            self.targets[slice.slice] = vec![slice.whole];
        }
        for carried in &nest.carried {
            let [first, second] = carried.buffers;
            self.targets[carried.next] = vec![first, second];
            self.targets[carried.current] = vec![carried.initial, first, second];
        }
        let (number, outer, first) = (self.nests.len(), self.inside, self.now);
        let depth = self.nests[outer].depth + 1;
        self.nests.push(Nest { outer, depth, lifetime: Lifetime { first, last: first } });
        self.ends(nest);
        self.now += 1;
        self.inside = number;
        if let Some(condition) = &nest.condition {
            self.steps(&condition.steps);
            self.used(condition.value);
            self.now += 1;
        }
        self.steps(&nest.body);
        self.inside = outer;
        self.nests[number].lifetime.last = self.now;
        self.ends(nest);
    }

    /// What a loop uses where it begins and ends.
    fn ends(&mut self, nest: &Loop) {
        nest.slices.iter().for_each(|slice| self.used(slice.whole));
        nest.carried.iter().for_each(|carried| self.used(carried.current));
    }

    fn used(&mut self, slot: SlotId) {
        match self.program.slots[slot].place {
            Place::Pointer(_) => self.targets[slot].clone().into_iter().for_each(|target| self.used(target)),
            _ => self.uses[slot].push((self.now, self.inside)),
        }
    }

    fn lifetime(&self, slot: SlotId) -> Option<Lifetime> {
        let uses = &self.uses[slot];
        let home = uses.iter().map(|(_, inside)| *inside).reduce(|a, b| self.common(a, b))?;
        let span = |(now, inside): &(usize, usize)| self.within(home, *now, *inside);
        uses.iter()
            .map(span)
            .reduce(|a, b| Lifetime { first: a.first.min(b.first), last: a.last.max(b.last) })
    }

    /// The innermost loop around both.
    fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            let deeper = if self.nests[a].depth >= self.nests[b].depth { &mut a } else { &mut b };
            *deeper = self.nests[*deeper].outer;
        }
        a
    }

    /// The steps of `home` that a step of an inner loop belongs to.
    fn within(&self, home: usize, now: usize, mut inside: usize) -> Lifetime {
        let mut lifetime = Lifetime { first: now, last: now };
        while inside != home {
            lifetime = self.nests[inside].lifetime;
            inside = self.nests[inside].outer;
        }
        lifetime
    }
}
