//! What `%` and `@` are followed by.

use super::name::{LabelName, unescape};
use std::fmt;

/// A reference to a value or constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    /// `%3`: an entity without a name.
    Number(u64),
    /// `%x`, `%"a name"`; the number tells values of the same name apart: `%x#1`.
    Name(String, u64),
}

/// The canonical form, without the `%` or `@`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Number(number) => write!(f, "{number}"),
            Label::Name(name, 0) => LabelName(name).fmt(f),
            Label::Name(name, copy) => write!(f, "{}#{copy}", LabelName(name)),
        }
    }
}

impl Label {
    /// The label of a token's text; `None` where a number is too large.
    pub fn new(raw: &str) -> Option<Label> {
        let name_end = match raw.starts_with('"') {
            true => raw.rfind('"')? + 1,
            false => raw.find('#').unwrap_or(raw.len()),
        };
        let (name, suffix) = raw.split_at(name_end);
        let copy = match suffix.strip_prefix('#') {
            Some(number) => number.parse().ok()?,
            None => 0,
        };
        match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(quoted) => Some(Label::Name(unescape(quoted).ok()?, copy)),
            None if name.bytes().all(|byte| byte.is_ascii_digit()) => match suffix {
                "" => name.parse().ok().map(Label::Number),
                _ => None,
            },
            None => Some(Label::Name(name.to_owned(), copy)),
        }
    }

    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Label::Number(_) => None,
            Label::Name(name, _) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let name = |text: &str, copy| Some(Label::Name(text.into(), copy));
        assert_eq!(Label::new("12"), Some(Label::Number(12)));
        assert_eq!(Label::new("\"12\""), name("12", 0));
        assert_eq!(Label::new("fc1.weight"), name("fc1.weight", 0));
        assert_eq!(Label::new("\"a#1 \\\"b\\\"\"#7"), name("a#1 \"b\"", 7));
        assert_eq!(Label::new("x#2"), name("x", 2));
        assert_eq!(Label::new("12#1"), None);
        assert_eq!(Label::new("99999999999999999999"), None);
    }
}
