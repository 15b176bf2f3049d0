//! The table of CPUs that `--cpu` knows: features and cache sizes.
//!
//! Feature sets are those of the compilers' `-march` levels: the x86-64 psABI's microarchitecture levels
//! (<https://gitlab.com/x86-psABIs/x86-64-ABI>, section 3.1.1) and, for named CPUs, the vendors' documents. Cache sizes are those of
//! one core as the vendors publish them; the last level is what one core can expect of the shared cache.

use super::feature::{Feature, Features};
use target_lexicon::Architecture;

/// The instruction sets that code is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// AMD64, Intel 64.
    X86_64,
    /// 64-bit Arm, little-endian.
    Aarch64,
    /// 64-bit RISC-V with the G extensions.
    Riscv64,
    /// IBM Z from z14 on.
    S390x,
}

impl Arch {
    /// The instruction set of a triple, if it is one of ours.
    pub fn of(architecture: Architecture) -> Option<Arch> {
        match architecture {
            Architecture::X86_64 => Some(Arch::X86_64),
            Architecture::Aarch64(target_lexicon::Aarch64Architecture::Aarch64) => Some(Arch::Aarch64),
            Architecture::Riscv64(_) => Some(Arch::Riscv64),
            Architecture::S390x => Some(Arch::S390x),
            _ => None,
        }
    }

    /// The name in triples.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Riscv64 => "riscv64",
            Arch::S390x => "s390x",
        }
    }
}

/// Cache sizes of one core, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caches {
    pub l1: u32,
    pub l2: u32,
    pub l3: u32,
}

