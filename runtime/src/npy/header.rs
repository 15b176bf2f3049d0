//! The header of a `.npy` file: magic, version, length, and a Python dictionary as text.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::DType;
use crate::error::Error;
use crate::text::{Piece, parse as parse_number, text};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// What NumPy pads the header to, so that the data can be mapped at an aligned address.
const HEADER_ALIGNMENT: usize = 64;
/// NumPy's own limit.
const MAX_RANK: usize = 64;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Element type.
    pub dtype: DType,
    /// Whether the bytes of each element are in the order that this CPU doesn't use.
    pub swapped: bool,
    /// Whether the first dimension is the innermost.
    pub fortran_order: bool,
    /// Extents, none negative, with a product that fits memory.
    pub shape: Vec<i64>,
}

fn bad(what: &str) -> Error {
    Error::bad_input(text!("not a valid npy file: %", what))
}

impl Header {
    /// Splits a file into its header and exactly the bytes of the elements.
    ///
    /// # Errors
    /// As [`super::read`].
    pub fn read(file: &[u8]) -> Result<(Header, &[u8]), Error> {
        let rest = file.strip_prefix(MAGIC).ok_or_else(|| bad("it has another signature"))?;
        let (length, rest) = match rest {
            [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            [1..=3, ..] | [] => return Err(bad("it ends inside its header")),
            [_, ..] => return Err(Error::unsupported(text!("an npy format newer than 3.0"))),
        };
        let (text, data) = rest.split_at_checked(length).ok_or_else(|| bad("it ends inside its header"))?;
        let header = parse(text)?;
        let bytes = super::element_count(&header.shape)
            .ok()
            .and_then(|count| header.dtype.byte_len(count))
            .ok_or_else(|| bad("its shape is too large"))?;
        if data.len() != bytes {
            return Err(bad(&text!("it holds % bytes of data instead of %", data.len(), bytes)));
        }
        Ok((header, data))
    }
}

/// The header for an array in C order and this CPU's byte order.
pub fn write_header(dtype: DType, shape: &[i64]) -> Vec<u8> {
    let order = match dtype.bytes() {
        1 => "|",
        _ if cfg!(target_endian = "big") => ">",
        _ => "<",
    };
    let name = match dtype {
        DType::Bool => "b1",
        DType::I8 | DType::I4 => "i1",
        DType::I16 => "i2",
        DType::I32 => "i4",
        DType::I64 => "i8",
        DType::U8 | DType::U4 => "u1",
        DType::U16 => "u2",
        DType::U32 => "u4",
        DType::U64 => "u8",
        DType::F16 => "f2",
        DType::Bf16 => "V2",
        DType::F32 => "f4",
        DType::F64 => "f8",
    };
    let mut dictionary = text!("{'descr': '%%', 'fortran_order': False, 'shape': (", order, name);
    for (index, extent) in shape.iter().enumerate() {
        if index > 0 {
            dictionary.push_str(", ");
        }
        extent.append(&mut dictionary);
    }
    dictionary.push_str(if shape.len() == 1 { ",), }" } else { "), }" });

    // Magic, version and a length of two bytes; a rank within NumPy's limit never needs four.
    let fixed = MAGIC.len() + 4;
    let padded = (fixed + dictionary.len() + 1).next_multiple_of(HEADER_ALIGNMENT);
    let mut header = Vec::with_capacity(padded);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&[1, 0]);
    header.extend_from_slice(&((padded - fixed) as u16).to_le_bytes());
    header.extend_from_slice(dictionary.as_bytes());
    header.resize(padded - 1, b' ');
    header.push(b'\n');
    header
}

/// Parses the dictionary: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order.
fn parse(text: &[u8]) -> Result<Header, Error> {
    let mut cursor = Cursor { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    cursor.expect(b'{')?;
    while !cursor.accept(b'}') {
        let key = cursor.string()?;
        cursor.expect(b':')?;
        match key {
            b"descr" => descr = Some(cursor.descr()?),
            b"fortran_order" => fortran_order = Some(cursor.boolean()?),
            b"shape" => shape = Some(cursor.shape()?),
            _ => return Err(bad("its header has an unknown key")),
        }
        if !cursor.accept(b',') {
            cursor.expect(b'}')?;
            break;
        }
    }
    cursor.skip_space();
    if !cursor.rest.is_empty() {
        return Err(bad("its header goes on after the end"));
    }
    let (Some((dtype, swapped)), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
        return Err(bad("its header lacks descr, fortran_order or shape"));
    };
    Ok(Header { dtype, swapped, fortran_order, shape })
}

/// A parser of the few Python literals that a header consists of.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn accept(&mut self, symbol: u8) -> bool {
        self.skip_space();
        match self.rest {
            [first, rest @ ..] if *first == symbol => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, symbol: u8) -> Result<(), Error> {
        if self.accept(symbol) { Ok(()) } else { Err(bad("its header is malformed")) }
    }

    fn string(&mut self) -> Result<&'a [u8], Error> {
        let quote = if self.accept(b'\'') {
            b'\''
        } else {
            self.expect(b'"')?;
            b'"'
        };
        let end =
            self.rest.iter().position(|byte| *byte == quote).ok_or_else(|| bad("its header is malformed"))?;
        let (string, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or(&[]);
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        self.skip_space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(bad("its header is malformed"))
    }

    fn shape(&mut self) -> Result<Vec<i64>, Error> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            if shape.len() == MAX_RANK {
                return Err(bad("it has too many dimensions"));
            }
            shape.push(self.extent()?);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn extent(&mut self) -> Result<i64, Error> {
        self.skip_space();
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        // Python 2 wrote long integers with an L.
        self.rest = rest.strip_prefix(b"L").unwrap_or(rest);
        if digits.is_empty() {
            return Err(bad("its header is malformed"));
        }
        parse_number(digits)
            .and_then(|number| i64::try_from(number).ok())
            .ok_or_else(|| bad("its shape is too large"))
    }

    /// The element type and whether its bytes must be swapped.
    fn descr(&mut self) -> Result<(DType, bool), Error> {
        self.skip_space();
        if self.rest.first() == Some(&b'[') {
            return Err(Error::unsupported(text!("an npy file of records")));
        }
        let descr = self.string()?;
        let (order, name) = match descr {
            [order @ (b'<' | b'>' | b'|' | b'='), name @ ..] => (*order, name),
            name => (b'=', name),
        };
        let dtype = match name {
            b"b1" | b"?" => DType::Bool,
            b"i1" => DType::I8,
            b"i2" => DType::I16,
            b"i4" => DType::I32,
            b"i8" => DType::I64,
            b"u1" => DType::U8,
            b"u2" => DType::U16,
            b"u4" => DType::U32,
            b"u8" => DType::U64,
            b"f2" => DType::F16,
            b"V2" => DType::Bf16,
            b"f4" => DType::F32,
            b"f8" => DType::F64,
            _ => {
                let name = core::str::from_utf8(descr).map_or_else(|_| String::from("?"), String::from);
                return Err(Error::unsupported(text!("an npy file of element type '%'", name)));
            }
        };
        let foreign = if cfg!(target_endian = "big") { b'<' } else { b'>' };
        Ok((dtype, dtype.bytes() > 1 && order == foreign))
    }
}
