//! The elements of constants.
//!
//! ```text
//! literal = element | list | "splat" "(" element ")" | "file" text [text]
//! list    = "[" { (list | element) "," } "]"            one level per dimension
//! element = ["-"] (integer | real | "inf") | "nan" | hexadecimal | "true" | "false"
//! ```
//! A hexadecimal integer of a float type is the element's bits, with all its digits: NaNs are exact.

use super::Parser;
use super::dim::parse_integer;
use crate::element::{ElementBytes, encode_float, encode_int};
use crate::text::cursor::{Cursor, Failed, Parse};
use crate::text::lexer::Token;
use crate::text::{ParseErrorKind, Span};
use crate::{DType, Tensor, TensorType};
use smallvec::SmallVec;

/// A literal of a tensor: an element, nested lists, or `splat(…)`, which may take up to `max_splat_bytes`. Without a shape it is that of the
/// lists.
pub fn parse_literal(
    cursor: &mut Cursor<'_>,
    dtype: DType,
    shape: Option<&[usize]>,
    max_splat_bytes: usize,
) -> Parse<Tensor> {
    let shape = match shape {
        Some(shape) => shape.to_vec(),
        None => list_shape(cursor),
    };
    let start = cursor.span();
    let data = match cursor.token() {
        Token::Word("splat") => splat(cursor, dtype, &shape, max_splat_bytes)?,
        _ => dense(cursor, dtype, &shape)?,
    };
    let span = start.to(cursor.previous());
    Tensor::new(dtype, shape, data)
        .map_err(|error| cursor.error(span, ParseErrorKind::Other(error.to_string())))
}

impl Parser<'_, '_> {
    /// A literal of a type; `key` names the constant within a file.
    pub(super) fn tensor(&mut self, (ty, ty_span): &(TensorType, Span), key: &str) -> Parse<Tensor> {
        let start = self.cursor.span();
        let Some(shape) = ty.const_shape() else {
            let message = "the extents of a constant must be numbers and not negative".into();
            return Err(self.cursor.error(*ty_span, ParseErrorKind::Other(message)));
        };
        match self.cursor.token() {
            Token::Word("file") => self.file(ty, shape, key),
            Token::Punctuation("...") => {
                let message = "the elements of this constant were left out when the text was printed".into();
                Err(self.cursor.error(start, ParseErrorKind::Other(message)))
            }
            token => {
                let left = self.options.max_splat_bytes.saturating_sub(self.splat_bytes);
                let tensor = parse_literal(&mut self.cursor, ty.dtype, Some(&shape), left)?;
                if token == Token::Word("splat") {
                    self.splat_bytes += tensor.data().len();
                }
                Ok(tensor)
            }
        }
    }

    /// `file "weights.safetensors" "key"`.
    fn file(&mut self, ty: &TensorType, shape: Vec<usize>, key: &str) -> Parse<Tensor> {
        let start = self.cursor.span();
        self.cursor.advance();
        let file = self.cursor.text("the name of a file, quoted")?;
        let own_key = match self.cursor.token() {
            Token::Text(_) => self.cursor.text("a key")?,
            _ => key.to_owned(),
        };
        let span = start.to(self.cursor.previous());
        let tensor = match self.options.weights {
            Some(read) => read(&file, &own_key),
            None => Err(format!("there is no access to the file `{file}`")),
        };
        let tensor = tensor.map_err(|message| self.cursor.error(span, ParseErrorKind::File(message)))?;
        if tensor.dtype() != ty.dtype || tensor.shape() != shape {
            let kind = ParseErrorKind::Type { stated: Box::new(ty.clone()), actual: Box::new(tensor.ty()) };
            return Err(self.cursor.error(span, kind));
        }
        Ok(tensor)
    }
}

