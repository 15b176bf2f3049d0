//! Elements of constants and float attributes.

use crate::element::{ElementBytes, decode_int, encode_int};
use crate::text::cursor::Cursor;
use crate::text::lexer::Token;
use crate::text::{display_literal, parse_literal};
use crate::{DType, Tensor};
use serde_json::Value as Json;

/// One element.
pub(super) fn write(dtype: DType, bytes: &[u8]) -> Json {
    match dtype {
        DType::Bool => Json::Bool(decode_int(dtype, bytes) != 0),
        _ if dtype.is_float() => {
            let scalar = Tensor::new(dtype, Vec::new(), bytes.to_vec());
            Json::String(scalar.map_or_else(|_| String::new(), |scalar| display_literal(&scalar).to_string()))
        }
        // Every integer of the IR is an i64 or a u64.
        _ => {
            let value = decode_int(dtype, bytes);
            let unsigned = u64::try_from(value).map(Json::from);
            unsigned.unwrap_or_else(|_| Json::from(i64::try_from(value).unwrap_or(i64::MIN)))
        }
    }
}

/// One element; `None` if the JSON is none of the type.
pub(super) fn read(dtype: DType, json: &Json) -> Option<ElementBytes> {
    match json {
        Json::Bool(value) if dtype == DType::Bool => Some(encode_int(dtype, i128::from(*value))),
        Json::Number(number) if dtype != DType::Bool && !dtype.is_float() => {
            let value = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from))?;
            let (low, high) = dtype.int_range()?;
            (low..=high).contains(&value).then(|| encode_int(dtype, value))
        }
        Json::String(text) if dtype.is_float() => {
            let mut cursor = Cursor::new(text);
            let scalar = parse_literal(&mut cursor, dtype, Some(&[]), 0).ok()?;
            (cursor.token() == Token::End).then(|| ElementBytes::from_slice(scalar.data()))
        }
        _ => None,
    }
}
