//! Files compressed by gzip (RFC 1952), in one member.

use alloc::vec::Vec;

use super::crc32::Crc32;
use super::read::decompress;
use crate::error::Error;
use crate::text::text;

/// Flags of the header (2.3.1).
const CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// Whether a file begins as compressed ones do.
pub fn is_gzip(file: &[u8]) -> bool {
    file.starts_with(&[0x1f, 0x8b])
}

/// The contents of a compressed file.
///
/// # Errors
/// `Kind::BadInput` if this is no such file or a damaged one.
pub fn gunzip(file: &[u8]) -> Result<Vec<u8>, Error> {
    let damaged = || Error::bad_input(text!("not a valid gzip file: it is cut off or damaged"));
    let (compressed, checksum, size) = parts(file).ok_or_else(damaged)?;
    let contents = decompress(compressed, u64::from(size)).map_err(|_| damaged())?;
    match Crc32::new().extend(0, &contents) == checksum {
        true => Ok(contents),
        false => Err(damaged()),
    }
}

/// The deflated data, the checksum and the size of the contents.
fn parts(file: &[u8]) -> Option<(&[u8], u32, u32)> {
    let (header, mut rest) = file.split_at_checked(10)?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    let (rest, size) = rest.split_last_chunk::<4>()?;
    let (compressed, checksum) = rest.split_last_chunk::<4>()?;
    Some((compressed, u32::from_le_bytes(*checksum), u32::from_le_bytes(*size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf hello | gzip` with a name, an extra field, a comment and a header checksum, whose value nobody reads.
    fn file(flags: u8, fields: &[u8]) -> Vec<u8> {
        let stored = [1, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o'];
        let header = [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        // The CRC-32 of "hello" is 0x3610a686.
        [&header, fields, &stored, &[0x86, 0xa6, 0x10, 0x36], &[5, 0, 0, 0]].concat()
    }

    #[test]
    fn headers() {
        let fields: &[(u8, &[u8])] = &[
            (0, b""),
            (NAME, b"name\0"),
            (EXTRA | COMMENT, b"\x02\0ABcomment\0"),
            (EXTRA | NAME | COMMENT | CHECKSUM, b"\0\0\0\0xx"),
        ];
        for (flags, fields) in fields {
            let file = file(*flags, fields);
            assert!(is_gzip(&file));
            assert_eq!(gunzip(&file).expect("the file"), b"hello");
        }
    }

    #[test]
    fn damage() {
        let good = file(NAME, b"name\0");
        for length in 0..good.len() {
            assert!(gunzip(&good[..length]).is_err(), "{length}");
        }
        for place in [0, 2, good.len() - 1, good.len() - 5, good.len() - 9] {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert!(gunzip(&bad).is_err(), "{place}");
        }
    }
}
