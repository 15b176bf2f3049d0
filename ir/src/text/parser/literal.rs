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
use crate::text::cursor::Parse;
use crate::text::lexer::Token;
use crate::text::{ParseErrorKind, Span};
use crate::{DType, Tensor, TensorType};
use smallvec::SmallVec;

impl Parser<'_, '_> {
    /// A literal of a type; `key` names the constant within a file.
    pub(super) fn tensor(&mut self, ty: &TensorType, key: &str) -> Parse<Tensor> {
        let start = self.cursor.span();
        let Some(shape) = ty.const_shape() else {
            let message =
                format!("a constant can't have the type {ty}: its extents must be numbers, not negative");
            return Err(self.cursor.error(start, ParseErrorKind::Other(message)));
        };
        let data = match self.cursor.token() {
            Token::Word("file") => return self.file(ty, shape, key),
            Token::Word("splat") => self.splat(ty.dtype, &shape)?,
            Token::Punctuation("...") => {
                let message = "the elements of this constant were left out when the text was printed".into();
                return Err(self.cursor.error(start, ParseErrorKind::Other(message)));
            }
            _ => self.dense(ty.dtype, &shape)?,
        };
        let span = start.to(self.cursor.previous());
        Tensor::new(ty.dtype, shape, data)
            .map_err(|error| self.cursor.error(span, ParseErrorKind::Other(error.to_string())))
    }

    /// `splat(0.5)`.
    fn splat(&mut self, dtype: DType, shape: &[usize]) -> Parse<Vec<u8>> {
        let start = self.cursor.span();
        self.cursor.advance();
        self.cursor.expect("(")?;
        let element = self.element(dtype)?;
        self.cursor.expect(")")?;
        let bytes = shape.iter().try_fold(dtype.bytes(), |product, extent| product.checked_mul(*extent));
        let total = bytes.and_then(|bytes| self.splat_bytes.checked_add(bytes));
        match (bytes, total) {
            (Some(bytes), Some(total)) if total <= self.options.max_splat_bytes => {
                self.splat_bytes = total;
                Ok(element.repeat(bytes / dtype.bytes()))
            }
            _ => Err(self
                .cursor
                .error(start, ParseErrorKind::Limit("the constants of this text take too much memory"))),
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
            let kind = ParseErrorKind::Type { stated: ty.clone(), actual: tensor.ty() };
            return Err(self.cursor.error(span, kind));
        }
        Ok(tensor)
    }

    /// An element or nested lists of elements. The nesting is counted, not recursed into.
    fn dense(&mut self, dtype: DType, shape: &[usize]) -> Parse<Vec<u8>> {
        let mut data = Vec::new();
        if shape.contains(&0) && self.cursor.at("[") {
            self.cursor.advance();
            self.cursor.expect("]")?;
            return Ok(data);
        }
        // Elements or lists so far at each open level, and where the level began.
        let mut levels: Vec<(usize, Span)> = Vec::new();
        loop {
            if levels.len() < shape.len() {
                let span = self.cursor.expect("[")?;
                levels.push((0, span));
                continue;
            }
            data.extend_from_slice(&self.element(dtype)?);
            // Close what is full, up to the next comma.
            loop {
                let depth = levels.len();
                let Some((count, start)) = levels.last_mut() else { return Ok(data) };
                *count += 1;
                let (count, start) = (*count, *start);
                let comma = self.cursor.eat(",");
                if comma && !self.cursor.at("]") {
                    break;
                }
                self.cursor.expect("]")?;
                let span = start.to(self.cursor.previous());
                if !self.check_count("items", span, shape[depth - 1], count) {
                    return Err(crate::text::cursor::Failed);
                }
                levels.pop();
            }
        }
    }

    fn element(&mut self, dtype: DType) -> Parse<ElementBytes> {
        let start = self.cursor.span();
        let negative = self.cursor.eat("-");
        let token = self.cursor.token();
        let (Token::Word(text) | Token::Integer(text) | Token::Real(text)) = token else {
            return Err(self.cursor.unexpected("an element"));
        };
        self.cursor.advance();
        let element = match dtype.is_float() {
            true => float_element(dtype, token, negative),
            false => int_element(dtype, token, negative),
        };
        element.ok_or_else(|| {
            let text = format!("{}{text}", if negative { "-" } else { "" });
            let kind = ParseErrorKind::Number { text, expected: dtype.to_string() };
            self.cursor.error(start.to(self.cursor.previous()), kind)
        })
    }
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
            text.parse::<f32>().ok().map(|value| SmallVec::from_slice(&(sign as f32 * value).to_le_bytes()))
        }
        _ => text.parse::<f64>().ok().map(|value| encode_float(dtype, sign * value)),
    }
}

fn float_bits(dtype: DType, digits: &str) -> Option<ElementBytes> {
    let bytes = dtype.bytes();
    let bits = u64::from_str_radix(digits, 16).ok()?;
    (digits.len() == 2 * bytes).then(|| SmallVec::from_slice(&bits.to_le_bytes()[..bytes]))
}
