//! Reading an archive. Nothing in it is trusted: every offset and size is checked before use, and memory is only
//! taken for what the compressed data can expand to.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::crc32::Crc32;
use super::inflate::inflate;
use super::{
    CENTRAL_HEADER, DEFLATED, END, END_64, END_64_LOCATOR, EXTRA_64, IN_END_64, IN_EXTRA, LOCAL_HEADER,
    STORED,
};
use crate::error::Error;
use crate::npy::{self, Array};
use crate::sys::memory::exhausted;
use crate::text::text;

/// Deflate can't do better: a match of 258 bytes takes at least two bits.
const MAX_EXPANSION: u64 = 1032;
/// Flags of a member that is encrypted in one way or the other (4.4.4: bits 0, 6 and 13).
const ENCRYPTED: u64 = 1 | 1 << 6 | 1 << 13;

/// An open archive.
#[derive(Debug)]
pub struct Archive<'a> {
    file: &'a [u8],
    crc: Crc32,
    members: Vec<Member<'a>>,
}

#[derive(Clone, Debug)]
struct Member<'a> {
    /// Without `.npy`.
    name: &'a str,
    flags: u64,
    method: u64,
    checksum: u64,
    compressed: u64,
    size: u64,
    offset: u64,
}

fn bad(what: &str) -> Error {
    Error::bad_input(text!("not a valid npz file: %", what))
}