const fn caches(l1: u32, l2: u32, l3: u32) -> Caches {
    Caches { l1, l2, l3 }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Cpu {
    pub name: &'static str,
    pub arch: Arch,
    pub features: Features,
    pub caches: Caches,
}

const fn cpu(name: &'static str, arch: Arch, features: Features, caches: Caches) -> Cpu {
    Cpu { name, arch, features, caches }
}

use Feature::*;

const V2: Features = Features::of(&[Cmpxchg16b, Popcnt, Sse3, Ssse3, Sse41, Sse42]);
const V3: Features = V2.with(Features::of(&[Avx, Avx2, Bmi1, Bmi2, F16c, Fma, Lzcnt, Movbe]));
const V4: Features = V3.with(Features::of(&[Avx512f, Avx512bw, Avx512cd, Avx512dq, Avx512vl]));
const SANDY_BRIDGE: Features = V2.with(Features::of(&[Avx]));
const IVY_BRIDGE: Features = SANDY_BRIDGE.with(Features::of(&[F16c]));
const CASCADE_LAKE: Features = V4.with(Features::of(&[Avx512vnni]));
const ICE_LAKE: Features = CASCADE_LAKE.with(Features::of(&[Avx512vbmi, Avx512bitalg]));
const ALDER_LAKE: Features = V3.with(Features::of(&[AvxVnni]));
const COOPER_LAKE: Features = CASCADE_LAKE.with(Features::of(&[Avx512bf16]));
const SAPPHIRE_RAPIDS: Features = ICE_LAKE.with(Features::of(&[Avx512bf16, AvxVnni]));
const ZEN4: Features = ICE_LAKE.with(Features::of(&[Avx512bf16]));
const ZEN5: Features = ZEN4.with(Features::of(&[AvxVnni]));

const ARM_DOT: Features = Features::of(&[Lse, Fp16, Dotprod]);
const ARM_MATRIX: Features = ARM_DOT.with(Features::of(&[I8mm]));

const Z15: Features = Features::of(&[Mie3, Vxrs2]);

/// Every CPU, the base of each architecture first.
pub(super) const CPUS: &[Cpu] = &[
    cpu("x86-64", Arch::X86_64, Features::NONE, caches(32, 256, 2048)),
    cpu("x86-64-v1", Arch::X86_64, Features::NONE, caches(32, 256, 2048)),
    cpu("x86-64-v2", Arch::X86_64, V2, caches(32, 256, 2048)),
    cpu("x86-64-v3", Arch::X86_64, V3, caches(32, 512, 4096)),
    cpu("x86-64-v4", Arch::X86_64, V4, caches(32, 1024, 4096)),
    cpu("nehalem", Arch::X86_64, V2, caches(32, 256, 2048)),
    cpu("westmere", Arch::X86_64, V2, caches(32, 256, 2048)),
    cpu("sandybridge", Arch::X86_64, SANDY_BRIDGE, caches(32, 256, 2048)),
    cpu("ivybridge", Arch::X86_64, IVY_BRIDGE, caches(32, 256, 2048)),
    cpu("haswell", Arch::X86_64, V3, caches(32, 256, 2048)),
    cpu("broadwell", Arch::X86_64, V3, caches(32, 256, 2048)),
    cpu("skylake", Arch::X86_64, V3, caches(32, 256, 2048)),
    cpu("skylake-avx512", Arch::X86_64, V4, caches(32, 1024, 1408)),
    cpu("cascadelake", Arch::X86_64, CASCADE_LAKE, caches(32, 1024, 1408)),
    cpu("cooperlake", Arch::X86_64, COOPER_LAKE, caches(32, 1024, 1408)),
    cpu("icelake-client", Arch::X86_64, ICE_LAKE, caches(48, 512, 2048)),
    cpu("icelake-server", Arch::X86_64, ICE_LAKE, caches(48, 1280, 1536)),
    cpu("tigerlake", Arch::X86_64, ICE_LAKE, caches(48, 1280, 3072)),
    cpu("rocketlake", Arch::X86_64, ICE_LAKE, caches(48, 512, 2048)),
    cpu("alderlake", Arch::X86_64, ALDER_LAKE, caches(48, 1280, 3072)),
    cpu("raptorlake", Arch::X86_64, ALDER_LAKE, caches(48, 2048, 3072)),
    cpu("meteorlake", Arch::X86_64, ALDER_LAKE, caches(48, 2048, 3072)),
    cpu("sapphirerapids", Arch::X86_64, SAPPHIRE_RAPIDS, caches(48, 2048, 1920)),
    cpu("emeraldrapids", Arch::X86_64, SAPPHIRE_RAPIDS, caches(48, 2048, 5120)),
    cpu("graniterapids", Arch::X86_64, SAPPHIRE_RAPIDS, caches(48, 2048, 3840)),
    cpu("znver1", Arch::X86_64, V3, caches(32, 512, 2048)),
    cpu("znver2", Arch::X86_64, V3, caches(32, 512, 4096)),
    cpu("znver3", Arch::X86_64, V3, caches(32, 512, 4096)),
    cpu("znver4", Arch::X86_64, ZEN4, caches(32, 1024, 4096)),
    cpu("znver5", Arch::X86_64, ZEN5, caches(48, 1024, 4096)),
    cpu("generic", Arch::Aarch64, Features::NONE, caches(32, 512, 1024)),
    cpu("cortex-a53", Arch::Aarch64, Features::NONE, caches(32, 256, 512)),
    cpu("cortex-a57", Arch::Aarch64, Features::NONE, caches(32, 1024, 2048)),
    cpu("cortex-a72", Arch::Aarch64, Features::NONE, caches(32, 1024, 2048)),
    cpu("cortex-a76", Arch::Aarch64, ARM_DOT, caches(64, 512, 2048)),
    cpu("cortex-a78", Arch::Aarch64, ARM_DOT, caches(64, 512, 2048)),
    cpu("neoverse-n1", Arch::Aarch64, ARM_DOT, caches(64, 1024, 1024)),
    cpu("neoverse-n2", Arch::Aarch64, ARM_MATRIX, caches(64, 1024, 1024)),
    cpu("neoverse-v1", Arch::Aarch64, ARM_MATRIX, caches(64, 1024, 1024)),
    cpu("neoverse-v2", Arch::Aarch64, ARM_MATRIX, caches(64, 2048, 1600)),
    cpu("apple-m1", Arch::Aarch64, ARM_DOT, caches(128, 3072, 8192)),
    cpu("apple-m2", Arch::Aarch64, ARM_MATRIX, caches(128, 4096, 8192)),
    cpu("apple-m3", Arch::Aarch64, ARM_MATRIX, caches(128, 4096, 8192)),
    cpu("apple-m4", Arch::Aarch64, ARM_MATRIX, caches(128, 4096, 8192)),
    cpu("generic", Arch::Riscv64, Features::NONE, caches(32, 256, 2048)),
    cpu("generic", Arch::S390x, Features::NONE, caches(128, 2048, 8192)),
    cpu("z14", Arch::S390x, Features::NONE, caches(128, 2048, 8192)),
    cpu("z15", Arch::S390x, Z15, caches(128, 4096, 8192)),
    cpu("z16", Arch::S390x, Z15, caches(128, 8192, 16384)),
];

/// The base of an architecture: its first row.
pub(super) fn base(arch: Arch) -> &'static Cpu {
    CPUS.iter().find(|cpu| cpu.arch == arch).unwrap_or(&CPUS[0])
}

/// The row of a name.
pub(super) fn find(arch: Arch, name: &str) -> Option<&'static Cpu> {
    CPUS.iter().find(|cpu| cpu.arch == arch && cpu.name == name)
}

/// The names that an architecture has.
pub(super) fn names(arch: Arch) -> impl Iterator<Item = &'static str> {
    CPUS.iter().filter(move |cpu| cpu.arch == arch).map(|cpu| cpu.name)
}
