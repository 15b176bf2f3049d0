//! Names in the text form: bare where they can be, quoted otherwise.

use std::fmt::{self, Write};

/// Whether `text` is an identifier: a letter or `_`, then letters, digits and `_` (all ASCII).
pub fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(is_word_start) && bytes.all(is_word_part)
}

pub(super) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(super) fn is_word_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// After `%` and `@` a name may also hold points, dollars and hyphens.
pub(super) fn is_label_part(byte: u8) -> bool {
    is_word_part(byte) || matches!(byte, b'.' | b'$' | b'-')
}

/// `name` where it is an identifier, else `"name"`.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match is_word(self.0) {
            true => f.write_str(self.0),
            false => Quoted(self.0).fmt(f),
        }
    }
}

/// What stands after the `%` or `@` of a named entity: `fc1.weight`, or `"a name"` where it holds other characters or only
/// digits, since bare digits stand for an entity without a name.
#[derive(Clone, Copy, Debug)]
pub struct LabelName<'a>(pub &'a str);

impl fmt::Display for LabelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = self.0.bytes().all(is_label_part) && !self.0.bytes().all(|byte| byte.is_ascii_digit());
        match bare {
            true => f.write_str(self.0),
            false => Quoted(self.0).fmt(f),
        }
    }
}

/// `"text"` with `\"`, `\\`, `\n`, `\r`, `\t` and `\u{hex}` for other control characters.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                // Line and paragraph separators would break the line in some viewers.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// The text between two quotes with its escapes resolved; the byte offset of a wrong escape otherwise.
pub(super) fn unescape(raw: &str) -> Result<String, usize> {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.char_indices();
    while let Some((offset, c)) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next().ok_or(offset)?.1 {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            c @ ('"' | '\\') => text.push(c),
            'u' => {
                let rest = &raw[offset + 2..];
                let digits = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(offset)?.0;
                let in_form =
                    (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| in_form);
                text.push(code.and_then(char::from_u32).ok_or(offset)?);
                chars.nth(digits.len() + 1);
            }
            _ => return Err(offset),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_exact() {
        for text in [
            "",
            "plain",
            "a \"b\" \\ c",
            "line\nbreak\ttab\r",
            "\u{0}\u{7f}\u{2028}",
            "größe/日本:1",
            "{}\\u{41}",
        ] {
            let quoted = Quoted(text).to_string();
            assert!(quoted.chars().all(|c| !c.is_control()), "{quoted}");
            assert_eq!(unescape(&quoted[1..quoted.len() - 1]).as_deref(), Ok(text));
        }
        assert_eq!(unescape("\\u{1F980}!").as_deref(), Ok("🦀!"));
        for (text, offset) in [
            ("ab\\x", 2),
            ("\\", 0),
            ("\\u{110000}", 0),
            ("\\u{d800}", 0),
            ("\\u41", 0),
            ("\\u{}", 0),
            ("\\u{+1}", 0),
        ] {
            assert_eq!(unescape(text), Err(offset), "{text}");
        }
    }

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        assert_eq!(Word("batch_size").to_string(), "batch_size");
        assert_eq!(Word("batch size").to_string(), "\"batch size\"");
        assert_eq!(Word("2d").to_string(), "\"2d\"");
        assert_eq!(Word("").to_string(), "\"\"");
        assert_eq!(LabelName("fc1.weight").to_string(), "fc1.weight");
        assert_eq!(LabelName("12").to_string(), "\"12\"");
        assert_eq!(LabelName("12a").to_string(), "12a");
        assert_eq!(LabelName("/conv/Output:0").to_string(), "\"/conv/Output:0\"");
    }
}
