//! How kernels are called: the one place that knows the layout of their arguments.
//!
//! ```text
//! extern "C" fn(arguments: *const u64, task: i64, worker: i64)
//! ```
//!
//! `arguments` points to an array of 8-byte words, which one launch shares between all its tasks:
//!
//! | words | content |
//! |---|---|
//! | one per argument buffer, in the kernel's order | address of its first element |
//! | one per run-time extent, in the kernel's order | its value, `i64` |
//! | 1 | number of tasks, ≥ 1 |
//! | 1 | address of worker 0's scratch memory, aligned to 64 bytes |
//! | 1 | bytes from one worker's scratch memory to the next one's, a multiple of 64 |
//! | 1 | address of the status word, an `i32` that a failed check sets to its code |
//!
//! A kernel with a parallel loop of n trips does trips ⌊t·n/tasks⌋ up to ⌊(t+1)·n/tasks⌋ in task t. What a trip computes doesn't depend on
//! the split, so neither do the bits of the result. A kernel without one ignores `task` and is called once, with one task.
//! `worker` selects the scratch memory; calls that overlap in time have different workers.

use crate::kernel::{Access, BufferId, Kernel};

/// A kernel's code as a function: words, task, worker. The same as the runtime's `Task` but for the type of the pointer.
pub type KernelFunction = unsafe extern "C" fn(arguments: *const u64, task: i64, worker: i64);

/// Alignment of the scratch memory and of every buffer in it.
pub const SCRATCH_ALIGNMENT: u64 = 64;

/// Where a kernel finds what in its argument words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentLayout {
    /// Number of argument buffers.
    pub buffers: usize,
    /// Number of run-time extents.
    pub extents: usize,
}

impl ArgumentLayout {
    /// The layout of a kernel's arguments.
    pub fn of(kernel: &Kernel) -> ArgumentLayout {
        ArgumentLayout { buffers: kernel.arguments().count(), extents: kernel.extents.len() }
    }

    /// The word of the n-th extent.
    pub fn extent(&self, n: usize) -> usize {
        self.buffers + n
    }

    /// The word of the number of tasks.
    pub fn tasks(&self) -> usize {
        self.buffers + self.extents
    }

    /// The word of the address of the scratch memory.
    pub fn scratch(&self) -> usize {
        self.tasks() + 1
    }

    /// The word of the distance of the workers' scratch memories.
    pub fn scratch_stride(&self) -> usize {
        self.tasks() + 2
    }

    /// The word of the address of the status word.
    pub fn status(&self) -> usize {
        self.tasks() + 3
    }

    /// Number of words.
    pub fn words(&self) -> usize {
        self.tasks() + 4
    }
}

/// Where each scratch buffer of a kernel lies in its worker's scratch memory, and the size of all, a multiple of 64 bytes.
pub fn scratch_layout(kernel: &Kernel) -> (Vec<(BufferId, u64)>, u64) {
    let mut end = 0u64;
    let mut offsets = Vec::new();
    for (id, buffer) in &kernel.buffers {
        if buffer.access != Access::Scratch {
            continue;
        }
        offsets.push((id, end));
        let elements = u64::try_from(buffer.elements.upper()).unwrap_or(0);
        let bytes = elements.saturating_mul(buffer.dtype.bytes() as u64);
        end = end.saturating_add(bytes).checked_next_multiple_of(SCRATCH_ALIGNMENT).unwrap_or(u64::MAX);
    }
    (offsets, end)
}

/// Bytes of scratch memory that a kernel takes per worker: a multiple of 64.
pub fn scratch_bytes(kernel: &Kernel) -> u64 {
    scratch_layout(kernel).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelBuilder;
    use graven_ir::DType;

    #[test]
    fn scratch_buffers_are_aligned() {
        let mut builder = KernelBuilder::new("k");
        builder.buffer("x", DType::F32, 5i64, Access::Read);
        builder.buffer("s", DType::F32, 5i64, Access::Scratch);
        let second = builder.buffer("t", DType::U8, 65i64, Access::Scratch);
        let kernel = builder.finish();
        let (offsets, bytes) = scratch_layout(&kernel);
        assert_eq!((offsets[1], bytes), ((second, 64), 192));
        assert_eq!(ArgumentLayout::of(&kernel).words(), 5);
    }
}
