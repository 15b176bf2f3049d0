//! Writing an archive.

use alloc::string::String;
use alloc::vec::Vec;

use super::crc32::Crc32;
use super::{
    CENTRAL_HEADER, END, END_64, END_64_LOCATOR, EXTRA_64, IN_END_64, IN_EXTRA, LOCAL_HEADER, STORED,
};
use crate::abi::DType;
use crate::error::Error;
use crate::npy;
use crate::sys::file::Sink;
use crate::text::text;

/// Version 4.5 has 64-bit sizes, 2.0 is the base (4.4.3.2).
const VERSION: u64 = 20;
const VERSION_64: u64 = 45;
/// The name is UTF-8 (4.4.4, bit 11).
const UTF_8: u64 = 1 << 11;
/// 1980-01-01, the earliest date (year and month 0 would be none).
const DATE: u64 = 1 << 5 | 1;

/// An archive in the making.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    crc: Crc32,
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
        Writer { sink, crc: Crc32::new(), offset: 0, members: Vec::new() }
    }

    /// Adds an array; `data` is in C order and the CPU's byte order. 4-bit integers come as bytes.
    ///
    /// # Errors
    /// `Kind::BadInput` if `data` has another length than the shape says, the name is too long or there is an
    /// array of that name already; `Kind::System` if it can't be written.
    pub fn add(&mut self, name: &str, dtype: DType, shape: &[i64], data: &[u8]) -> Result<(), Error> {
        let bytes = npy::element_count(shape)?.checked_mul(dtype.bytes());
        if bytes != Some(data.len()) {
            return Err(Error::bad_input(text!(
                "array '%' does not have as many bytes as its shape says",
                name
            )));
        }
        let name = text!("%.npy", name);
        if name.len() > usize::from(u16::MAX) || self.members.iter().any(|member| member.name == name) {
            return Err(Error::bad_input(text!("cannot write an array called '%'", name)));
        }
        let header = npy::write_header(dtype, shape);
        let checksum = self.crc.extend(self.crc.extend(0, &header), data);
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
    /// `Kind::System` if it can't be written.
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
    /// The header before the contents (4.3.7).
    fn local_header(&self) -> Vec<u8> {
        let wide = self.size >= IN_EXTRA;
        let extra = if wide { record(b"2288", &[EXTRA_64, 16, self.size, self.size]) } else { Vec::new() };
        let header = record(
            b"42222244422",
            &[
                LOCAL_HEADER,
                if wide { VERSION_64 } else { VERSION },
                self.flags(),
                STORED,
                0,
                DATE,
                self.checksum.into(),
                self.size.min(IN_EXTRA),
                self.size.min(IN_EXTRA),
                self.name.len() as u64,
                extra.len() as u64,
            ],
        );
        [&header, self.name.as_bytes(), &extra].concat()
    }

    /// The entry in the directory (4.3.12).
    fn central_header(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.size >= IN_EXTRA {
            extra.extend_from_slice(&record(b"88", &[self.size, self.size]));
        }
        if self.offset >= IN_EXTRA {
            extra.extend_from_slice(&self.offset.to_le_bytes());
        }
        if !extra.is_empty() {
            extra = [record(b"22", &[EXTRA_64, extra.len() as u64]), extra].concat();
        }
        let version = if extra.is_empty() { VERSION } else { VERSION_64 };
        let header = record(
            b"42222224442222244",
            &[
                CENTRAL_HEADER,
                version,
                version,
                self.flags(),
                STORED,
                0,
                DATE,
                self.checksum.into(),
                self.size.min(IN_EXTRA),
                self.size.min(IN_EXTRA),
                self.name.len() as u64,
                extra.len() as u64,
                // Comment, disk and attributes.
                0,
                0,
                0,
                0,
                self.offset.min(IN_EXTRA),
            ],
        );
        [&header, self.name.as_bytes(), &extra].concat()
    }

    fn flags(&self) -> u64 {
        if self.name.is_ascii() { 0 } else { UTF_8 }
    }
}

/// The end record (4.3.16), after the 64-bit one and its locator (4.3.14, 4.3.15) where a value needs it.
fn end_records(entries: u64, start: u64, end: u64) -> Vec<u8> {
    let mut records = Vec::new();
    if entries >= IN_END_64 || end >= IN_EXTRA {
        let length = 44;
        records = record(
            b"48224488884484",
            &[
                END_64,
                length,
                VERSION_64,
                VERSION_64,
                0,
                0,
                entries,
                entries,
                end - start,
                start,
                END_64_LOCATOR,
                0,
                end,
                1,
            ],
        );
    }
    let few = entries.min(IN_END_64);
    let (size, start) = ((end - start).min(IN_EXTRA), start.min(IN_EXTRA));
    records.extend_from_slice(&record(b"42222442", &[END, 0, 0, few, few, size, start, 0]));
    records
}

/// Little-endian numbers one after the other; `widths` has the bytes of each as a digit.
fn record(widths: &[u8], values: &[u64]) -> Vec<u8> {
    let mut record = Vec::new();
    for (width, value) in widths.iter().zip(values) {
        record.extend(value.to_le_bytes().iter().take(usize::from(width - b'0')));
    }
    record
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
        let mut writer = Writer { offset: BEFORE, ..Writer::new(Vec::new()) };
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
