//! Names of models and tensors as C identifiers.

use rustc_hash::FxHashSet;

/// Words that C99, C11, C23 or C++20 reserve, and those that the interface itself uses.
const RESERVED: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char8_t",
    "char16_t",
    "char32_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "linux",
    "long",
    "main",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
];

/// The most characters that are kept of a name.
const LENGTH: usize = 128;

/// A name with everything but ASCII letters, digits and underscores replaced, that begins with a letter.
fn cleaned(name: &str, stem: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let mut cleaned = String::new();
    for letter in letters.take(LENGTH) {
        // Two underscores in a row are reserved in C++.
        if letter != '_' || !cleaned.ends_with('_') {
            cleaned.push(letter);
        }
    }
    let cleaned = cleaned.trim_matches('_');
    match cleaned.chars().next() {
        None => stem.to_string(),
        Some(first) if first.is_ascii_digit() => format!("{stem}_{cleaned}"),
        Some(_) if RESERVED.contains(&cleaned) => format!("{cleaned}_"),
        Some(_) => cleaned.to_string(),
    }
}

/// What the symbols of a model of this name begin with.
pub fn prefix(name: &str) -> String {
    let prefix = cleaned(name, "model");
    // The interface's own names begin so.
    match prefix.to_ascii_lowercase().starts_with("graven") {
        true => format!("model_{prefix}"),
        false => prefix,
    }
}

/// Identifiers for names, distinct from each other even without regard to case, since macros are made of them in capitals.
pub fn distinct<'n>(names: impl Iterator<Item = &'n str>, stem: &str) -> Vec<String> {
    let mut taken = FxHashSet::default();
    let mut identifiers = Vec::new();
    for name in names {
        let first = cleaned(name, stem);
        let mut identifier = first.clone();
        let mut number = 2;
        while !taken.insert(identifier.to_ascii_uppercase()) {
            identifier = format!("{first}_{number}");
            number += 1;
        }
        identifiers.push(identifier);
    }
    identifiers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_gives_an_identifier() {
        assert_eq!(prefix("resnet50-v1.5"), "resnet50_v1_5");
        assert_eq!(prefix("3d net"), "model_3d_net");
        assert_eq!(prefix(""), "model");
        assert_eq!(prefix("日本語"), "model");
        assert_eq!(prefix("graven"), "model_graven");
        assert_eq!(prefix("int"), "int_");
        assert_eq!(prefix("__a//b__"), "a_b");
        assert_eq!(prefix(&"x".repeat(1000)).len(), LENGTH);
    }

    #[test]
    fn names_stay_apart() {
        let names = ["x", "X", "x.1", "x_1", "x", "", "*/", "x_2", "new"];
        let expected = ["x", "X_2", "x_1", "x_1_2", "x_3", "tensor", "tensor_2", "x_2_2", "new_"];
        assert_eq!(distinct(names.into_iter(), "tensor"), expected);
    }
}
