//! The stack frame: saved registers, spill slots, 64 bytes of the function's own.
//!
//! From high addresses to low: return address, the caller's frame pointer, saved general registers, padding to 64 bytes, saved vector registers, own bytes,
//! spill slots. Spill slots are addressed from the stack pointer, which is aligned for the widest vector.

use super::Statistics;
use super::registers::Level;
use super::vcode::VCode;
use regalloc2::{
    Allocation, Block, Edit, Function, InstOrEdit, OperandKind, Output, PReg, PRegSet, RegClass,
};

/// Bytes of the function's own.
const OWN: i32 = 64;

/// The layout of a function's stack frame.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// General registers to save, in order.
    pub general: Vec<PReg>,
    /// Vector registers to save.
    pub vectors: Vec<PReg>,
    /// Bytes of spill slots, rounded up to 64.
    spills: i32,
    /// Bytes below the saved general registers, without padding.
    pub bytes: i32,
}

impl Frame {
    /// The frame of allocated code.
    pub fn of(code: &VCode, output: &Output, level: Level) -> Frame {
        let mut written = PRegSet::empty();
        let mut note = |allocation: Allocation| {
            if let Some(register) = allocation.as_reg() {
                written.add(register);
            }
        };
        for (index, inst) in code.insts.iter().enumerate() {
            let allocations = output.inst_allocs(regalloc2::Inst::new(index));
            for (operand, allocation) in inst.operands.iter().zip(allocations) {
                if operand.kind() == OperandKind::Def {
                    note(*allocation);
                }
            }
        }
        for (_, Edit::Move { to, .. }) in &output.edits {
            note(*to);
        }
        let saved = |class| {
            let numbers = 0..if class == RegClass::Float { 32 } else { 16 };
            let registers = numbers.map(move |number| PReg::new(number, class));
            registers.filter(|register| written.contains(*register) && level.is_saved(*register)).collect()
        };
        let (general, vectors): (Vec<PReg>, Vec<PReg>) = (saved(RegClass::Int), saved(RegClass::Float));
        let spills = (output.num_spillslots * 8).next_multiple_of(64) as i32;
        let own = if code.uses_frame { OWN } else { 0 };
        let bytes = spills + own + (vectors.len() * 16).next_multiple_of(64) as i32;
        Frame { general, vectors, spills, bytes }
    }

    /// Where the function's own bytes are, from the stack pointer.
    pub fn own(&self) -> i32 {
        self.spills
    }

    /// Where the n-th vector register is saved, from the stack pointer.
    pub fn vector(&self, n: usize) -> i32 {
        self.bytes - (self.vectors.len() * 16).next_multiple_of(64) as i32 + n as i32 * 16
    }

    /// Whether there is nothing to set up.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.general.is_empty()
    }
}

/// Counts of allocated code.
pub fn statistics(code: &VCode, output: &Output) -> Statistics {
    let touches_stack =
        |edit: &Edit| matches!(edit, Edit::Move { from, to } if from.is_stack() || to.is_stack());
    let mut statistics = Statistics { instructions: code.insts.len(), ..Statistics::default() };
    for block in (0..code.num_blocks()).map(Block::new) {
        let edits = output.block_insts_and_edits(code, block);
        let spills =
            edits.filter(|item| matches!(item, InstOrEdit::Edit(edit) if touches_stack(edit))).count();
        statistics.spills += spills;
        if code.is_innermost(block) {
            statistics.innermost_spills += spills;
        }
    }
    statistics
}
