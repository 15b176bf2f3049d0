//! Where values are defined and used, for folding loads and choosing which operand an instruction overwrites.

use crate::kernel::{Block, Kernel, Stmt, Val};
use cranelift_entity::SecondaryMap;

/// A stretch of a block without stores, branches and loops: within it, loads may move.
type Stretch = u32;

/// What is known of a value.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    uses: u32,
    defined_in: Stretch,
    used_in: Stretch,
    depth: u32,
}

/// What is known of all values of a kernel.
pub(super) struct Uses<'k> {
    facts: SecondaryMap<Val, Facts>,
    definitions: SecondaryMap<Val, Option<&'k Stmt>>,
    stretch: Stretch,
    stretches: Stretch,
    depth: u32,
}

impl<'k> Uses<'k> {
    /// Looks at all statements.
    pub fn of(kernel: &'k Kernel) -> Uses<'k> {
        let mut uses = Uses {
            facts: SecondaryMap::new(),
            definitions: SecondaryMap::new(),
            stretch: 0,
            stretches: 0,
            depth: 0,
        };
        uses.block(&kernel.body);
        uses
    }

    /// Whether the only use of the value stands after it with no store, branch or loop in between.
    pub fn is_foldable(&self, value: Val) -> bool {
        let facts = self.facts[value];
        facts.uses == 1 && facts.defined_in == facts.used_in
    }

    /// Whether an instruction at this depth of loops may overwrite the value: this is its only use, and no loop comes back to it.
    pub fn dies(&self, value: Val, depth: u32) -> bool {
        let facts = self.facts[value];
        facts.uses == 1 && facts.depth >= depth
    }

    /// The statement that defines a value, if it is an operation or a load.
    pub fn definition(&self, value: Val) -> Option<&'k Stmt> {
        self.definitions[value]
    }

    fn define(&mut self, value: Val) {
        self.facts[value].defined_in = self.stretch;
        self.facts[value].depth = self.depth;
    }

    fn next_stretch(&mut self) {
        self.stretches += 1;
        self.stretch = self.stretches;
    }

    fn block(&mut self, block: &'k Block) {
        self.next_stretch();
        for stmt in &block.stmts {
            let stretch = self.stretch;
            stmt.for_each_operand(&mut |value| {
                self.facts[value].uses += 1;
                self.facts[value].used_in = stretch;
            });
            match stmt {
                Stmt::Op { result, .. } | Stmt::Load { result, .. } => {
                    self.define(*result);
                    self.definitions[*result] = Some(stmt);
                }
                Stmt::Store { .. } | Stmt::Check { .. } => self.next_stretch(),
                Stmt::Prefetch { .. } => {}
                Stmt::For(nest) => {
                    self.depth += 1;
                    self.define(nest.var);
                    nest.carried.iter().for_each(|carried| self.define(carried.param));
                    self.block(&nest.body);
                    self.depth -= 1;
                    self.next_stretch();
                    nest.carried.iter().for_each(|carried| self.define(carried.result));
                }
                Stmt::If(branch) => {
                    self.block(&branch.then);
                    self.block(&branch.otherwise);
                    self.next_stretch();
                    branch.results.iter().for_each(|result| self.define(*result));
                }
            }
        }
        // What a block yields is used after everything in it.
        for value in &block.yields {
            self.facts[*value].uses += 1;
            self.facts[*value].used_in = Stretch::MAX;
        }
    }
}
