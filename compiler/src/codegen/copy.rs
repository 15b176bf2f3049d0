//! The kernel that copies bytes.

use crate::kernel::{Access, Kernel, KernelBuilder, Spread, Type};
use crate::target::Target;
use graven_ir::{DType, Dim, MAX_ELEMENTS, Symbol};

/// Bytes of a trip of the parallel loop.
const BLOCK: i64 = 1 << 14;

/// Number of blocks that so many bytes take: the copy kernel's first extent. The number of bytes is the second.
pub fn blocks(bytes: &Dim) -> Dim {
    bytes.ceil_div(&Dim::from(BLOCK))
}

/// The kernel. Its arguments are the source as words, the source as bytes, the destination as words and the destination as bytes.
pub fn kernel(target: &Target) -> Kernel {
    let mut builder = KernelBuilder::new("copy");
    let count = Dim::from(Symbol::new("blocks", 0, MAX_ELEMENTS));
    let bytes = Dim::from(Symbol::new("bytes", 0, MAX_ELEMENTS * 8));
    let words = bytes.floor_div(&Dim::from(4i64));
    let source_words = builder.buffer("source_words", DType::I32, words.clone(), Access::Read);
    let source_bytes = builder.buffer("source_bytes", DType::U8, bytes.clone(), Access::Read);
    let target_words = builder.buffer("target_words", DType::I32, words, Access::Write);
    let target_bytes = builder.buffer("target_bytes", DType::U8, bytes.clone(), Access::Write);
    let lanes = i64::from(target.lanes(4));
    let vector = Type::vector(DType::I32, lanes as u16);
    // The extents' order is that of the arguments of a launch.
    builder.index(&count);
    builder.index(&bytes);
    builder.parallel_for(&count, |b, block| {
        let first = block * BLOCK;
        let last = (&first + BLOCK).minimum(&bytes);
        let vectors = (&last - &first).floor_div(&Dim::from(lanes * 4));
        b.for_each((&Dim::ZERO, &vectors, 1), &[], |b, i, _| {
            let place = block * (BLOCK / 4) + i * lanes;
            let value = b.load(source_words, &place, vector, Spread::Contiguous, None);
            b.store(value, target_words, &place, Spread::Contiguous, None);
            Vec::new()
        });
        let tail = &first + &vectors * (lanes * 4);
        b.for_each((&tail, &last, 1), &[], |b, i, _| {
            let value = b.load(source_bytes, i, Type::scalar(DType::U8), Spread::Contiguous, None);
            b.store(value, target_bytes, i, Spread::Contiguous, None);
            Vec::new()
        });
    });
    builder.finish()
}
