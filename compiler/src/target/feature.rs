//! Instruction set extensions that code generation makes use of.

use std::fmt;

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident $name:literal $flag:expr;)*) => {
        /// An instruction set extension.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Feature { $($(#[$doc])* $variant,)* }

        impl Feature {
            /// Every feature.
            pub const ALL: &[Feature] = &[$(Feature::$variant),*];

            /// The usual lower-case name, as in `/proc/cpuinfo` or the Arm and RISC-V manuals.
            pub const fn name(self) -> &'static str {
                match self { $(Feature::$variant => $name),* }
            }

            /// The Cranelift setting that turns it on; `None` where Cranelift has no use for it.
            pub(crate) const fn cranelift_flag(self) -> Option<&'static str> {
                match self { $(Feature::$variant => $flag),* }
            }
        }
    };
}

features! {
    /// x86-64: SSE3.
    Sse3 "sse3" Some("has_sse3");
    /// x86-64: supplemental SSE3 (byte shuffles).
    Ssse3 "ssse3" Some("has_ssse3");
    /// x86-64: 16-byte compare-exchange.
    Cmpxchg16b "cx16" Some("has_cmpxchg16b");
    /// x86-64: SSE4.1 (rounding, lane inserts, blends).
    Sse41 "sse4.1" Some("has_sse41");
    /// x86-64: SSE4.2 (64-bit compares).
    Sse42 "sse4.2" Some("has_sse42");
    /// x86-64: population count.
    Popcnt "popcnt" Some("has_popcnt");
    /// x86-64: three-operand and 256-bit float instructions.
    Avx "avx" Some("has_avx");
    /// x86-64: 256-bit integer instructions.
    Avx2 "avx2" Some("has_avx2");
    /// x86-64: fused multiply-add.
    Fma "fma" Some("has_fma");
    /// x86-64: conversions between f16 and f32.
    F16c "f16c" None;
    /// x86-64: bit manipulation, first set.
    Bmi1 "bmi1" Some("has_bmi1");
    /// x86-64: bit manipulation, second set.
    Bmi2 "bmi2" Some("has_bmi2");
    /// x86-64: leading zero count.
    Lzcnt "lzcnt" Some("has_lzcnt");
    /// x86-64: byte-swapping moves.
    Movbe "movbe" None;
    /// x86-64: 512-bit vectors and masks.
    Avx512f "avx512f" Some("has_avx512f");
    /// x86-64: AVX-512 on bytes and words.
    Avx512bw "avx512bw" None;
    /// x86-64: AVX-512 conflict detection.
    Avx512cd "avx512cd" None;
    /// x86-64: AVX-512 on doublewords and quadwords.
    Avx512dq "avx512dq" Some("has_avx512dq");
    /// x86-64: AVX-512 instructions on 128 and 256 bits.
    Avx512vl "avx512vl" Some("has_avx512vl");
    /// x86-64: AVX-512 byte permutes.
    Avx512vbmi "avx512_vbmi" Some("has_avx512vbmi");
    /// x86-64: AVX-512 byte and word population count.
    Avx512bitalg "avx512_bitalg" Some("has_avx512bitalg");
    /// x86-64: AVX-512 8-bit dot products.
    Avx512vnni "avx512_vnni" Some("has_avx512vnni");
    /// x86-64: AVX-512 bf16 dot products.
    Avx512bf16 "avx512_bf16" None;
    /// x86-64: 8-bit dot products on 128 and 256 bits.
    AvxVnni "avx_vnni" Some("has_avx_vnni");
    /// AArch64: large system extensions (atomics).
    Lse "lse" Some("has_lse");
    /// AArch64: f16 arithmetic.
    Fp16 "fp16" Some("has_fp16");
    /// AArch64: 8-bit dot products.
    Dotprod "dotprod" Some("has_dotprod");
    /// AArch64: 8-bit matrix multiplication.
    I8mm "i8mm" Some("has_i8mm");
    /// s390x: miscellaneous instructions 3 (z15).
    Mie3 "mie3" Some("has_mie3");
    /// s390x: vector enhancements 2 (z15).
    Vxrs2 "vxrs_ext2" Some("has_vxrs_ext2");
}

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features(u64);

const _: () = assert!(Feature::ALL.len() <= 64);

impl Features {
    /// No feature beyond the architecture's base.
    pub const NONE: Features = Features(0);

    /// The set of the given features.
    pub const fn of(features: &[Feature]) -> Features {
        let mut bits = 0;
        let mut index = 0;
        while index < features.len() {
            bits |= 1 << features[index] as u8;
            index += 1;
        }
        Features(bits)
    }

    /// The union of two sets.
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// Whether the feature is in the set.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u8) != 0
    }

    /// Whether all features of the other set are in this one.
    pub const fn contains(self, other: Features) -> bool {
        other.0 & !self.0 == 0
    }

    /// The features of the set, in the order of [`Feature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |feature| self.has(*feature))
    }
}

/// The names, separated by spaces.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, feature) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(feature.name())?;
        }
        Ok(())
    }
}
