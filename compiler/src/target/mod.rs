//! Targets: what schedules and code generation need to know about the machine that the code is for.
//!
//! * [`feature`]: instruction set extensions
//! * [`cpu`]: the table of CPUs
//! * `host`: the CPU that the compiler runs on

pub mod cpu;
pub mod feature;
mod host;

pub use cpu::Arch;
pub use feature::{Feature, Features};

use target_lexicon::{BinaryFormat, PointerWidth, Triple};

/// A target's vector unit, registers and caches, as schedules see them, and what code generation needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Bytes of the widest vector that the backend generates: 16, 32 or 64; 4 where there are no vectors.
    pub vector_bytes: u16,
    /// Vector registers.
    pub registers: u16,
    /// Accumulators that keep the multiply-add units busy without spills on this backend.
    pub accumulators: u16,
    /// Whether a fused multiply-add instruction exists.
    pub fma: bool,
    /// Bytes of the first-level data cache.
    pub l1_bytes: u64,
    /// Bytes of the second-level cache.
    pub l2_bytes: u64,
    /// Bytes of the last-level cache.
    pub l3_bytes: u64,
    /// Architecture, operating system and object format.
    pub triple: Triple,
    /// The instruction set.
    pub arch: Arch,
    /// The CPU's name in [`cpu`]'s table, or `native`.
    pub cpu: String,
    /// Extensions that the code may use.
    pub features: Features,
}

/// Why there is no such target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Text that is no triple: bad usage.
    #[error("`{triple}` is no target triple: {reason}")]
    Malformed {
        /// The text.
        triple: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A triple that no code can be generated for: unsupported.
    #[error("no code can be generated for `{triple}`: {reason}")]
    Unsupported {
        /// The triple.
        triple: String,
        /// What is missing.
        reason: &'static str,
    },
    /// A name that is not in the table: bad usage.
    #[error("`{cpu}` is no known CPU for {arch}; known are native, {known}", arch = arch.name())]
    UnknownCpu {
        /// The name.
        cpu: String,
        /// The architecture.
        arch: Arch,
        /// The names in the table.
        known: String,
    },
    /// `native` for another architecture than the host's: bad usage.
    #[error("the CPU `native` is the host's, which is no {}", arch.name())]
    NotNative {
        /// The architecture asked for.
        arch: Arch,
    },
}

impl Target {
    /// The machine that the compiler runs on, with all features of its CPU.
    ///
    /// # Errors
    /// [`TargetError::Unsupported`] on a host that no code can be generated for.
    pub fn host() -> Result<Target, TargetError> {
        Target::new(&Triple::host().to_string(), Some("native"))
    }

    /// A target from a triple and a CPU: a name of [`cpu`]'s table, `native`, or `None` for the base of the architecture.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn new(triple: &str, cpu: Option<&str>) -> Result<Target, TargetError> {
        let parsed: Triple = triple.parse().map_err(|error: target_lexicon::ParseError| {
            TargetError::Malformed { triple: triple.into(), reason: error.to_string() }
        })?;
        let arch = supported(&parsed)
            .map_err(|reason| TargetError::Unsupported { triple: triple.into(), reason })?;
        let base = cpu::base(arch);
        let (name, features, caches) = match cpu {
            None => (base.name, base.features, base.caches),
            Some("native") if Arch::of(Triple::host().architecture) != Some(arch) => {
                return Err(TargetError::NotNative { arch });
            }
            Some("native") => ("native", host::features(), host::caches(base.caches)),
            Some(name) => match cpu::find(arch, name) {
                Some(found) => (found.name, found.features, found.caches),
                None => return Err(unknown_cpu(name, arch)),
            },
        };
        Ok(Target::portable(parsed, arch, name, features, caches))
    }

    /// A target of the portable backend: vectors of 128 bits where the architecture has any.
    fn portable(triple: Triple, arch: Arch, cpu: &str, features: Features, caches: cpu::Caches) -> Target {
        let (vector_bytes, registers, accumulators) = match arch {
            Arch::X86_64 => (16, 16, 9),
            Arch::Aarch64 => (16, 32, 24),
            Arch::Riscv64 => (4, 32, 16),
            Arch::S390x => (16, 32, 16),
        };
        let fma = arch != Arch::X86_64 || features.has(Feature::Fma);
        let kib = |size: u32| u64::from(size) << 10;
        Target {
            vector_bytes,
            registers,
            accumulators,
            fma,
            l1_bytes: kib(caches.l1),
            l2_bytes: kib(caches.l2),
            l3_bytes: kib(caches.l3),
            triple,
            arch,
            cpu: cpu.into(),
            features,
        }
    }

    /// Bytes of the widest vector that [`crate::codegen::wide`] has for the target; `None` if the target lacks what that takes for granted.
    pub fn widest_vector(&self) -> Option<u16> {
        match self.arch {
            Arch::X86_64 if self.features.contains(WIDE.with(WIDEST)) => Some(64),
            Arch::X86_64 if self.features.contains(WIDE) => Some(32),
            _ => None,
        }
    }

    /// The target as schedules for [`crate::codegen::wide`] see it: its widest vectors and all its registers; `None` if there are no wide ones.
    pub fn widened(self) -> Option<Target> {
        let vector_bytes = self.widest_vector()?;
        // Some registers are for what is multiplied.
        let (registers, accumulators) = if vector_bytes == 64 { (32, 28) } else { (16, 12) };
        Some(Target { vector_bytes, registers, accumulators, ..self })
    }

    /// Lanes of a vector of elements of `bytes` bytes.
    pub fn lanes(&self, bytes: usize) -> u16 {
        (self.vector_bytes / bytes.max(1) as u16).max(1)
    }
}

