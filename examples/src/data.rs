//! Files of images and text.

use crate::Result;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes and the extents of an IDX file of bytes, compressed by gzip: two zeros, the type 8, the rank, extents as big-endian 32-bit numbers, elements.
///
/// # Errors
/// A file that can't be read or is none of these.
pub fn read_idx(path: &Path) -> Result<(Vec<u8>, Vec<usize>)> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    let broken = || format!("{}: no IDX file of bytes", path.display());
    let Some(([0, 0, 8, rank], rest)) = bytes.split_first_chunk() else { return Err(broken().into()) };
    let (extents, data) = rest.split_at_checked(4 * usize::from(*rank)).ok_or_else(broken)?;
    let (extents, _) = extents.as_chunks::<4>();
    let extents: Vec<usize> = extents.iter().map(|extent| u32::from_be_bytes(*extent) as usize).collect();
    match extents.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent)) == Some(data.len())
    {
        true => Ok((data.to_vec(), extents)),
        false => Err(broken().into()),
    }
}

/// Images of MNIST as numbers from 0 to 1, and their digits.
pub struct Digits {
    /// 784 pixels each.
    pub images: Vec<f32>,
    /// The digits.
    pub labels: Vec<i64>,
}

impl Digits {
    /// The training images of a folder (`train`) or the test images (`t10k`).
    ///
    /// # Errors
    /// Those of [`read_idx`].
    pub fn read(folder: &Path, part: &str) -> Result<Digits> {
        let (pixels, _) = read_idx(&folder.join(format!("{part}-images-idx3-ubyte.gz")))?;
        let (labels, _) = read_idx(&folder.join(format!("{part}-labels-idx1-ubyte.gz")))?;
        Ok(Digits {
            images: pixels.into_iter().map(|pixel| f32::from(pixel) / 255.0).collect(),
            labels: labels.into_iter().map(i64::from).collect(),
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Some images one after the other, and their digits.
    pub fn batch(&self, chosen: &[usize]) -> (Vec<f32>, Vec<i64>) {
        let images = chosen.iter().flat_map(|n| &self.images[n * 784..(n + 1) * 784]).copied().collect();
        (images, chosen.iter().map(|n| self.labels[*n]).collect())
    }
}

/// Numbers that look random and are the same in every run: SplitMix64 (Steele et al., 2014).
pub struct Numbers(pub u64);

impl Numbers {
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by the transform of Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// The places below `bound` in random order (Fisher and Yates).
    pub fn permutation(&mut self, bound: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..bound).collect();
        (1..bound).rev().for_each(|last| places.swap(last, self.below(last + 1)));
        places
    }

    /// So many places below `bound`.
    pub fn places(&mut self, count: usize, bound: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(bound)).collect()
    }
}
