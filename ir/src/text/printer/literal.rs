//! Elements of constants, in the shortest decimal form that gives the same bits.

use crate::element::{decode_float, decode_int, encode_float};
use crate::{DType, Tensor};
use std::fmt::{self, Write};

/// Lists longer than this are broken into lines.
const LINE: usize = 100;

/// The literal of a tensor after a blank, or on lines of its own where it is long.
pub(super) fn write_literal(out: &mut dyn Write, tensor: &Tensor) -> fmt::Result {
    let short = tensor.len() <= LINE || tensor.splat_value().is_some();
    if short {
        let mut line = String::new();
        write_line(&mut line, tensor)?;
        if line.len() <= LINE {
            return write!(out, " {line}");
        }
    }
    write_lists(out, tensor, true)
}

/// The literal on one line: an element, `splat(…)` or nested lists.
pub(super) fn write_line(out: &mut dyn Write, tensor: &Tensor) -> fmt::Result {
    let element =
        |out: &mut dyn Write| write_element(out, tensor.dtype(), &tensor.data()[..tensor.dtype().bytes()]);
    match tensor.shape() {
        _ if tensor.is_empty() => out.write_str("[]"),
        [] => element(out),
        _ if tensor.len() > 1 && tensor.splat_value().is_some() => {
            out.write_str("splat(")?;
            element(out)?;
            out.write_char(')')
        }
        _ => write_lists(out, tensor, false),
    }
}

/// Nested lists on one line, or with one line per innermost list, itself broken where it is long.
fn write_lists(out: &mut dyn Write, tensor: &Tensor, lines: bool) -> fmt::Result {
    let (shape, rank) = (tensor.shape(), tensor.shape().len());
    let mut index = vec![0usize; rank];
    // The outermost level at which a list begins at the next element.
    let mut opened = 0;
    let mut column = 0;
    let mut element = String::new();
    for (place, chunk) in tensor.data().chunks_exact(tensor.dtype().bytes()).enumerate() {
        element.clear();
        write_element(&mut element, tensor.dtype(), chunk)?;
        let starts_list = opened < rank;
        if lines && (starts_list || column + element.len() > LINE) {
            write!(out, "\n{:1$}", "", 2 + opened)?;
            column = 2 + rank;
        } else if place > 0 {
            out.write_char(' ')?;
        }
        (opened..rank).try_for_each(|_| out.write_char('['))?;
        out.write_str(&element)?;
        column += element.len() + 2;
        // Count up; the levels that overflow are the lists that end here.
        opened = rank;
        while opened > 0 {
            index[opened - 1] += 1;
            if index[opened - 1] < shape[opened - 1] {
                out.write_char(',')?;
                break;
            }
            index[opened - 1] = 0;
            opened -= 1;
            out.write_char(']')?;
        }
    }
    Ok(())
}

/// One element. NaNs but the plain one are written as bits.
pub(super) fn write_element(out: &mut dyn Write, dtype: DType, bytes: &[u8]) -> fmt::Result {
    match dtype {
        DType::Bool => out.write_str(if decode_int(dtype, bytes) != 0 { "true" } else { "false" }),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => write_float(out, dtype, bytes),
        _ => write!(out, "{}", decode_int(dtype, bytes)),
    }
}

fn write_float(out: &mut dyn Write, dtype: DType, bytes: &[u8]) -> fmt::Result {
    let value = decode_float(dtype, bytes);
    if value.is_nan() {
        if encode_float(dtype, f64::NAN).as_slice() == bytes {
            return out.write_str("nan");
        }
        out.write_str("0x")?;
        return bytes.iter().rev().try_for_each(|byte| write!(out, "{byte:02x}"));
    }
    match dtype {
        // Rust's debug form of floats is the shortest that reads back exactly, and has a point or exponent.
        DType::F64 => write!(out, "{value:?}"),
        DType::F32 => write!(out, "{:?}", value as f32),
        _ => write!(out, "{:?}", shortest(dtype, bytes, value)),
    }
}

/// The `f64` with the fewest digits that rounds to this element of a 16-bit type.
fn shortest(dtype: DType, bytes: &[u8], value: f64) -> f64 {
    let rounded = (0..17).map(|digits| format!("{value:.digits$e}").parse().unwrap_or(value));
    let mut exact = rounded.filter(|candidate| encode_float(dtype, *candidate).as_slice() == bytes);
    exact.next().unwrap_or(value)
}
