//! Counting and random bits.

use super::EvalErrorKind;
use super::index::split;
use super::values::Array;
use crate::Tensor;
use crate::element::encode_int;

/// The index along `axis`.
pub(super) fn iota(axis: usize, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let (_, extent, inner) = split(&result.shape, axis);
    let count = result.shape.iter().product();
    let indices = (0..count).map(|place| (place / inner % extent) as i128);
    result.tensor(indices.flat_map(|index| encode_int(result.dtype, index)).collect())
}

/// Word n mod 4 of block `key[1]` + ⌊n ÷ 4⌋ for every linear index n.
///
/// Low halves come first: the block number is words 0 and 1 of the counter (words 2 and 3 are zero), and `key[0]` is the key. The block
/// number wraps at 2⁶⁴.
pub(super) fn random_bits(key: &Tensor, result: &Array) -> Result<Tensor, EvalErrorKind> {
    let words: Vec<u64> = key.to_ints().unwrap_or_default().into_iter().map(|word| word as u64).collect();
    let [key, first] = words[..] else {
        return Err(EvalErrorKind::Internal(format!("a key of {} words", words.len())));
    };
    let count: usize = result.shape.iter().product();
    let blocks = (0..count.div_ceil(4) as u64).map(|n| {
        let block = first.wrapping_add(n);
        philox4x32_10([block as u32, (block >> 32) as u32, 0, 0], [key as u32, (key >> 32) as u32])
    });
    result.tensor(blocks.flatten().take(count).flat_map(u32::to_le_bytes).collect())
}

/// Philox 4×32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC'11), section 3.3 and table 2.
fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    // The golden ratio and √3 − 1.
    const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let high_low = |a: u32, b: u32| {
        let product = u64::from(a) * u64::from(b);
        ((product >> 32) as u32, product as u32)
    };
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (high0, low0) = high_low(MULTIPLIERS[0], a);
        let (high1, low1) = high_low(MULTIPLIERS[1], c);
        [a, b, c, d] = [high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0];
        k0 = k0.wrapping_add(KEY_STEPS[0]);
        k1 = k1.wrapping_add(KEY_STEPS[1]);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::philox4x32_10;

    /// Random123 1.14, `tests/kat_vectors`, rows `philox4x32 10`.
    #[test]
    fn philox_known_answers() {
        let ones = u32::MAX;
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }
}
