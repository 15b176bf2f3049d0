//! Machine code as text.

use super::encode::Encoded;
use iced_x86::{Formatter, IntelFormatter};
use std::fmt::Write;

/// One instruction per line, with labels where blocks begin.
pub fn text(encoded: &Encoded) -> String {
    let mut formatter = IntelFormatter::new();
    let mut out = String::new();
    let mut blocks = encoded.blocks.iter().enumerate().peekable();
    for &(place, ref instruction) in &encoded.listing {
        while let Some((block, begin)) = blocks.peek()
            && **begin <= place
        {
            let _ = writeln!(out, "block{block}:");
            blocks.next();
        }
        let _ = write!(out, "{place:6x}  ");
        formatter.format(instruction, &mut out);
        out.push('\n');
    }
    out
}
