//! A target as Cranelift's settings.

use crate::codegen::CodegenError;
use crate::target::{Arch, Feature, Target};
use cranelift_codegen::ir::{self, Endianness, MemFlagsData};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable, Flags};

/// Where functions start: at a cache line, so that the same loop runs equally fast wherever its kernel is placed.
pub(super) const FUNCTION_ALIGNMENT: u32 = 64;

/// What translation needs to know about the target.
pub(crate) struct Machine {
    /// Cranelift's view of the target.
    pub isa: OwnedTargetIsa,
    /// Bytes of a vector: 16, or 4 where there are no vectors.
    pub vector_bytes: u16,
    /// Whether rounding to integers takes no library call.
    pub rounds: bool,
    /// Whether a fused multiply-add takes no library call.
    pub fma: bool,
    /// Whether a shuffle of any bytes of two vectors takes no library call.
    pub shuffles_bytes: bool,
    /// Whether a load that Cranelift folds into a comparison of vectors may be unaligned. It folds any, but `cmpps` and `cmppd` without AVX take aligned
    /// memory only.
    pub compares_unaligned: bool,
}

impl Machine {
    /// The settings of a target. Kernels refer to nothing outside, so that the same bytes serve JIT and objects.
    pub fn new(target: &Target) -> Result<Machine, CodegenError> {
        let isa = position_independent(target)?;
        let x86 = target.arch == Arch::X86_64;
        let has = |feature| !x86 || target.features.has(feature);
        Ok(Machine {
            isa,
            vector_bytes: if target.arch == Arch::Riscv64 { 4 } else { 16 },
            rounds: has(Feature::Sse41),
            fma: has(Feature::Fma),
            shuffles_bytes: has(Feature::Ssse3),
            compares_unaligned: has(Feature::Avx),
        })
    }

    /// Flags for reinterpreting a vector as one of other lanes: as if stored and loaded again.
    pub fn lane_order(&self) -> MemFlagsData {
        MemFlagsData::new().with_endianness(self.isa.endianness())
    }

    /// Whether the lowest address holds the lowest byte.
    pub fn little_endian(&self) -> bool {
        self.isa.endianness() == Endianness::Little
    }

    /// The type of addresses.
    pub fn pointer(&self) -> ir::Type {
        self.isa.pointer_type()
    }
}

/// For kernels and for objects.
///
/// # Errors
/// [`CodegenError::Bug`] if Cranelift does not take the target's settings.
pub(crate) fn position_independent(target: &Target) -> Result<OwnedTargetIsa, CodegenError> {
    build_isa(target, true).map_err(|what| CodegenError::Bug { kernel: String::new(), what })
}

/// For functions that refer to others in the memory of this process.
///
/// # Errors
/// [`CodegenError::Bug`] if Cranelift does not take the target's settings.
pub(crate) fn for_jit(target: &Target) -> Result<OwnedTargetIsa, CodegenError> {
    build_isa(target, false).map_err(|what| CodegenError::Bug { kernel: String::new(), what })
}

/// The settings, one by one: the named CPU presets of Cranelift leave out `has_avx`, without which no AVX instruction is used.
fn build_isa(target: &Target, position_independent: bool) -> Result<OwnedTargetIsa, String> {
    let mut shared = settings::builder();
    let mut set =
        |name: &str, value: &str| shared.set(name, value).map_err(|error| format!("{name}: {error}"));
    // The module's documentation says why.
    set("opt_level", "none")?;
    set("is_pic", if position_independent { "true" } else { "false" })?;
    set("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" })?;
    // Nothing unwinds through generated code.
    set("unwind_info", "false")?;
    // Frames of several pages are touched page by page, without calls.
    let probes = target.arch != Arch::S390x;
    set("enable_probestack", if probes { "true" } else { "false" })?;
    set("probestack_strategy", "inline")?;
    let flags = Flags::new(shared);
    let mut builder = isa::lookup(target.triple.clone()).map_err(|error| error.to_string())?;
    for flag in target.features.iter().filter_map(Feature::cranelift_flag) {
        builder.enable(flag).map_err(|error| format!("{flag}: {error}"))?;
    }
    builder.finish(flags).map_err(|error| error.to_string())
}
