//! The machine's multiply-add peak: a loop of independent accumulators in registers.

use std::time::{Duration, Instant};

/// Accumulators: more than latency × throughput of today's cores (4 cycles × 2).
const ACCUMULATORS: u64 = 12;

/// Trips of the loop between two looks at the clock.
const TRIPS: u64 = 200_000;

/// GFLOP/s of one core with multiply-adds on vectors of `bytes` bytes, the best of several runs; `None` where no loop is written for the machine.
pub fn gflops(bytes: u16) -> Option<f64> {
    let mut best = Duration::MAX;
    for _ in 0..8 {
        let start = Instant::now();
        if !run(bytes, TRIPS) {
            return None;
        }
        best = best.min(start.elapsed());
    }
    let operations = 2 * ACCUMULATORS * TRIPS * u64::from(bytes / 4);
    Some(operations as f64 / best.as_secs_f64() / 1e9)
}

#[cfg(target_arch = "x86_64")]
macro_rules! multiply_adds {
    ($register:literal, $trips:expr) => {{
        let line = $trips;
        // SAFETY: the caller has checked that the CPU has the instructions; only the named registers change.
        unsafe {
            std::arch::asm!(
                "vxorps xmm0, xmm0, xmm0", "vxorps xmm1, xmm1, xmm1", "vxorps xmm2, xmm2, xmm2",
                "vxorps xmm3, xmm3, xmm3", "vxorps xmm4, xmm4, xmm4", "vxorps xmm5, xmm5, xmm5",
                "vxorps xmm6, xmm6, xmm6", "vxorps xmm7, xmm7, xmm7", "vxorps xmm8, xmm8, xmm8",
                "vxorps xmm9, xmm9, xmm9", "vxorps xmm10, xmm10, xmm10", "vxorps xmm11, xmm11, xmm11",
                "vxorps xmm12, xmm12, xmm12", "vxorps xmm13, xmm13, xmm13",
                "2:",
                concat!("vfmadd231ps ", $register, "0, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "1, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "2, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "3, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "4, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "5, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "6, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "7, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "8, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "9, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "10, ", $register, "12, ", $register, "13"),
                concat!("vfmadd231ps ", $register, "11, ", $register, "12, ", $register, "13"),
                "dec {n}",
                "jnz 2b",
                "vzeroupper",
                n = inout(reg) line => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _,
                options(nomem, nostack),
            );
        }
    }};
}

/// Runs the loop; whether there is one for this machine.
#[cfg(target_arch = "x86_64")]
fn run(bytes: u16, trips: u64) -> bool {
    match bytes {
        64 if std::is_x86_feature_detected!("avx512f") => multiply_adds!("zmm", trips),
        32 if std::is_x86_feature_detected!("fma") => multiply_adds!("ymm", trips),
        16 if std::is_x86_feature_detected!("fma") => multiply_adds!("xmm", trips),
        _ => return false,
    }
    true
}

/// Runs the loop; whether there is one for this machine.
#[cfg(target_arch = "aarch64")]
fn run(bytes: u16, trips: u64) -> bool {
    if bytes != 16 {
        return false;
    }
    // SAFETY: every AArch64 CPU that the standard library runs on has these instructions; only the named registers change.
    unsafe {
        std::arch::asm!(
            "2:",
            "fmla v0.4s, v12.4s, v13.4s", "fmla v1.4s, v12.4s, v13.4s", "fmla v2.4s, v12.4s, v13.4s",
            "fmla v3.4s, v12.4s, v13.4s", "fmla v4.4s, v12.4s, v13.4s", "fmla v5.4s, v12.4s, v13.4s",
            "fmla v6.4s, v12.4s, v13.4s", "fmla v7.4s, v12.4s, v13.4s", "fmla v16.4s, v12.4s, v13.4s",
            "fmla v17.4s, v12.4s, v13.4s", "fmla v18.4s, v12.4s, v13.4s", "fmla v19.4s, v12.4s, v13.4s",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) trips => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v12") _, out("v13") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            options(nomem, nostack),
        );
    }
    true
}

/// Runs the loop; whether there is one for this machine.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn run(_bytes: u16, _trips: u64) -> bool {
    false
}
