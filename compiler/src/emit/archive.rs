//! Static libraries of one object, with the table of symbols that linkers want.
//!
//! The common format of System V and GNU `ar` (also what Windows linkers take) and, for Mach-O, that of BSD with a `__.SYMDEF` member. Members begin at even
//! offsets; sizes and dates are decimal text (System V ABI, chapter 7; `ar.h`, `ranlib.h` of macOS).

use std::io::{self, Read, Write};
use target_lexicon::BinaryFormat;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

fn header(name: &str, size: usize) -> [u8; HEADER] {
    let mut header = [b' '; HEADER];
    let mut put = |place: usize, text: &str| {
        header[place..].iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    };
    put(0, name);
    // Date, owner, group and mode: the same for everyone, so that the same model gives the same library.
    [(16, "0"), (28, "0"), (34, "0"), (40, "100644")].into_iter().for_each(|(place, text)| put(place, text));
    put(48, &size.to_string());
    put(58, "`\n");
    header
}

/// The table of symbols, all of which are in the member that follows it.
fn symbol_table(format: BinaryFormat, symbols: &[String]) -> (&'static str, Vec<u8>) {
    let strings: Vec<u8> = symbols.iter().flat_map(|symbol| symbol.bytes().chain([0])).collect();
    let mut table = Vec::new();
    if format == BinaryFormat::Macho {
        // Sizes of the entries and of the strings, each before them, little-endian; entries of name and member.
        let padded = strings.len().next_multiple_of(8);
        let size = 4 + 8 * symbols.len() + 4 + padded;
        let member = (MAGIC.len() + HEADER + size.next_multiple_of(2)) as u32;
        table.extend((8 * symbols.len() as u32).to_le_bytes());
        let mut name = 0u32;
        for symbol in symbols {
            table.extend([name.to_le_bytes(), member.to_le_bytes()].concat());
            name += symbol.len() as u32 + 1;
        }
        table.extend((padded as u32).to_le_bytes());
        table.extend(&strings);
        table.resize(size, 0);
        return ("__.SYMDEF", table);
    }
    let size = 4 + 4 * symbols.len() + strings.len();
    let member = (MAGIC.len() + HEADER + size.next_multiple_of(2)) as u32;
    table.extend((symbols.len() as u32).to_be_bytes());
    symbols.iter().for_each(|_| table.extend(member.to_be_bytes()));
    table.extend(&strings);
    ("/", table)
}

/// Writes a library with one object, of `size` bytes, that defines `symbols`.
///
/// # Errors
/// Those of reading and writing.
pub fn write_archive(
    output: &mut impl Write,
    format: BinaryFormat,
    name: &str,
    (object, size): (&mut impl Read, u64),
    symbols: &[String],
) -> io::Result<()> {
    let (table_name, mut table) = symbol_table(format, symbols);
    let length = table.len();
    table.resize(length.next_multiple_of(2), b'\n');
    output.write_all(MAGIC)?;
    output.write_all(&header(table_name, length))?;
    output.write_all(&table)?;
    // GNU names end with a slash; 15 characters fit without a table of long names.
    let name: String = name.chars().take(15).collect();
    let name = if format == BinaryFormat::Macho { name } else { format!("{name}/") };
    output.write_all(&header(&name, usize::try_from(size).map_err(io::Error::other)?))?;
    io::copy(object, output)?;
    match size % 2 {
        0 => Ok(()),
        _ => output.write_all(b"\n"),
    }
}
