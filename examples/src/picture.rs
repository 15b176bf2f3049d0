//! Grids of samples as PNG files (ISO/IEC 15948): 8 bits of grey, no filter.

use crate::Result;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use std::io::Write;
use std::path::Path;

/// Writes images of 28 × 28 numbers from 0 to 1 side by side, `columns` in a row.
///
/// # Errors
/// A file that can't be written.
pub fn write_grid(path: &Path, images: &[f32], columns: usize) -> Result<()> {
    const SIDE: usize = 28;
    let count = images.len() / (SIDE * SIDE);
    let rows = count.div_ceil(columns);
    let width = columns * SIDE;
    let mut lines = Vec::with_capacity((width + 1) * rows * SIDE);
    for y in 0..rows * SIDE {
        lines.push(0);
        for x in 0..width {
            let image = y / SIDE * columns + x / SIDE;
            let pixel = images.get(image * SIDE * SIDE + y % SIDE * SIDE + x % SIDE).copied().unwrap_or(0.0);
            lines.push((pixel.clamp(0.0, 1.0) * 255.0).round() as u8);
        }
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&lines)?;
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend(((rows * SIDE) as u32).to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &encoder.finish()?);
    chunk(&mut file, b"IEND", &[]);
    Ok(std::fs::write(path, file)?)
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(crc.sum().to_be_bytes());
}
