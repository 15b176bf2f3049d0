//! Writing an archive.

use alloc::string::String;
use alloc::vec::Vec;

use super::crc32;
use super::{CENTRAL_HEADER, END, END_64, END_64_LOCATOR, EXTRA_64, IN_EXTRA, LOCAL_HEADER, STORED};
use crate::abi::DType;
use crate::error::Error;
use crate::npy;
use crate::sys::file::Sink;
use crate::text::text;

/// Version 4.5 has 64-bit sizes, 2.0 is the base (4.4.3.2).
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// The name is UTF-8 (4.4.4, bit 11).
const UTF_8: u16 = 1 << 11;
/// 1980-01-01, the earliest date (year and month 0 would be none).
const DATE: u16 = 1 << 5 | 1;

/// An archive in the making.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    offset: u64,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// With `.npy`.
    name: String,
    checksum: u32,
    size: u64,
    offset: u64,
}

impl<S: Sink> Writer<S> {
    /// Starts an archive.
    pub fn new(sink: S) -> Writer<S> {
        Writer { sink, offset: 0, members: Vec::new() }
    }

    /// Adds an array; `data` is in C order and the CPU's byte order. 4-bit types must come as 8-bit ones.
    ///
    /// # Errors
    /// [`Error::BadInput`] if `data` has another length than the shape says, the name is too long or there is an
    /// array of that name already; [`Error::System`] if it can't be written.
    pub fn add(&mut self, name: &str, dtype: DType, shape: &[i64], data: &[u8]) -> Result<(), Error> {
        let bytes = npy::element_count(shape)?.checked_mul(dtype.bits().div_ceil(8) as usize);
        if bytes != Some(data.len()) {
            return Err(Error::BadInput(text![
                "array '",
                name,
                "' does not have as many bytes as its shape says"
            ]));
        }
        let name = text![name, ".npy"];
        if name.len() > usize::from(u16::MAX) || self.members.iter().any(|member| member.name == name) {
            return Err(Error::BadInput(text!["cannot write an array called '", name, "'"]));
        }
        let header = npy::write_header(dtype, shape);
        let checksum = crc32::extend(crc32::extend(0, &header), data);
        let size = header.len() as u64 + data.len() as u64;
        let member = Member { name, checksum, size, offset: self.offset };
        for part in [&member.local_header()[..], &header, data] {
            self.put(part)?;
        }
        self.members.push(member);
        Ok(())
    }