/// What 256-bit vectors need: AVX2 and what every CPU with it has.
const WIDE: Features = Features::of(&[
    Feature::Avx2,
    Feature::Fma,
    Feature::F16c,
    Feature::Bmi1,
    Feature::Bmi2,
    Feature::Popcnt,
]);

/// What 512-bit vectors need besides.
const WIDEST: Features =
    Features::of(&[Feature::Avx512f, Feature::Avx512bw, Feature::Avx512dq, Feature::Avx512vl]);

fn unknown_cpu(name: &str, arch: Arch) -> TargetError {
    let known: Vec<_> = cpu::names(arch).collect();
    TargetError::UnknownCpu { cpu: name.into(), arch, known: known.join(", ") }
}

/// The architecture of a triple that code can be generated for, or what is missing.
fn supported(triple: &Triple) -> Result<Arch, &'static str> {
    let arch =
        Arch::of(triple.architecture).ok_or("the architectures are x86_64, aarch64, riscv64 and s390x")?;
    if triple.pointer_width() != Ok(PointerWidth::U64) || triple.environment.to_string().ends_with("x32") {
        return Err("pointers must have 64 bits");
    }
    match (triple.binary_format, arch) {
        (BinaryFormat::Elf, _) => Ok(arch),
        (BinaryFormat::Macho, Arch::X86_64 | Arch::Aarch64) => Ok(arch),
        (BinaryFormat::Coff, Arch::X86_64) => Ok(arch),
        _ => Err("its object format must be ELF, or Mach-O on x86_64 and aarch64, or COFF on x86_64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_a_target() {
        let target = Target::host().unwrap();
        assert_eq!(target.cpu, "native");
        assert!(target.l1_bytes >= 8 << 10 && target.l1_bytes <= target.l2_bytes);
        assert_eq!(target.lanes(4), target.vector_bytes / 4);
    }

    #[test]
    fn levels_contain_each_other() {
        let features = |cpu| Target::new("x86_64-unknown-linux-gnu", Some(cpu)).unwrap().features;
        let levels = ["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4", "znver5"].map(features);
        for pair in levels.windows(2) {
            assert!(pair[1].contains(pair[0]) && pair[0] != pair[1]);
        }
        assert!(levels[2].has(Feature::Avx) && !levels[1].has(Feature::Avx));
    }

    #[test]
    fn names_are_distinct_within_an_architecture() {
        for (place, row) in cpu::CPUS.iter().enumerate() {
            let first = cpu::CPUS.iter().position(|other| other.arch == row.arch && other.name == row.name);
            assert_eq!(first, Some(place), "{}", row.name);
        }
    }

    #[test]
    fn targets_without_code_are_errors() {
        let kind = |triple: &str| Target::new(triple, None).unwrap_err();
        for triple in ["wasm32-unknown-unknown", "i686-unknown-linux-gnu", "aarch64_be-unknown-linux-gnu"] {
            assert!(matches!(kind(triple), TargetError::Unsupported { .. }), "{triple}");
        }
        for triple in ["x86_64-unknown-linux-gnux32", "aarch64-pc-windows-msvc", "riscv64gc-apple-darwin"] {
            assert!(matches!(kind(triple), TargetError::Unsupported { .. }), "{triple}");
        }
        assert!(matches!(kind("my computer"), TargetError::Malformed { .. }));
        let error = Target::new("x86_64-unknown-linux-gnu", Some("pentium")).unwrap_err();
        assert!(error.to_string().contains("x86-64-v3"), "{error}");
    }
}
