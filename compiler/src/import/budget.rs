//! How much memory an import may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are left for a model that nobody vouches for. Clones share the bytes, so that what compiles the model after the
/// import can go on with what is left.
///
/// Counted is what grows with the file: decoded messages, tensors that are unpacked or computed, nodes. Elements that stay in the mapped file
/// cost nothing.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    left: Arc<AtomicU64>,
}

/// There is less left than is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs {needed} more bytes of memory, but the limit leaves only {left}")]
pub struct MemoryExhausted {
    /// Bytes that were asked for.
    pub needed: u64,
    /// Bytes that are left.
    pub left: u64,
}

impl MemoryBudget {
    /// So many bytes.
    pub fn new(bytes: u64) -> MemoryBudget {
        MemoryBudget { left: Arc::new(AtomicU64::new(bytes)) }
    }

    /// No limit.
    pub fn unlimited() -> MemoryBudget {
        MemoryBudget::new(u64::MAX)
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes bytes, or says that there are not enough.
    ///
    /// # Errors
    /// [`MemoryExhausted`]; nothing is taken then.
    pub fn take(&self, bytes: u64) -> Result<(), MemoryExhausted> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(|_| ()).map_err(|left| MemoryExhausted { needed: bytes, left })
    }
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        MemoryBudget::unlimited()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_is_left() {
        let budget = MemoryBudget::new(10);
        let clone = budget.clone();
        assert_eq!(clone.take(7), Ok(()));
        assert_eq!(budget.take(4), Err(MemoryExhausted { needed: 4, left: 3 }));
        assert_eq!(budget.take(3), Ok(()));
        assert_eq!(clone.left(), 0);
    }
}
