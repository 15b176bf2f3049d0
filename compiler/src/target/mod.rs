//! What schedules need to know about a target.

/// A target's vector unit, registers and caches, as schedules see them.
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
}

impl Target {
    /// Lanes of a vector of elements of `bytes` bytes.
    pub fn lanes(&self, bytes: usize) -> u16 {
        (self.vector_bytes / bytes.max(1) as u16).max(1)
    }
}
