//! Tensors in a safetensors file: the length of the header, the header in JSON, the elements
//! (<https://huggingface.co/docs/safetensors>). Tensors are in the order of the reference implementation: larger elements first, then by name.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::run::Call;
use crate::abi::DType;
use crate::error::Error;
use crate::model::Tensor;
use crate::npy::element_count;
use crate::sys::file::{OutputFile, Sink};
use crate::text::{Piece, text};

/// Writes the first states of a call.
pub(super) fn write(mut output: OutputFile, states: &[Tensor<'_>], call: &Call<'_>) -> Result<(), Error> {
    let mut order: Vec<usize> = (0..states.len()).collect();
    let key = |place: &usize| (usize::MAX - states[*place].dtype.bytes(), states[*place].name);
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    let header = header(order.iter().map(|place| &states[*place]))?;
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    output.write_all(header.as_bytes())?;
    for place in order {
        let state = &states[place];
        let mut elements = call.state(place)[..bytes(state)?].to_vec();
        if cfg!(target_endian = "big") {
            elements.chunks_exact_mut(state.dtype.bytes()).for_each(<[u8]>::reverse);
        }
        output.write_all(&elements)?;
    }
    output.commit()
}

fn bytes(tensor: &Tensor<'_>) -> Result<usize, Error> {
    Ok(tensor.dtype.byte_len(element_count(&tensor.bounds())?).unwrap_or(0))
}

/// The header, padded with spaces to a multiple of eight bytes.
fn header<'t>(tensors: impl Iterator<Item = &'t Tensor<'t>>) -> Result<String, Error> {
    let mut header = String::from("{");
    let mut offset = 0;
    for tensor in tensors {
        if offset > 0 || header.len() > 1 {
            header.push(',');
        }
        append_string(&mut header, tensor.name);
        header.push_str(":{\"dtype\":");
        append_string(&mut header, dtype_name(tensor.dtype));
        header.push_str(",\"shape\":[");
        for (place, extent) in tensor.bounds().iter().enumerate() {
            if place > 0 {
                header.push(',');
            }
            extent.append(&mut header);
        }
        let end = offset + bytes(tensor)?;
        header.push_str(&text!("],\"data_offsets\":[%,%]}", offset, end));
        offset = end;
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    Ok(header)
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::I8 | DType::I4 => "I8",
        DType::I16 => "I16",
        DType::I32 => "I32",
        DType::I64 => "I64",
        DType::U8 | DType::U4 => "U8",
        DType::U16 => "U16",
        DType::U32 => "U32",
        DType::U64 => "U64",
        DType::F16 => "F16",
        DType::Bf16 => "BF16",
        DType::F32 => "F32",
        DType::F64 => "F64",
    }
}

/// A string in JSON (RFC 8259, 7).
fn append_string(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                to.push('\\');
                to.push(c);
            }
            '\0'..=' ' if c != ' ' => {
                let code = c as u32;
                to.push_str("\\u00");
                for digit in [code >> 4, code & 15] {
                    to.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            _ => to.push(c),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Dim;

    #[test]
    fn headers() {
        const DIMS: &[Dim] =
            &[Dim { bound: 2, symbol: -1, extent: -1 }, Dim { bound: 3, symbol: -1, extent: -1 }];
        let tensors = [
            Tensor { name: "a\"b\n", dtype: DType::F32, dims: DIMS },
            Tensor { name: "s", dtype: DType::F16, dims: &[] },
        ];
        let expected = r#"{"a\"b\u000a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"s":{"dtype":"F16","shape":[],"data_offsets":[24,26]}}"#;
        let header = header(tensors.iter()).expect("a header");
        assert_eq!(header.trim_end(), expected);
        assert_eq!(header.len() % 8, 0);
    }
}