/// The shape of nested lists, as far as the first list at each level tells it; the cursor stays.
fn list_shape(cursor: &mut Cursor<'_>) -> Vec<usize> {
    let start = cursor.checkpoint();
    let mut shape = Vec::new();
    while cursor.eat("[") {
        shape.push(0);
    }
    let mut depth = shape.len();
    // Levels whose first list has not ended.
    let mut open = depth;
    let mut after_item = false;
    while depth > 0 && cursor.token() != Token::End {
        match cursor.token() {
            Token::Punctuation("[") => {
                depth += 1;
                after_item = false;
            }
            Token::Punctuation(mark @ ("," | "]")) => {
                if after_item && depth <= open {
                    shape[depth - 1] += 1;
                }
                after_item = mark == "]";
                if mark == "]" {
                    depth -= 1;
                    open = open.min(depth);
                }
            }
            _ => after_item = true,
        }
        cursor.advance();
    }
    cursor.rewind(start);
    shape
}

/// `splat(0.5)`.
fn splat(cursor: &mut Cursor<'_>, dtype: DType, shape: &[usize], max_bytes: usize) -> Parse<Vec<u8>> {
    let start = cursor.span();
    cursor.advance();
    cursor.expect("(")?;
    let element = element(cursor, dtype)?;
    cursor.expect(")")?;
    let bytes = shape.iter().try_fold(dtype.bytes(), |product, extent| product.checked_mul(*extent));
    match bytes.filter(|bytes| *bytes <= max_bytes) {
        Some(bytes) => Ok(element.repeat(bytes / dtype.bytes())),
        None => {
            let kind = ParseErrorKind::Limit("the constants of this text take too much memory");
            Err(cursor.error(start, kind))
        }
    }
}

/// An element or nested lists of elements. The nesting is counted, not recursed into.
fn dense(cursor: &mut Cursor<'_>, dtype: DType, shape: &[usize]) -> Parse<Vec<u8>> {
    let mut data = Vec::new();
    if shape.contains(&0) && cursor.eat("[") {
        cursor.expect("]")?;
        return Ok(data);
    }
    // Items so far at each open level, and where the level began.
    let mut levels: Vec<(usize, Span)> = Vec::new();
    loop {
        while levels.len() < shape.len() {
            levels.push((0, cursor.expect("[")?));
        }
        data.extend_from_slice(&element(cursor, dtype)?);
        // Close what is full, up to the next comma.
        loop {
            let Some((count, start)) = levels.pop() else { return Ok(data) };
            let count = count + 1;
            if cursor.eat(",") && !cursor.at("]") {
                levels.push((count, start));
                break;
            }
            cursor.expect("]")?;
            let expected = shape[levels.len()];
            if expected != count {
                let span = start.to(cursor.previous());
                return Err(
                    cursor.error(span, ParseErrorKind::Count { what: "item", expected, found: count })
                );
            }
        }
    }
}

fn element(cursor: &mut Cursor<'_>, dtype: DType) -> Parse<ElementBytes> {
    let start = cursor.span();
    let negative = cursor.eat("-");
    let token = cursor.token();
    let (Token::Word(text) | Token::Integer(text) | Token::Real(text)) = token else {
        return Err(cursor.unexpected("an element"));
    };
    cursor.advance();
    let element = match dtype.is_float() {
        true => float_element(dtype, token, negative),
        false => int_element(dtype, token, negative),
    };
    element.ok_or_else(|| -> Failed {
        let text = format!("{}{text}", if negative { "-" } else { "" });
        let kind = ParseErrorKind::Number { text, expected: dtype.to_string() };
        cursor.error(start.to(cursor.previous()), kind)
    })
}

fn int_element(dtype: DType, token: Token<'_>, negative: bool) -> Option<ElementBytes> {
    let value = match token {
        Token::Word("true") if dtype == DType::Bool && !negative => 1,
        Token::Word("false") if dtype == DType::Bool && !negative => 0,
        Token::Integer(text) if dtype != DType::Bool => parse_integer(text, negative)?,
        _ => return None,
    };
    let (low, high) = dtype.int_range()?;
    (low..=high).contains(&value).then(|| encode_int(dtype, value))
}

