//! One line about a tensor.

use alloc::string::String;

use crate::abi::DType;
use crate::text::{Piece, Shape, text};

/// A line without its end: name, dtype, shape, and the least, the greatest and the mean of the elements.
///
/// `data` is in C order and the CPU's byte order. NaN elements are left out of the three and counted.
/// Numbers have six significant digits, integers all of them.
pub fn line(name: &str, dtype: DType, shape: &[i64], data: &[u8]) -> String {
    let mut summary = Summary::default();
    data.chunks_exact(dtype.bytes()).for_each(|element| summary.add(number(dtype, element)));
    let mut line = text!("%  % %", name, dtype.name(), Shape(shape));
    summary.append(&mut line);
    line
}

/// The value of an element. One function for all types, since most of its time is memory's anyway.
fn number(dtype: DType, element: &[u8]) -> Number {
    let mut low = [0; 8];
    low[..element.len()].copy_from_slice(element);
    // The bytes are at the low addresses, which hold the high bits on a big-endian CPU.
    let missing = 64 - 8 * element.len() as u32;
    let bits = if cfg!(target_endian = "big") {
        u64::from_be_bytes(low) >> missing
    } else {
        u64::from_le_bytes(low)
    };
    match dtype {
        DType::F16 => Number::Float(f16(bits as u16)),
        DType::Bf16 => Number::Float(f32::from_bits((bits as u32) << 16).into()),
        DType::F32 => Number::Float(f32::from_bits(bits as u32).into()),
        DType::F64 => Number::Float(f64::from_bits(bits)),
        DType::I4 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            Number::Signed((bits << missing) as i64 >> missing)
        }
        DType::Bool | DType::U4 | DType::U8 | DType::U16 | DType::U32 | DType::U64 => Number::Unsigned(bits),
    }
}

/// Widens binary16 (IEEE 754-2019, 3.4).
fn f16(bits: u16) -> f64 {
    let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction / f64::from(1 << 24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * f64::from(1u32 << (exponent - 1)) / f64::from(1 << 24),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// An element: an integer as it is, since f64 doesn't hold all of 64 bits. A tensor has one kind of them only.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Piece for Number {
    fn append(&self, to: &mut String) {
        match self {
            Number::Signed(value) => value.append(to),
            Number::Unsigned(value) => value.append(to),
            Number::Float(value) => value.append(to),
        }
    }
}

#[derive(Default)]
struct Summary {
    range: Option<(Number, Number)>,
    sum: f64,
    count: usize,
    nans: usize,
}

impl Summary {
    fn add(&mut self, value: Number) {
        let float = match value {
            Number::Float(value) => value,
            Number::Signed(value) => value as f64,
            Number::Unsigned(value) => value as f64,
        };
        if float.is_nan() {
            self.nans += 1;
            return;
        }
        self.sum += float;
        self.count += 1;
        let (least, greatest) = self.range.get_or_insert((value, value));
        if value < *least {
            *least = value;
        }
        if value > *greatest {
            *greatest = value;
        }
    }

    fn append(&self, line: &mut String) {
        if let Some((least, greatest)) = &self.range {
            let mean = self.sum / self.count as f64;
            line.push_str(&text!("  min %  max %  mean %", *least, *greatest, mean));
        }
        if self.nans > 0 {
            line.push_str(&text!("  nan %", self.nans));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn numbers_of_every_kind() {
        let floats: Vec<u8> =
            [1.0f32, -2.5, 0.5, f32::NAN].iter().flat_map(|value| value.to_ne_bytes()).collect();
        assert_eq!(
            line("y", DType::F32, &[2, 2], &floats),
            "y  f32 [2, 2]  min -2.5  max 1  mean -0.333333  nan 1"
        );
        let long: Vec<u8> = [i64::MIN, i64::MAX].iter().flat_map(|value| value.to_ne_bytes()).collect();
        let text = "  min -9223372036854775808  max 9223372036854775807  mean 0";
        assert_eq!(line("l", DType::I64, &[2], &long), text!("l  i64 [2]%", text));
        assert_eq!(
            line("u", DType::U64, &[1], &[255; 8]).split("  ").nth(2),
            Some("min 18446744073709551615")
        );
        assert_eq!(line("b", DType::Bool, &[4], &[0, 1, 1, 0]), "b  bool [4]  min 0  max 1  mean 0.5");
        assert_eq!(line("n", DType::I4, &[3], &[0xff, 7, 0xf8]), "n  i4 [3]  min -8  max 7  mean -0.666667");
        assert_eq!(line("n", DType::U4, &[3], &[15, 7, 8]), "n  u4 [3]  min 7  max 15  mean 10");
        assert_eq!(line("e", DType::F64, &[0, 3], &[]), "e  f64 [0, 3]");
        assert_eq!(line("s", DType::I8, &[], &[0x80]), "s  i8 []  min -128  max -128  mean -128");
    }

    #[test]
    fn halves() {
        // Values from the tables in IEEE 754: least subnormal, greatest subnormal, least normal, one third, greatest.
        for (bits, value) in [
            (0x0001, 2f64.powi(-24)),
            (0x03ff, 1023.0 * 2f64.powi(-24)),
            (0x0400, 2f64.powi(-14)),
            (0x3555, 0.33325195),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xc000, -2.0),
        ] {
            assert!((f16(bits) - value).abs() < 1e-8 || f16(bits) == value, "{bits:x}");
        }
        assert!(f16(0x7c01).is_nan());
        assert_eq!(number(DType::Bf16, &0xc020u16.to_ne_bytes()), Number::Float(-2.5));
    }
}