fn truncated() -> Error {
    bad("it is cut off or damaged")
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// `Kind::BadInput` if this is no archive or a damaged one.
    pub fn open(file: &'a [u8]) -> Result<Archive<'a>, Error> {
        let directory = Directory::find(file)?;
        let mut rest = Reader::at(file, directory.offset)?;
        let mut members = Vec::new();
        for _ in 0..directory.entries {
            // Each takes at least 46 bytes of the file, so that a false count can't take much memory.
            if let Some(member) = Member::read(&mut rest)? {
                members.push(member);
            }
        }
        Ok(Archive { file, crc: Crc32::new(), members })
    }

    /// The names of the arrays, in the order of the archive.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|member| member.name)
    }

    /// Reads the array of this name; the last one if there are several, `None` if there is none.
    ///
    /// # Errors
    /// As [`npy::read`], with the array's name; `Kind::Unsupported` if it is encrypted or compressed by another
    /// method than deflate.
    pub fn get(&self, name: &str) -> Option<Result<Array<'a>, Error>> {
        let member = self.members.iter().rfind(|member| member.name == name)?;
        Some(self.read(member).map_err(|error| error.at(&text!("array '%'", name))))
    }

    fn read(&self, member: &Member<'a>) -> Result<Array<'a>, Error> {
        if member.flags & ENCRYPTED != 0 {
            return Err(Error::unsupported(text!("it is encrypted")));
        }
        let raw = self.raw(member)?;
        let contents = match member.method {
            STORED if member.compressed == member.size => Cow::Borrowed(raw),
            STORED => return Err(truncated()),
            DEFLATED => Cow::Owned(decompress(raw, member.size)?),
            _ => return Err(Error::unsupported(text!("its compression is not deflate"))),
        };
        if u64::from(self.crc.extend(0, &contents)) != member.checksum {
            return Err(bad("its checksum is wrong"));
        }
        match contents {
            Cow::Borrowed(contents) => npy::read(contents),
            Cow::Owned(contents) => {
                let array = npy::read(&contents)?;
                let data = Cow::Owned(array.data.into_owned());
                Ok(Array { dtype: array.dtype, shape: array.shape, data })
            }
        }
    }

    /// The bytes of a member as they are in the file.
    fn raw(&self, member: &Member<'a>) -> Result<&'a [u8], Error> {
        let mut local = Reader::at(self.file, member.offset)?;
        // Everything but the two lengths is in the directory as well (4.3.7).
        let header: &[u8; 30] = local.record()?;
        if number(&header[..4]) != LOCAL_HEADER {
            return Err(truncated());
        }
        local.take(number(&header[26..28]) + number(&header[28..30]))?;
        local.take(member.compressed)
    }
}

/// Where the directory is.
struct Directory {
    entries: u64,
    offset: u64,
}

impl Directory {
    /// Finds the end record (4.3.16), which the file ends with but for a comment of up to 65535 bytes.
    fn find(file: &[u8]) -> Result<Directory, Error> {
        const LENGTH: usize = 22;
        let last = file.len().checked_sub(LENGTH).ok_or_else(|| bad("it is too short"))?;
        for start in (last.saturating_sub(0xffff)..=last).rev() {
            let end: &[u8; LENGTH] = Reader::at(file, start as u64)?.record()?;
            if number(&end[..4]) != END || number(&end[20..22]) != (last - start) as u64 {
                continue;
            }
            let (entries, offset) = (number(&end[10..12]), number(&end[16..20]));
            if entries == IN_END_64 || offset == IN_EXTRA {
                return Directory::find_64(file, start)
                    .map(|directory| directory.unwrap_or(Directory { entries, offset }));
            }
            return Ok(Directory { entries, offset });
        }
        Err(bad("it has no directory"))
    }

    /// The 64-bit end record (4.3.14), whose locator (4.3.15) is the 20 bytes before the end record.
    fn find_64(file: &[u8], end: usize) -> Result<Option<Directory>, Error> {
        let Some(start) = end.checked_sub(20) else { return Ok(None) };
        let locator: &[u8; 20] = Reader::at(file, start as u64)?.record()?;
        if number(&locator[..4]) != END_64_LOCATOR {
            return Ok(None);
        }
        let record: &[u8; 56] = Reader::at(file, number(&locator[8..16]))?.record()?;
        if number(&record[..4]) != END_64 {
            return Err(truncated());
        }
        Ok(Some(Directory { entries: number(&record[32..40]), offset: number(&record[48..56]) }))
    }
}

impl<'a> Member<'a> {
    /// Reads an entry of the directory (4.3.12); `None` if it is no array.
    fn read(rest: &mut Reader<'a>) -> Result<Option<Member<'a>>, Error> {
        let header: &[u8; 46] = rest.record()?;
        if number(&header[..4]) != CENTRAL_HEADER {
            return Err(truncated());
        }
        let name = rest.take(number(&header[28..30]))?;
        let mut wide = Reader { rest: extra_64(rest.take(number(&header[30..32]))?)? };
        rest.take(number(&header[32..34]))?;
        // The extra field has only those values, in this order, for which there is no room in the header.
        let mut value = |narrow: &[u8]| match number(narrow) {
            IN_EXTRA => wide.record::<8>().map(|wide| number(wide)),
            narrow => Ok(narrow),
        };
        let size = value(&header[24..28])?;
        let compressed = value(&header[20..24])?;
        let offset = value(&header[42..46])?;
        let (flags, method) = (number(&header[8..10]), number(&header[10..12]));
        let checksum = number(&header[16..20]);
        let name = core::str::from_utf8(name).map_err(|_| bad("the name of an array is not UTF-8"))?;
        let Some(name) = name.strip_suffix(".npy") else { return Ok(None) };
        Ok(Some(Member { name, flags, method, checksum, compressed, size, offset }))
    }
}

/// The part of an extra field that holds 64-bit values (4.5.3), or nothing.
fn extra_64(extra: &[u8]) -> Result<&[u8], Error> {
    let mut fields = Reader { rest: extra };
    // Some writers pad the field with up to three bytes.
    while fields.rest.len() >= 4 {
        let header: &[u8; 4] = fields.record()?;
        let field = fields.take(number(&header[2..4]))?;
        if number(&header[..2]) == EXTRA_64 {
            return Ok(field);
        }
    }
    Ok(&[])
}

/// Decompresses to exactly `size` bytes.
pub(super) fn decompress(compressed: &[u8], size: u64) -> Result<Vec<u8>, Error> {
    let most = (compressed.len() as u64).saturating_mul(MAX_EXPANSION);
    let size = usize::try_from(size).ok().filter(|size| *size as u64 <= most).ok_or_else(truncated)?;
    let mut result = Vec::new();
    result.try_reserve_exact(size).map_err(|_| exhausted(size))?;
    inflate(compressed, result, size).ok_or_else(|| bad("its compressed data is damaged"))
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A place in a file; every step past its end is an error.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn at(file: &'a [u8], offset: u64) -> Result<Reader<'a>, Error> {
        let rest = usize::try_from(offset).ok().and_then(|offset| file.get(offset..));
        rest.map(|rest| Reader { rest }).ok_or_else(truncated)
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], Error> {
        let bytes = usize::try_from(bytes).map_err(|_| truncated())?;
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn record<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}
