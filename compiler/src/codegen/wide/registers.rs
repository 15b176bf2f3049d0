//! The registers of x86-64: which ones are allocated, which ones callers want back.

use super::inst::{File, Width};
use iced_x86::Register;
use regalloc2::{MachineEnv, PReg, PRegSet, RegClass};

/// What code generation has to know about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// AVX-512 F, BW, DQ, VL; else AVX2.
    pub avx512: bool,
    /// The calling convention of Windows; else that of System V.
    pub windows: bool,
}

impl Level {
    /// The widest vector.
    pub fn width(self) -> Width {
        if self.avx512 { Width::Z } else { Width::Y }
    }

    /// The general registers of the first three arguments.
    pub fn arguments(self) -> [PReg; 3] {
        let numbers = if self.windows { [1, 2, 8] } else { [7, 6, 2] };
        numbers.map(|number| PReg::new(number, RegClass::Int))
    }

    /// Whether a function must leave the register as it found it; of vectors, on Windows, the lower 128 bits.
    pub fn is_saved(self, register: PReg) -> bool {
        match register.class() {
            RegClass::Int if self.windows => matches!(register.hw_enc(), 3 | 5 | 6 | 7 | 12..),
            RegClass::Int => matches!(register.hw_enc(), 3 | 5 | 12..),
            RegClass::Float => self.windows && (6..16).contains(&register.hw_enc()),
            RegClass::Vector => false,
        }
    }

    /// The allocatable registers: all general ones but stack and frame pointer; vectors; masks but k0, which can't mask a write.
    pub fn environment(self) -> MachineEnv {
        let vectors = if self.avx512 { 32 } else { 16 };
        let general = (0..16).filter(|number| !matches!(number, 4 | 5));
        let all = [
            general.map(|number| PReg::new(number, RegClass::Int)).collect::<Vec<_>>(),
            (0..vectors).map(|number| PReg::new(number, RegClass::Float)).collect(),
            (1..8).map(|number| PReg::new(number, RegClass::Vector)).collect(),
        ];
        let set = |saved: bool| {
            all.each_ref().map(|registers| {
                registers
                    .iter()
                    .filter(|register| self.is_saved(**register) == saved)
                    .fold(PRegSet::empty(), |set, register| set.with(*register))
            })
        };
        MachineEnv {
            preferred_regs_by_class: set(false),
            non_preferred_regs_by_class: set(true),
            scratch_by_class: [None; 3],
            fixed_stack_slots: Vec::new(),
        }
    }
}

/// The register of a file.
pub fn register(file: File, number: usize) -> Register {
    let number = number as u32;
    let first = match file {
        File::Vector(Width::X) => Register::XMM0,
        File::Vector(Width::Y) => Register::YMM0,
        File::Vector(Width::Z) => Register::ZMM0,
        File::Mask => Register::K0,
        File::General(8) if number < 4 => Register::AL,
        // After AL to BL come AH to BH, which we don't use, then SPL and on.
        File::General(8) => return Register::SPL + (number - 4),
        File::General(16) => Register::AX,
        File::General(32) => Register::EAX,
        _ => Register::RAX,
    };
    first + number
}

/// A 64-bit general register.
pub fn general(number: usize) -> Register {
    register(File::General(64), number)
}