    /// Writes the directory and gives the sink back.
    ///
    /// # Errors
    /// [`Error::System`] if it can't be written.
    pub fn finish(mut self) -> Result<S, Error> {
        let start = self.offset;
        let members = core::mem::take(&mut self.members);
        for member in &members {
            self.put(&member.central_header())?;
        }
        let end = end_records(members.len() as u64, start, self.offset);
        self.put(&end)?;
        Ok(self.sink)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

impl Member {
    fn has_wide_size(&self) -> bool {
        narrow(self.size) == IN_EXTRA
    }

    /// Version, flags, method, time, date, checksum and sizes, which both headers have (4.3.7, 4.3.12).
    fn common(&self, wide: bool) -> Record {
        Record::default()
            .u16(if wide { VERSION_64 } else { VERSION })
            .u16(if self.name.is_ascii() { 0 } else { UTF_8 })
            .u16(STORED)
            .u16(0)
            .u16(DATE)
            .u32(self.checksum)
            .u32(narrow(self.size))
            .u32(narrow(self.size))
            .u16(self.name.len() as u16)
    }

    fn local_header(&self) -> Vec<u8> {
        let extra = if self.has_wide_size() {
            Record::default().u16(EXTRA_64).u16(16).u64(self.size).u64(self.size)
        } else {
            Record::default()
        };
        Record::default()
            .u32(LOCAL_HEADER)
            .record(&self.common(self.has_wide_size()))
            .u16(extra.0.len() as u16)
            .bytes(self.name.as_bytes())
            .record(&extra)
            .0
    }

    fn central_header(&self) -> Vec<u8> {
        let mut wide = Record::default();
        if self.has_wide_size() {
            wide = wide.u64(self.size).u64(self.size);
        }
        if narrow(self.offset) == IN_EXTRA {
            wide = wide.u64(self.offset);
        }
        let extra = match wide.0.len() {
            0 => Record::default(),
            length => Record::default().u16(EXTRA_64).u16(length as u16).record(&wide),
        };
        let version = if extra.0.is_empty() { VERSION } else { VERSION_64 };
        Record::default()
            .u32(CENTRAL_HEADER)
            .u16(version)
            .record(&self.common(!extra.0.is_empty()))
            .u16(extra.0.len() as u16)
            .bytes(&[0; 10])
            .u32(narrow(self.offset))
            .bytes(self.name.as_bytes())
            .record(&extra)
            .0
    }
}

/// The end record (4.3.16), after the 64-bit one and its locator (4.3.14, 4.3.15) where a value needs it.
fn end_records(entries: u64, start: u64, end: u64) -> Vec<u8> {
    let few = u16::try_from(entries).unwrap_or(u16::MAX);
    let wide = few == u16::MAX || narrow(end) == IN_EXTRA;
    let mut records = Record::default();
    if wide {
        records = records
            .u32(END_64)
            .u64(44)
            .u16(VERSION_64)
            .u16(VERSION_64)
            .u32(0)
            .u32(0)
            .u64(entries)
            .u64(entries)
            .u64(end - start)
            .u64(start)
            .u32(END_64_LOCATOR)
            .u32(0)
            .u64(end)
            .u32(1);
    }
    let sizes = Record::default().u16(few).u16(few).u32(narrow(end - start)).u32(narrow(start));
    records.u32(END).u32(0).record(&sizes).u16(0).0
}

/// A value for a field of 32 bits.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(IN_EXTRA)
}

/// Little-endian numbers one after the other.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn bytes(mut self, bytes: &[u8]) -> Record {
        self.0.extend_from_slice(bytes);
        self
    }

    fn record(self, record: &Record) -> Record {
        self.bytes(&record.0)
    }

    fn u16(self, value: u16) -> Record {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Record {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Record {
        self.bytes(&value.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::Archive;
    use crate::sys::memory::MappedFile;
    use alloc::ffi::CString;

    #[test]
    fn offsets_beyond_32_bits() {
        // A sparse file: the archive stands behind 5 GiB of nothing.
        const BEFORE: u64 = 5 << 30;
        let path = std::env::temp_dir().join(std::format!("graven-wide-{}.npz", std::process::id()));
        let mut writer = Writer { sink: Vec::new(), offset: BEFORE, members: Vec::new() };
        writer.add("a", DType::U16, &[2], &[1, 2, 3, 4]).expect("room");
        writer.add("b", DType::Bool, &[], &[1]).expect("room");
        let archive = writer.finish().expect("room");
        let file = std::fs::File::create(&path).expect("a file");
        std::os::unix::fs::FileExt::write_all_at(&file, &archive, BEFORE).expect("room");

        let name = CString::new(path.to_str().expect("a UTF-8 path")).expect("no zero");
        let file = MappedFile::open(&name).expect("the file");
        let archive = Archive::open(&file).expect("an archive");
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(*archive.get("a").expect("a").expect("a").data, [1, 2, 3, 4]);
        assert_eq!(*archive.get("b").expect("b").expect("b").data, [1]);
        std::fs::remove_file(path).expect("the file");
    }

    #[test]
    fn sizes_and_counts_beyond_their_fields() {
        let member = Member { name: "a.npy".into(), checksum: 7, size: 5 << 30, offset: 6 << 30 };
        let (local, central) = (member.local_header(), member.central_header());
        let wide = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(local[18..26], [0xff; 8]);
        assert!(local.ends_with(&[&b"a.npy\x01\x00\x10\x00"[..], &wide(&[5 << 30, 5 << 30])].concat()));
        assert_eq!(central[20..28], [0xff; 8]);
        assert_eq!(central[42..46], [0xff; 4]);
        assert!(
            central.ends_with(&[&b"a.npy\x01\x00\x18\x00"[..], &wide(&[5 << 30, 5 << 30, 6 << 30])].concat())
        );

        assert_eq!(end_records(0xfffe, 10, 20).len(), 22);
        assert_eq!(end_records(0xffff, 10, 20).len(), 56 + 20 + 22);
        assert_eq!(end_records(1, 10, 1 << 32).len(), 56 + 20 + 22);
    }
}
