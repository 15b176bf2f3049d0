//! Decompression of the deflate format (RFC 1951).
//!
//! A tenth of the code of a general library, since the size of the result is known, all of the input is there,
//! and speed counts for little: a decoding table has an entry for every pattern of as many bits as the longest code
//! has, so that a symbol is one look-up.

use alloc::vec;
use alloc::vec::Vec;

/// RFC 1951, 3.2.7: no code is longer.
const MAX_BITS: usize = 15;
/// 3.2.5: base and number of extra bits for the length symbols from 257 on.
const LENGTHS: [(u16, u8); 29] = bases::<29>(3, 4, Some((28, 258)));
/// 3.2.5: the same for the distance symbols.
const DISTANCES: [(u16, u8); 30] = bases::<30>(1, 2, None);
/// 3.2.7: in which order the lengths of the code length codes come.
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Both tables of 3.2.5 follow one rule: after the first `2 * group`, each `group` symbols have one extra bit more.
/// One entry may break it.
const fn bases<const N: usize>(first: u16, group: usize, exception: Option<(usize, u16)>) -> [(u16, u8); N] {
    let mut table = [(0, 0); N];
    let (mut base, mut symbol) = (first, 0);
    while symbol < N {
        let extra = if symbol < 2 * group { 0 } else { (symbol / group - 1) as u8 };
        table[symbol] = (base, extra);
        base = base.wrapping_add(1 << extra);
        symbol += 1;
    }
    if let Some((symbol, base)) = exception {
        table[symbol] = (base, 0);
    }
    table
}

/// Decompresses to exactly `size` bytes, for which there must be memory; `None` if that isn't what the data says.
pub(super) fn inflate(compressed: &[u8], mut result: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let mut bits = Bits { rest: compressed, buffer: 0, count: 0 };
    loop {
        let last = bits.take(1)?;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut result, size)?,
            1 => {
                // 3.2.6
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                block(&mut bits, &mut result, size, &Codes::new(&lengths)?, &Codes::new(&[5; 30])?)?;
            }
            2 => {
                let (literals, distances) = trees(&mut bits)?;
                block(&mut bits, &mut result, size, &literals, &distances)?;
            }
            _ => return None,
        }
        if last == 1 {
            return (result.len() == size).then_some(result);
        }
    }
}

/// The rest of the input and the bits of it that were begun.
struct Bits<'a> {
    rest: &'a [u8],
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// The next bits, the first one lowest, with zeros after the end; `count` is at most 32.
    fn peek(&mut self, count: u32) -> u64 {
        while self.count < count {
            let [byte, rest @ ..] = self.rest else { break };
            self.buffer |= u64::from(*byte) << self.count;
            self.count += 8;
            self.rest = rest;
        }
        self.buffer & ((1 << count) - 1)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.count = self.count.checked_sub(count)?;
        self.buffer >>= count;
        Some(())
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        let value = self.peek(count);
        self.skip(count)?;
        Some(value as usize)
    }
}

/// A Huffman code: for each pattern of the next `bits` bits, the symbol in the upper bits and its length in the
/// lower four; 0 where there is none.
struct Codes {
    table: Vec<u16>,
    bits: u32,
}

impl Codes {
    /// The canonical code for these lengths (3.2.2), or `None` if they ask for more codes than there are.
    fn new(lengths: &[u8]) -> Option<Codes> {
        let bits = usize::from(lengths.iter().copied().max()?).max(1);
        let mut counts = [0u32; MAX_BITS + 1];
        for length in lengths {
            counts[usize::from(*length)] += 1;
        }
        counts[0] = 0;
        let mut next = [0u32; MAX_BITS + 1];
        for length in 1..=MAX_BITS {
            next[length] = (next[length - 1] + counts[length - 1]) << 1;
            if next[length] + counts[length] > 1 << length {
                return None;
            }
        }
        let mut table = vec![0; 1 << bits];
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let code = &mut next[usize::from(*length)];
            // Codes come with their first bit highest, all else with the first bit lowest.
            let first = (code.reverse_bits() >> (32 - length)) as usize;
            *code += 1;
            for entry in table.iter_mut().skip(first).step_by(1 << length) {
                *entry = (symbol as u16) << 4 | u16::from(*length);
            }
        }
        Some(Codes { table, bits: bits as u32 })
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let entry = self.table[bits.peek(self.bits) as usize];
        if entry == 0 {
            return None;
        }
        bits.skip(u32::from(entry & 15))?;
        Some(usize::from(entry >> 4))
    }
}

