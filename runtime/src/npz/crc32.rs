//! The CRC-32 of ZIP files (APPNOTE 4.4.7): polynomial 0x04C11DB7 with its bits reversed, as in ISO 3309.

use alloc::boxed::Box;

/// Tables to compute checksums with: eight bytes per step ("slicing by 8": Kounavis and Berry, 2005). They are made
/// when needed, in microseconds, rather than being part of every executable.
#[derive(Debug)]
pub(super) struct Crc32(
    /// `[k][b]` is the remainder of byte `b` followed by `k` zero bytes.
    Box<[[u32; 256]; 8]>,
);

impl Crc32 {
    pub(super) fn new() -> Crc32 {
        let mut tables = Box::new([[0u32; 256]; 8]);
        for byte in 0..256 {
            let mut remainder = byte as u32;
            for _ in 0..8 {
                remainder = remainder >> 1 ^ if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
            }
            tables[0][byte] = remainder;
        }
        for byte in 0..256 {
            for zeros in 1..8 {
                let shorter = tables[zeros - 1][byte];
                tables[zeros][byte] = shorter >> 8 ^ tables[0][usize::from(shorter as u8)];
            }
        }
        Crc32(tables)
    }

    /// The checksum of bytes that follow others with the checksum `before`; that of nothing is 0.
    pub(super) fn extend(&self, before: u32, bytes: &[u8]) -> u32 {
        let tables = &*self.0;
        let mut remainder = !before;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in chunks {
            let [s, t, u, v] = (remainder ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
            remainder = 0;
            for (table, byte) in tables.iter().zip([*h, *g, *f, *e, v, u, t, s]) {
                remainder ^= table[usize::from(byte)];
            }
        }
        for byte in rest {
            remainder = remainder >> 8 ^ tables[0][usize::from(remainder as u8 ^ byte)];
        }
        !remainder
    }
}

#[cfg(test)]
mod tests {
    use super::Crc32;

    #[test]
    fn the_standard_check_value() {
        // CRC-32/ISO-HDLC of "123456789" in the catalogue of parametrised CRC algorithms.
        let crc = Crc32::new();
        assert_eq!(crc.extend(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc.extend(0, b""), 0);
        for cut in 0..9 {
            let (head, tail) = b"123456789".split_at(cut);
            assert_eq!(crc.extend(crc.extend(0, head), tail), 0xcbf4_3926);
        }
    }

    #[test]
    fn long_input_equals_byte_by_byte() {
        let crc = Crc32::new();
        let bytes: std::vec::Vec<u8> = (0..1000u32).map(|index| ((index * index) >> 3) as u8).collect();
        let slow = bytes.iter().fold(0, |sum, byte| crc.extend(sum, &[*byte]));
        assert_eq!(crc.extend(0, &bytes), slow);
    }
}
