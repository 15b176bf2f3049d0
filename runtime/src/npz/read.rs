//! Reading an archive. Nothing in it is trusted: every offset and size is checked before use, and memory is only
//! taken for what the compressed data can expand to.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::crc32;
use super::{
    CENTRAL_HEADER, DEFLATED, END, END_64, END_64_LOCATOR, EXTRA_64, IN_EXTRA, LOCAL_HEADER, STORED,
};
use crate::error::Error;
use crate::npy::{self, Array};
use crate::sys::memory::try_grow;
use crate::text::text;

/// Deflate can't do better: a match of 258 bytes takes at least two bits.
const MAX_EXPANSION: u64 = 1032;
/// Flags of a member that is encrypted in one way or the other (4.4.4: bits 0, 6 and 13).
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// An open archive.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    file: &'a [u8],
    members: Vec<Member<'a>>,
}

#[derive(Clone, Debug)]
struct Member<'a> {
    /// Without `.npy`.
    name: &'a str,
    flags: u16,
    method: u16,
    checksum: u32,
    compressed: u64,
    size: u64,
    offset: u64,
}

fn bad(what: &str) -> Error {
    Error::BadInput(text!["not a valid npz file: ", what])
}

fn truncated() -> Error {
    bad("it is cut off or damaged")
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// [`Error::BadInput`] if this is no archive or a damaged one.
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
        Ok(Archive { file, members })
    }

    /// The names of the arrays, in the order of the archive.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.members.iter().map(|member| member.name)
    }

    /// Reads the array of this name; the last one if there are several, `None` if there is none.
    ///
    /// # Errors
    /// As [`npy::read`], with the array's name; [`Error::Unsupported`] if it is encrypted or compressed by another
    /// method than deflate.
    pub fn get(&self, name: &str) -> Option<Result<Array<'a>, Error>> {
        let member = self.members.iter().rfind(|member| member.name == name)?;
        Some(self.read(member).map_err(|error| {
            let message = text!["array '", name, "': ", error.message()];
            match error {
                Error::Unsupported(_) => Error::Unsupported(message),
                Error::System(_) => Error::System(message),
                _ => Error::BadInput(message),
            }
        }))
    }

    fn read(&self, member: &Member<'a>) -> Result<Array<'a>, Error> {
        if member.flags & ENCRYPTED != 0 {
            return Err(Error::Unsupported("it is encrypted".into()));
        }
        let raw = self.raw(member)?;
        let contents = match member.method {
            STORED if member.compressed == member.size => Cow::Borrowed(raw),
            STORED => return Err(truncated()),
            DEFLATED => Cow::Owned(inflate(raw, member.size)?),
            _ => return Err(Error::Unsupported("its compression is not deflate".into())),
        };
        if crc32::extend(0, &contents) != member.checksum {
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
        if local.u32()? != LOCAL_HEADER {
            return Err(truncated());
        }
        // Everything but the two lengths is in the directory as well.
        local.skip(22)?;
        let (name, extra) = (local.u16()?, local.u16()?);
        local.skip(u64::from(name) + u64::from(extra))?;
        local.take(member.compressed)
    }
}

/// Where the directory is.
struct Directory {
    entries: u64,
    offset: u64,
}

impl Directory {
    /// Finds the end record, which is the last 22 bytes of the file but for a comment of up to 65535 bytes.
    fn find(file: &[u8]) -> Result<Directory, Error> {
        const LENGTH: usize = 22;
        let last = file.len().checked_sub(LENGTH).ok_or_else(|| bad("it is too short"))?;
        for start in (last.saturating_sub(0xffff)..=last).rev() {
            let mut end = Reader::at(file, start as u64)?;
            if end.u32()? != END {
                continue;
            }
            end.skip(6)?;
            let entries = u64::from(end.u16()?);
            end.skip(4)?;
            let offset = u64::from(end.u32()?);
            let comment = usize::from(end.u16()?);
            if comment != last - start {
                continue;
            }
            if entries == 0xffff || offset == u64::from(IN_EXTRA) {
                if let Some(directory) = Directory::find_64(file, start)? {
                    return Ok(directory);
                }
            }
            return Ok(Directory { entries, offset });
        }
        Err(bad("it has no directory"))
    }

    /// The 64-bit end record, whose locator is the 20 bytes before the end record.
    fn find_64(file: &[u8], end: usize) -> Result<Option<Directory>, Error> {
        let Some(locator) = end.checked_sub(20) else { return Ok(None) };
        let mut locator = Reader::at(file, locator as u64)?;
        if locator.u32()? != END_64_LOCATOR {
            return Ok(None);
        }
        locator.skip(4)?;
        let mut record = Reader::at(file, locator.u64()?)?;
        if record.u32()? != END_64 {
            return Err(truncated());
        }
        record.skip(28)?;
        let entries = record.u64()?;
        record.skip(8)?;
        Ok(Some(Directory { entries, offset: record.u64()? }))
    }
}

impl<'a> Member<'a> {
    /// Reads an entry of the directory; `None` if it is no array.
    fn read(rest: &mut Reader<'a>) -> Result<Option<Member<'a>>, Error> {
        if rest.u32()? != CENTRAL_HEADER {
            return Err(truncated());
        }
        rest.skip(4)?;
        let (flags, method) = (rest.u16()?, rest.u16()?);
        rest.skip(4)?;
        let checksum = rest.u32()?;
        let (compressed, size) = (rest.u32()?, rest.u32()?);
        let (name, extra, comment) = (rest.u16()?, rest.u16()?, rest.u16()?);
        rest.skip(8)?;
        let offset = rest.u32()?;
        let name = rest.take(name.into())?;
        let mut wide = Wide::find(rest.take(extra.into())?)?;
        rest.skip(comment.into())?;
        // The extra field has only those values, in this order, for which there is no room.
        let size = wide.or(size)?;
        let compressed = wide.or(compressed)?;
        let offset = wide.or(offset)?;
        let name = core::str::from_utf8(name).map_err(|_| bad("the name of an array is not UTF-8"))?;
        let Some(name) = name.strip_suffix(".npy") else { return Ok(None) };
        Ok(Some(Member { name, flags, method, checksum, compressed, size, offset }))
    }
}

/// The 64-bit values of an extra field.
struct Wide<'a>(Reader<'a>);

impl<'a> Wide<'a> {
    fn find(extra: &'a [u8]) -> Result<Wide<'a>, Error> {
        let mut fields = Reader { rest: extra };
        // Some writers pad the field with up to three bytes.
        while fields.rest.len() >= 4 {
            let (id, length) = (fields.u16()?, fields.u16()?);
            let field = fields.take(length.into())?;
            if id == EXTRA_64 {
                return Ok(Wide(Reader { rest: field }));
            }
        }
        Ok(Wide(Reader { rest: &[] }))
    }

    fn or(&mut self, narrow: u32) -> Result<u64, Error> {
        if narrow == IN_EXTRA { self.0.u64() } else { Ok(narrow.into()) }
    }
}

/// Decompresses to exactly `size` bytes.
fn inflate(compressed: &[u8], size: u64) -> Result<Vec<u8>, Error> {
    let most = (compressed.len() as u64).saturating_mul(MAX_EXPANSION);
    let size = usize::try_from(size).ok().filter(|size| *size as u64 <= most).ok_or_else(truncated)?;
    let mut result = Vec::new();
    try_grow(&mut result, size)?;
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = DecompressorOxide::new();
    let (status, _, written) = decompress(&mut state, compressed, &mut result, 0, flags);
    if status != TINFLStatus::Done || written != size {
        return Err(bad("its compressed data is damaged"));
    }
    Ok(result)
}

/// Little-endian numbers out of a slice; every step past its end is an error.
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

    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        self.take(bytes).map(|_| ())
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.number().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.number().map(u64::from_le_bytes)
    }
}