/// 3.2.4: a block without compression.
fn stored(bits: &mut Bits<'_>, result: &mut Vec<u8>, size: usize) -> Option<()> {
    bits.skip(bits.count % 8)?;
    let (length, complement) = (bits.take(16)?, bits.take(16)?);
    if length != complement ^ 0xffff || length > size - result.len() {
        return None;
    }
    for _ in 0..length {
        result.push(bits.take(8)? as u8);
    }
    Some(())
}

/// 3.2.7: the codes of a block that brings its own.
fn trees(bits: &mut Bits<'_>) -> Option<(Codes, Codes)> {
    let (literals, distances, count) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut lengths = [0; 19];
    for symbol in ORDER.iter().take(count) {
        lengths[usize::from(*symbol)] = bits.take(3)? as u8;
    }
    let codes = Codes::new(&lengths)?;
    let mut lengths = [0; 288 + 32];
    let mut filled = 0;
    while filled < literals + distances {
        let (length, times) = match codes.decode(bits)? {
            16 => (*lengths.get(filled.checked_sub(1)?)?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths[..literals + distances].get_mut(filled..filled + times)?.fill(length);
        filled += times;
    }
    Some((Codes::new(&lengths[..literals])?, Codes::new(&lengths[literals..filled])?))
}

/// 3.2.3: literals and matches up to the end of the block.
fn block(
    bits: &mut Bits<'_>,
    result: &mut Vec<u8>,
    size: usize,
    literals: &Codes,
    distances: &Codes,
) -> Option<()> {
    loop {
        let symbol = literals.decode(bits)?;
        if symbol == 256 {
            return Some(());
        }
        if let Ok(literal) = u8::try_from(symbol) {
            if result.len() == size {
                return None;
            }
            result.push(literal);
            continue;
        }
        let (base, extra) = LENGTHS.get(symbol - 257)?;
        let length = usize::from(*base) + bits.take(u32::from(*extra))?;
        let (base, extra) = DISTANCES.get(distances.decode(bits)?)?;
        let distance = usize::from(*base) + bits.take(u32::from(*extra))?;
        let start = result.len().checked_sub(distance)?;
        if length > size - result.len() {
            return None;
        }
        // Byte by byte: a match may reach into what it writes.
        for index in start..start + length {
            result.push(result[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(compressed: &[u8], size: usize) -> Option<Vec<u8>> {
        inflate(compressed, Vec::new(), size)
    }

    #[test]
    fn the_tables_of_the_specification() {
        // Rows of the tables in 3.2.5: symbol, extra bits, first length or distance.
        for (symbol, extra, base) in [
            (257, 0, 3),
            (264, 0, 10),
            (265, 1, 11),
            (268, 1, 17),
            (277, 4, 67),
            (284, 5, 227),
            (285, 0, 258),
        ] {
            assert_eq!(LENGTHS[symbol - 257], (base, extra));
        }
        for (symbol, extra, base) in
            [(0, 0, 1), (3, 0, 4), (4, 1, 5), (9, 3, 25), (20, 9, 1025), (28, 13, 16385), (29, 13, 24577)]
        {
            assert_eq!(DISTANCES[symbol], (base, extra));
        }
    }

    #[test]
    fn blocks_by_hand() {
        // Last, stored, 3 bytes.
        assert_eq!(run(&[1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'], 3).as_deref(), Some(&b"abc"[..]));
        // What zlib makes of ten times the same letter: fixed codes, two literals and an overlapping match.
        assert_eq!(run(&[0x4b, 0x4c, 0x84, 0x01, 0x00], 10).as_deref(), Some(&b"aaaaaaaaaa"[..]));
        assert_eq!(run(&[0x03, 0x00], 0).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn wrong_data_is_refused() {
        assert_eq!(run(&[], 0), None, "nothing");
        assert_eq!(run(&[7], 0), None, "the reserved kind");
        assert_eq!(run(&[1, 3, 0, 0xfc, 0xfe, b'a', b'b', b'c'], 3), None, "a wrong complement");
        assert_eq!(run(&[1, 3, 0, 0xfc, 0xff, b'a', b'b'], 3), None, "a stored block that ends early");
        for size in [0, 1, 9, 11] {
            assert_eq!(run(&[0x4b, 0x4c, 0x84, 0x01, 0x00], size), None, "another size: {size}");
        }
        // Fixed codes, first symbol a match of length 3 at distance 1.
        assert_eq!(run(&[0x03, 0x02, 0x00], 3), None, "a match before the beginning");
        assert!(Codes::new(&[1, 1, 1]).is_none(), "three codes of one bit");
        assert!(Codes::new(&[2, 1, 2]).is_some());
    }
}
