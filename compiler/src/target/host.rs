//! The CPU that the compiler runs on.

use super::cpu::Caches;
use super::feature::{Feature, Features};

/// What the host's CPU has, as far as the operating system lets programs use it.
pub(super) fn features() -> Features {
    Features::of(&detected())
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<Feature> {
    use Feature::*;
    use std::arch::is_x86_feature_detected as has;
    let probed = [
        (Sse3, has!("sse3")),
        (Ssse3, has!("ssse3")),
        (Cmpxchg16b, has!("cmpxchg16b")),
        (Sse41, has!("sse4.1")),
        (Sse42, has!("sse4.2")),
        (Popcnt, has!("popcnt")),
        (Avx, has!("avx")),
        (Avx2, has!("avx2")),
        (Fma, has!("fma")),
        (F16c, has!("f16c")),
        (Bmi1, has!("bmi1")),
        (Bmi2, has!("bmi2")),
        (Lzcnt, has!("lzcnt")),
        (Movbe, has!("movbe")),
        (Avx512f, has!("avx512f")),
        (Avx512bw, has!("avx512bw")),
        (Avx512cd, has!("avx512cd")),
        (Avx512dq, has!("avx512dq")),
        (Avx512vl, has!("avx512vl")),
        (Avx512vbmi, has!("avx512vbmi")),
        (Avx512bitalg, has!("avx512bitalg")),
        (Avx512vnni, has!("avx512vnni")),
        (Avx512bf16, has!("avx512bf16")),
        (AvxVnni, has!("avxvnni")),
    ];
    probed.into_iter().filter_map(|(feature, present)| present.then_some(feature)).collect()
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<Feature> {
    use Feature::*;
    use std::arch::is_aarch64_feature_detected as has;
    let probed = [(Lse, has!("lse")), (Fp16, has!("fp16")), (Dotprod, has!("dotprod")), (I8mm, has!("i8mm"))];
    probed.into_iter().filter_map(|(feature, present)| present.then_some(feature)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<Feature> {
    Vec::new()
}

/// Cache sizes of the first CPU, where the system tells them (Linux, sysfs); `default` fills what it doesn't.
pub(super) fn caches(default: Caches) -> Caches {
    let mut found = default;
    for index in 0..8 {
        let read = |file: &str| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}");
            std::fs::read_to_string(path).ok()
        };
        let (Some(level), Some(kind), Some(size)) = (read("level"), read("type"), read("size")) else {
            continue;
        };
        let Some(kib) = parse_kib(size.trim()) else { continue };
        match (level.trim(), kind.trim()) {
            ("1", "Data") => found.l1 = kib,
            ("2", "Unified" | "Data") => found.l2 = kib,
            ("3", "Unified" | "Data") => found.l3 = kib,
            _ => {}
        }
    }
    found
}

/// `32K`, `1M` in KiB; nothing for sizes of zero.
fn parse_kib(size: &str) -> Option<u32> {
    let split = size.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = size.split_at(split);
    let number: u32 = digits.parse().ok()?;
    let kib = match unit {
        "K" => number,
        "M" => number.checked_mul(1024)?,
        "G" => number.checked_mul(1024 * 1024)?,
        _ => return None,
    };
    (kib > 0).then_some(kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_sysfs_writes_them() {
        assert_eq!(parse_kib("48K"), Some(48));
        assert_eq!(parse_kib("2M"), Some(2048));
        assert_eq!(parse_kib("0K"), None);
        assert_eq!(parse_kib("x"), None);
        assert_eq!(parse_kib(""), None);
    }
}
