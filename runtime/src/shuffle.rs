//! The order of samples in training.

use alloc::vec::Vec;

/// 0..count in an order that depends on the seed and the epoch only (Fisher and Yates; SplitMix64 by Steele et al., 2014).
pub fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut state = seed ^ epoch.wrapping_mul(0xd134_2543_de82_ef95);
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        let other = ((u128::from(next()) * (place as u128 + 1)) >> 64) as usize;
        order.swap(place, other);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations_that_depend_on_seed_and_epoch() {
        let order = shuffled(100, 1, 0);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, shuffled(100, 1, 0));
        assert_ne!(order, shuffled(100, 1, 1));
        assert_ne!(order, shuffled(100, 2, 0));
    }
}
