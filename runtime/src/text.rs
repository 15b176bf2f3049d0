//! Messages put together without the formatting machinery of `core::fmt`, which would be half of a small executable.

use alloc::string::String;
use core::ffi::c_char;

/// Something that has a text form.
pub(crate) trait Piece {
    /// Appends the text form.
    fn append(&self, to: &mut String);
}

/// A string of all its pieces.
macro_rules! text {
    ($($piece:expr),* $(,)?) => {{
        let mut string = alloc::string::String::new();
        $($crate::text::Piece::append(&$piece, &mut string);)*
        string
    }};
}
pub(crate) use text;

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

/// A time in milliseconds with the digits after the point that a microsecond needs.
pub(crate) struct Milliseconds(pub f64);

impl Piece for Milliseconds {
    fn append(&self, to: &mut String) {
        append_double(to, c"%.4f", self.0);
    }
}

fn append_double(to: &mut String, format: &core::ffi::CStr, value: f64) {
    let mut buffer = [0u8; 400];
    // SAFETY: the buffer is as long as stated, and both formats take one double; the longest text of a
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
            assert_eq!(text![value], format!("{value}"));
        }
        assert_eq!(text![u64::MAX], format!("{}", u64::MAX));
    }

    #[test]
    fn mixed() {
        assert_eq!(text!["a ", 3usize, " of ", Shape(&[1, -2]), Shape(&[])], "a 3 of [1, -2][]");
        assert_eq!(text![0.5f64, " ", -1e300, " ", 1.0f64 / 3.0], "0.5 -1e+300 0.333333");
        assert_eq!(text![Milliseconds(1.25)], "1.2500");
        assert_eq!(text![Milliseconds(f64::MIN)].len(), 1 + 309 + 1 + 4);
    }
}
