//! NumPy's `.npz` files: a ZIP archive with a `.npy` file per array.
//!
//! Format: PKWARE's APPNOTE.TXT 6.3.10, with its 64-bit extension (4.5.3). Members may be stored or deflated; they are
//! written stored, with a fixed date, so that equal arrays make equal files.

mod crc32;
mod read;
mod write;

pub use read::Archive;
pub use write::Writer;

// Signatures: 4.3.7, 4.3.12, 4.3.14, 4.3.15 and 4.3.16.
const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

/// Header ID of the extra field that holds 64-bit sizes and offsets.
const EXTRA_64: u16 = 1;
/// In a 32-bit field: look in the extra field or the 64-bit end record.
const IN_EXTRA: u32 = u32::MAX;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
