//! NumPy's `.npz` files: a ZIP archive with a `.npy` file per array.
//!
//! Format: PKWARE's APPNOTE.TXT 6.3.10, with its 64-bit extension (4.5.3). Members may be stored or deflated; they are
//! written stored, with a fixed date, so that equal arrays make equal files. `gzip` reads single compressed files.

mod crc32;
mod gzip;
mod inflate;
mod read;
mod write;

pub use gzip::{gunzip, is_gzip};
pub use read::Archive;
pub use write::Writer;

// Signatures: 4.3.7, 4.3.12, 4.3.14, 4.3.15 and 4.3.16.
const LOCAL_HEADER: u64 = 0x0403_4b50;
const CENTRAL_HEADER: u64 = 0x0201_4b50;
const END_64: u64 = 0x0606_4b50;
const END_64_LOCATOR: u64 = 0x0706_4b50;
const END: u64 = 0x0605_4b50;

/// Header ID of the extra field that holds 64-bit sizes and offsets.
const EXTRA_64: u64 = 1;
/// In a field of 32 bits: the value is in the extra field or the 64-bit end record.
const IN_EXTRA: u64 = 0xffff_ffff;
/// In the count of entries, a field of 16 bits: it is in the 64-bit end record.
const IN_END_64: u64 = 0xffff;

const STORED: u64 = 0;
const DEFLATED: u64 = 8;
