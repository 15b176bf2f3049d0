//! The floating-point environment that generated code assumes.
//!
//! That is the default of every platform's calling convention: round to nearest, exceptions masked,
//! subnormals kept (on x86-64 MXCSR = 0x1F80, on AArch64 FPCR = 0). A thread inherits the environment of the
//! one that made it, so that pool workers, too, must set it.

use core::marker::PhantomData;

/// Sets the default environment and, on drop, puts the former one back.
#[derive(Debug)]
pub struct DefaultFloatEnv {
    former: Control,
    /// The environment belongs to the thread.
    not_send: PhantomData<*const ()>,
}

impl DefaultFloatEnv {
    /// Sets the default environment on this thread.
    pub fn enter() -> DefaultFloatEnv {
        let former = read();
        if former != DEFAULT {
            write(DEFAULT);
        }
        DefaultFloatEnv { former, not_send: PhantomData }
    }
}

impl Drop for DefaultFloatEnv {
    fn drop(&mut self) {
        if self.former != DEFAULT {
            write(self.former);
        }
    }
}

/// Sets the default environment on this thread for good.
pub fn set_default() {
    write(DEFAULT);
}

pub(crate) use imp::{Control, DEFAULT, read, write};

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::asm;

    /// The control part of MXCSR. Intel SDM volume 1, 10.2.3: all exceptions masked, nothing else set.
    pub(crate) type Control = u32;
    pub(crate) const DEFAULT: Control = 0x1f80;
    /// The low six bits are flags of past exceptions and no part of the environment.
    const CONTROL_BITS: u32 = !0x3f;

    pub(crate) fn read() -> Control {
        let mut value = 0u32;
        // SAFETY: stores four bytes to `value`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        value & CONTROL_BITS
    }

    pub(crate) fn write(value: Control) {
        // SAFETY: reads four bytes. Both callers pass the default or a value that `read` gave, so that no reserved
        // bit is set.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags, readonly))
        };
    }
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use core::arch::asm;

    /// FPCR. Arm ARM C5.2.8: all zero is round to nearest, no flushing, no trapping.
    pub(crate) type Control = u64;
    pub(crate) const DEFAULT: Control = 0;

    pub(crate) fn read() -> Control {
        let value: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nostack, nomem, preserves_flags)) };
        value
    }

    pub(crate) fn write(value: Control) {
        // SAFETY: both callers pass the default or a value that `read` gave, so that no reserved bit is set.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, nomem, preserves_flags)) };
    }
}

/// Elsewhere the environment is left as it is: a thread starts with the default one.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod imp {
    pub(crate) type Control = ();
    pub(crate) const DEFAULT: Control = ();

    pub(crate) fn read() -> Control {}

    pub(crate) fn write(_: Control) {}
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Flush to zero and denormals are zero.
    const FLUSH: u32 = 0x8040;

    #[test]
    fn the_guard_sets_and_restores() {
        write(DEFAULT | FLUSH);
        {
            let _guard = DefaultFloatEnv::enter();
            assert_eq!(read(), DEFAULT);
            let tiny = std::hint::black_box(f32::MIN_POSITIVE);
            assert!(tiny / std::hint::black_box(2.0) > 0.0, "subnormals are kept");
        }
        assert_eq!(read(), DEFAULT | FLUSH);
        set_default();
        assert_eq!(read(), DEFAULT);
    }
}
