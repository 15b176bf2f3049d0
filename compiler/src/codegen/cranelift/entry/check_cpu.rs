//! `m_check_cpu`: 0 if the CPU has every feature that the code uses, else 1.
//!
//! On x86-64 it asks `cpuid`, which Cranelift doesn't have, so the few instructions are encoded here. Elsewhere code uses what the architecture's base has.
//! Bits: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A, `CPUID`; volume 1, section 14.3 for what the operating system has to save.

use crate::target::{Arch, Feature, Features, Target};
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, Signature, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// `() → code`.
pub(super) fn signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.returns.push(AbiParam::new(types::I32));
    signature
}

/// The function where nothing needs to be asked.
pub(super) fn build_trivial(
    function: &mut Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
) {
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    let zero = builder.ins().iconst(types::I32, 0);
    builder.ins().return_(&[zero]);
    builder.finalize(isa.frontend_config());
}

/// A register that `cpuid` writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Register {
    Eax,
    Ebx,
    Ecx,
}

/// Leaf, subleaf, register and bit of a feature.
fn place(feature: Feature) -> Option<(u32, u32, Register, u8)> {
    use Feature::*;
    use Register::*;
    Some(match feature {
        Sse3 => (1, 0, Ecx, 0),
        Ssse3 => (1, 0, Ecx, 9),
        Fma => (1, 0, Ecx, 12),
        Cmpxchg16b => (1, 0, Ecx, 13),
        Sse41 => (1, 0, Ecx, 19),
        Sse42 => (1, 0, Ecx, 20),
        Movbe => (1, 0, Ecx, 22),
        Popcnt => (1, 0, Ecx, 23),
        Avx => (1, 0, Ecx, 28),
        F16c => (1, 0, Ecx, 29),
        Bmi1 => (7, 0, Ebx, 3),
        Avx2 => (7, 0, Ebx, 5),
        Bmi2 => (7, 0, Ebx, 8),
        Avx512f => (7, 0, Ebx, 16),
        Avx512dq => (7, 0, Ebx, 17),
        Avx512cd => (7, 0, Ebx, 28),
        Avx512bw => (7, 0, Ebx, 30),
        Avx512vl => (7, 0, Ebx, 31),
        Avx512vbmi => (7, 0, Ecx, 1),
        Avx512vnni => (7, 0, Ecx, 11),
        Avx512bitalg => (7, 0, Ecx, 12),
        AvxVnni => (7, 1, Eax, 4),
        Avx512bf16 => (7, 1, Eax, 5),
        Lzcnt => (0x8000_0001, 0, Ecx, 5),
        Lse | Fp16 | Dotprod | I8mm | Mie3 | Vxrs2 => return None,
    })
}

/// Whether the operating system saves extended registers.
const OSXSAVE: u32 = 1 << 27;
/// State of XMM and YMM in XCR0; with that of masks and ZMM.
const XCR0_AVX: u32 = 0x6;
const XCR0_AVX512: u32 = 0xe6;

/// The function's instructions, where something is to be asked.
pub(super) fn encode(target: &Target) -> Option<Vec<u8>> {
    (target.arch == Arch::X86_64).then(|| Assembler::check(target.features))
}

#[derive(Default)]
struct Assembler {
    bytes: Vec<u8>,
    /// Where 32-bit distances to the end that returns 1 are to be filled in.
    failures: Vec<usize>,
}

impl Assembler {
    fn check(features: Features) -> Vec<u8> {
        let mut code = Assembler::default();
        // push rbx, which cpuid overwrites and callers want back.
        code.bytes.push(0x53);
        code.highest_leaf(0, features);
        code.highest_leaf(0x8000_0000, features);
        for (leaf, subleaf) in [(1, 0), (7, 0), (7, 1), (0x8000_0001, 0)] {
            code.leaf(leaf, subleaf, features);
        }
        if features.has(Feature::Avx) {
            let wanted = if features.has(Feature::Avx512f) { XCR0_AVX512 } else { XCR0_AVX };
            // xor ecx, ecx; xgetbv
            code.bytes.extend([0x31, 0xc9, 0x0f, 0x01, 0xd0]);
            code.require(Register::Eax, wanted);
        }
        // xor eax, eax; pop rbx; ret
        code.bytes.extend([0x31, 0xc0, 0x5b, 0xc3]);
        let end = code.bytes.len();
        for place in std::mem::take(&mut code.failures) {
            let distance = (end - place - 4) as u32;
            code.bytes[place..place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        // mov eax, 1; pop rbx; ret
        code.bytes.extend([0xb8, 1, 0, 0, 0, 0x5b, 0xc3]);
        code.bytes
    }

    /// The CPU must have the highest leaf that is asked for in the range from `base` on: beyond that it answers with anything.
    fn highest_leaf(&mut self, base: u32, features: Features) {
        let leaves = features.iter().filter_map(place).map(|(leaf, ..)| leaf);
        let Some(highest) = leaves.filter(|leaf| leaf >> 31 == base >> 31).max() else { return };
        self.cpuid(base, 0);
        // cmp eax, highest; jb fail
        self.bytes.push(0x3d);
        self.bytes.extend(highest.to_le_bytes());
        self.fail_if(0x82);
    }

    /// Asks for the features of one leaf.
    fn leaf(&mut self, leaf: u32, subleaf: u32, features: Features) {
        let of_leaf = |wanted: Register| {
            let bits = features
                .iter()
                .filter_map(place)
                .filter(|(l, s, register, _)| (*l, *s) == (leaf, subleaf) && *register == wanted);
            bits.fold(0u32, |mask, (.., bit)| mask | 1 << bit)
        };
        let saved = if leaf == 1 && features.has(Feature::Avx) { OSXSAVE } else { 0 };
        let masks = [
            (Register::Eax, of_leaf(Register::Eax)),
            (Register::Ebx, of_leaf(Register::Ebx)),
            (Register::Ecx, of_leaf(Register::Ecx) | saved),
        ];
        if masks.iter().all(|(_, mask)| *mask == 0) {
            return;
        }
        self.cpuid(leaf, subleaf);
        for (register, mask) in masks.into_iter().filter(|(_, mask)| *mask != 0) {
            self.require(register, mask);
        }
    }

    /// mov eax, leaf; mov ecx, subleaf; cpuid
    fn cpuid(&mut self, leaf: u32, subleaf: u32) {
        self.bytes.push(0xb8);
        self.bytes.extend(leaf.to_le_bytes());
        self.bytes.push(0xb9);
        self.bytes.extend(subleaf.to_le_bytes());
        self.bytes.extend([0x0f, 0xa2]);
    }

    /// and register, mask; cmp register, mask; jne fail
    fn require(&mut self, register: Register, mask: u32) {
        // ModRM bytes of `and` (/4) and `cmp` (/7) with a 32-bit immediate, opcode 81.
        let number = match register {
            Register::Eax => 0,
            Register::Ecx => 1,
            Register::Ebx => 3,
        };
        for operation in [0xe0, 0xf8] {
            self.bytes.extend([0x81, operation | number]);
            self.bytes.extend(mask.to_le_bytes());
        }
        self.fail_if(0x85);
    }

    /// A conditional jump (0f, `condition`) to the end that returns 1.
    fn fail_if(&mut self, condition: u8) {
        self.bytes.extend([0x0f, condition]);
        self.failures.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }
}
