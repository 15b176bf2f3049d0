//! Messages put together without the formatting machinery of `core::fmt`, which would be half of a small executable.

use alloc::string::String;
use core::ffi::c_char;

/// Something that has a text form.
pub(crate) trait Piece {
    /// Appends the text form.
    fn append(&self, to: &mut String);
}

/// The template with each `%` replaced by the text of the piece at that place.
macro_rules! text {
    ($template:literal $(, $piece:expr)* $(,)?) => {{
        const PIECES: &[&str] = &[$(stringify!($piece)),*];
        const { assert!($crate::text::count_places($template) == PIECES.len()) };
        $crate::text::fill($template, &[$(&$piece as &dyn $crate::text::Piece),*])
    }};
}
pub(crate) use text;

/// How many `%` a template has.
pub(crate) const fn count_places(template: &str) -> usize {
    let (bytes, mut index, mut count) = (template.as_bytes(), 0, 0);
    while index < bytes.len() {
        count += (bytes[index] == b'%') as usize;
        index += 1;
    }
    count
}

/// What [`text!`] calls. One template and pointers, so that a message costs its user next to no code.
#[inline(never)]
pub(crate) fn fill(template: &str, pieces: &[&dyn Piece]) -> String {
    let mut string = String::new();
    let mut rest = template;
    for piece in pieces {
        let place = rest.bytes().position(|byte| byte == b'%').unwrap_or(rest.len());
        string.push_str(rest.get(..place).unwrap_or(""));
        piece.append(&mut string);
        rest = rest.get(place + 1..).unwrap_or("");
    }
    string.push_str(rest);
    string
}

impl Piece for &str {
    fn append(&self, to: &mut String) {
        to.push_str(self);
    }
}

impl Piece for String {
    fn append(&self, to: &mut String) {
        to.push_str(self);
    }
}

impl Piece for u64 {
    fn append(&self, to: &mut String) {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        let mut rest = *self;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for digit in &digits[start..] {
            to.push(char::from(*digit));
        }
    }
}

impl Piece for i64 {
    fn append(&self, to: &mut String) {
        if *self < 0 {
            to.push('-');
        }
        self.unsigned_abs().append(to);
    }
}

impl Piece for usize {
    fn append(&self, to: &mut String) {
        (*self as u64).append(to);
    }
}

/// Six significant digits, as C's `%g`.
impl Piece for f64 {
    fn append(&self, to: &mut String) {
        append_double(to, c"%g", *self);
    }
}

/// The number that consists of these decimal digits; `None` if there are none, others, or too many.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    let mut number = None;
    for digit in digits {
        let value = u64::from(digit.wrapping_sub(b'0'));
        let next = number.unwrap_or(0u64).checked_mul(10)?.checked_add(value)?;
        number = (value < 10).then_some(next);
        number?;
    }
    number
}

/// A time in milliseconds with the digits after the point that a microsecond needs.
pub(crate) struct Milliseconds(pub f64);

impl Piece for Milliseconds {
    fn append(&self, to: &mut String) {
        append_double(to, c"%.4f", self.0);
    }
}

/// A share in percent, with two digits after the point.
pub(crate) struct Percent(pub f64);

impl Piece for Percent {
    fn append(&self, to: &mut String) {
        append_double(to, c"%.2f %%", self.0 * 100.0);
    }
}

/// A loss, with four digits after the point.
pub(crate) struct Loss(pub f64);

impl Piece for Loss {
    fn append(&self, to: &mut String) {
        append_double(to, c"%.4f", self.0);
    }
}

fn append_double(to: &mut String, format: &core::ffi::CStr, value: f64) {
    let mut buffer = [0u8; 400];
    // SAFETY: the buffer is as long as stated, and all formats take one double; the longest text of a
    // double under them is 1 + 309 + 1 + 4 characters.
    let length =
        unsafe { libc::snprintf(buffer.as_mut_ptr().cast::<c_char>(), buffer.len(), format.as_ptr(), value) };
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    to.push_str(core::str::from_utf8(&buffer[..length]).unwrap_or("?"));
}

/// A shape such as `[2, 3]`.
pub(crate) struct Shape<'a>(pub &'a [i64]);

impl Piece for Shape<'_> {
    fn append(&self, to: &mut String) {
        to.push('[');
        for (index, extent) in self.0.iter().enumerate() {
            if index > 0 {
                to.push_str(", ");
            }
            extent.append(to);
        }
        to.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn integers_as_core_writes_them() {
        for value in [0, 1, 9, 10, -1, -10, i64::MAX, i64::MIN, 1234567890] {
            assert_eq!(text!("%", value), format!("{value}"));
        }
        assert_eq!(text!("%", u64::MAX), format!("{}", u64::MAX));
    }

    #[test]
    fn digits() {
        for (digits, number) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("007", Some(7))] {
            assert_eq!(parse(digits.as_bytes()), number);
        }
        for other in ["", "-1", "+1", "1 ", "1a", "a1", "18446744073709551616", "99999999999999999999"] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn mixed() {
        assert_eq!(text!("a % of %%", 3usize, Shape(&[1, -2]), Shape(&[])), "a 3 of [1, -2][]");
        assert_eq!(text!("% % %", 0.5f64, -1e300, 1.0f64 / 3.0), "0.5 -1e+300 0.333333");
        assert_eq!(text!("%", Milliseconds(1.25)), "1.2500");
        assert_eq!(text!("%", Milliseconds(f64::MIN)).len(), 1 + 309 + 1 + 4);
    }
}