fn float_element(dtype: DType, token: Token<'_>, negative: bool) -> Option<ElementBytes> {
    let text = match token {
        Token::Integer(text) => match text.strip_prefix("0x") {
            Some(digits) => return float_bits(dtype, digits).filter(|_| !negative),
            None => text,
        },
        Token::Real(text) | Token::Word(text @ "inf") => text,
        Token::Word(text @ "nan") if !negative => text,
        _ => return None,
    };
    let sign = if negative { -1.0 } else { 1.0 };
    match dtype {
        // Rounding to f64 first could round twice.
        DType::F32 => {
            let value = text.parse::<f32>().ok()?;
            Some(SmallVec::from_slice(&(sign as f32 * value).to_le_bytes()))
        }
        _ => text.parse::<f64>().ok().map(|value| encode_float(dtype, sign * value)),
    }
}

fn float_bits(dtype: DType, digits: &str) -> Option<ElementBytes> {
    let bytes = dtype.bytes();
    let bits = u64::from_str_radix(digits, 16).ok()?;
    (digits.len() == 2 * bytes).then(|| SmallVec::from_slice(&bits.to_le_bytes()[..bytes]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_lists() {
        let shape = |text: &str| list_shape(&mut Cursor::new(text));
        assert!(shape("1.5").is_empty());
        assert_eq!(shape("[]"), [0]);
        assert_eq!(shape("[1, 2, 3,]"), [3]);
        assert_eq!(shape("[[1, 2, 3], [4, 5, 6]]"), [2, 3]);
        assert_eq!(shape("[[[1], [2]]] [7, 8]"), [1, 2, 1]);
        assert_eq!(shape("[[1"), [0, 0]);
    }

    #[test]
    fn elements_have_the_bits_that_they_state() {
        let bits = |dtype: DType, text: &str| {
            let tensor = parse_literal(&mut Cursor::new(text), dtype, None, 0).ok()?;
            Some(tensor.data().iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)))
        };
        // Bit patterns of IEEE 754 and bfloat16, by hand.
        assert_eq!(bits(DType::F32, "-0.0"), Some(0x8000_0000));
        assert_eq!(bits(DType::F32, "-inf"), Some(0xff80_0000));
        assert_eq!(bits(DType::F32, "nan"), Some(0x7fc0_0000));
        assert_eq!(bits(DType::F32, "0xffc00001"), Some(0xffc0_0001));
        assert_eq!(bits(DType::F64, "1"), Some(0x3ff0_0000_0000_0000));
        assert_eq!(bits(DType::F16, "65504"), Some(0x7bff));
        assert_eq!(bits(DType::F16, "5.9604645e-8"), Some(1), "the smallest subnormal");
        assert_eq!(bits(DType::BF16, "1.0078125"), Some(0x3f81));
        assert_eq!(bits(DType::I4, "-8"), Some(0xf8));
        assert_eq!(bits(DType::U64, "0xffffffffffffffff"), Some(u64::MAX));
        // 1 + 2⁻²⁴ + 2⁻⁶⁰ lies just above the middle of two floats; rounded to f64 first, it would be the middle.
        assert_eq!(bits(DType::F32, "1.000000059604644775390625867361738"), Some(0x3f80_0001));
        let refused = [
            (DType::I8, "128"),
            (DType::U8, "-1"),
            (DType::I32, "1.0"),
            (DType::Bool, "1"),
            (DType::F32, "true"),
            (DType::F16, "0x7e0"),
            (DType::F32, "-0x7fc00000"),
            (DType::F64, "-nan"),
            (DType::I64, "inf"),
        ];
        for (dtype, text) in refused {
            assert_eq!(bits(dtype, text), None, "{dtype} {text}");
        }
    }
}
