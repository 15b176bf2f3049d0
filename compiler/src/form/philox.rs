//! Philox 4×32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11) in kernel code.

use crate::kernel::{Binary, Compare, KernelBuilder, Type, Val};
use graven_ir::{DType, Dim};

const MULTIPLIERS: [i64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [i64; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Word `element mod 4` of block `counter + ⌊element ÷ 4⌋` under the key `seed`; both are u64 scalars.
pub fn word(b: &mut KernelBuilder, seed: Val, counter: Val, element: &Dim) -> Val {
    let ty = Type::scalar(DType::U64);
    let low = b.int(0xFFFF_FFFF, ty);
    let bits = b.int(32, ty);
    let block = b.index(&element.floor_div(&Dim::from(4i64)));
    let block = b.convert(block, DType::U64);
    let counter = b.add(counter, block);
    let halves = |b: &mut KernelBuilder, x: Val| {
        (b.binary(Binary::And, x, low), b.binary(Binary::ShiftRight, x, bits))
    };
    let (c0, c1) = halves(b, counter);
    let zero = b.int(0, ty);
    let mut words = [c0, c1, zero, zero];
    let (k0, k1) = halves(b, seed);
    let mut key = [k0, k1];
    for _ in 0..ROUNDS {
        let product = |b: &mut KernelBuilder, x: Val, lane: usize| {
            let multiplier = b.int(MULTIPLIERS[lane], ty);
            let product = b.mul(x, multiplier);
            halves(b, product)
        };
        let (low0, high0) = product(b, words[0], 0);
        let (low1, high1) = product(b, words[2], 1);
        let x = b.binary(Binary::Xor, high1, words[1]);
        let y = b.binary(Binary::Xor, high0, words[3]);
        words = [b.binary(Binary::Xor, x, key[0]), low1, b.binary(Binary::Xor, y, key[1]), low0];
        for (part, weyl) in key.iter_mut().zip(WEYL) {
            let weyl = b.int(weyl, ty);
            let sum = b.add(*part, weyl);
            *part = b.binary(Binary::And, sum, low);
        }
    }
    let place = element.modulo(&Dim::from(4i64));
    let mut result = words[0];
    for (n, candidate) in words.iter().enumerate().skip(1) {
        let here = b.compare_index(Compare::Eq, &place, &Dim::from(n));
        result = b.select(here, *candidate, result);
    }
    b.convert(result, DType::U32)
}
