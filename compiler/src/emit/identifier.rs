//! Names of models and tensors as C identifiers.

use std::collections::{HashMap, HashSet};

/// Keywords of C up to C23 and of C++ up to C++26, and what compilers and common headers define as macros.
const RESERVED: &str = "\
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await co_return co_yield compl \
    concept const const_cast consteval constexpr constinit continue contract_assert decltype default delete do double dynamic_cast else enum \
    explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq \
    private protected public register reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast struct \
    switch template this thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile \
    wchar_t while xor xor_eq \
    DOMAIN EDOM EILSEQ EOF ERANGE FILE HUGE_VAL I INFINITY NAN NDEBUG NULL OVERFLOW PLOSS SING TLOSS UNDERFLOW assert complex errno far fortran \
    huge i386 imaginary interface isfinite isinf isnan isnormal linux math_errhandling max min near noreturn offsetof pascal signbit small stderr \
    stdin stdout unix va_arg va_copy va_end va_start";

/// The most characters that are kept of a name.
const LENGTH: usize = 128;

/// Whether an identifier is a word of the languages, or may be a type or a limit of the headers that come with them: a member that is called like a
/// type which others have makes C++ refuse the struct.
fn is_reserved(identifier: &str) -> bool {
    let limit = ["_MAX", "_MIN", "_C", "_WIDTH"].iter().any(|end| identifier.ends_with(end));
    let mathematical = ["M_", "FP_"].iter().any(|start| identifier.starts_with(start));
    let capitals = identifier.bytes().all(|byte| !byte.is_ascii_lowercase());
    (limit || mathematical) && capitals
        || identifier.ends_with("_t")
        || RESERVED.split(' ').any(|word| word == identifier)
}

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
        Some(_) => cleaned.to_string(),
    }
}

/// A name as an identifier that may stand alone.
fn identifier(name: &str, stem: &str) -> String {
    let cleaned = cleaned(name, stem);
    if is_reserved(&cleaned) { cleaned + "_" } else { cleaned }
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

/// Identifiers for names, distinct from each other even without regard to case, since macros are made of them in capitals. A name that is an
/// identifier already stays as it is, unless an earlier one is equal to it.
pub fn distinct<'n>(names: impl Iterator<Item = &'n str> + Clone, stem: &str) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut keep = |name: &str| identifier(name, stem) == name && taken.insert(name.to_ascii_uppercase());
    let kept: Vec<bool> = names.clone().map(&mut keep).collect();
    // Where counting goes on, so that many equal names don't take quadratic time.
    let mut numbers = HashMap::<String, u64>::new();
    let mut identifiers = Vec::with_capacity(kept.len());
    for (name, kept) in names.zip(kept) {
        let first = identifier(name, stem);
        if kept || taken.insert(first.to_ascii_uppercase()) {
            identifiers.push(first);
            continue;
        }
        let first = first.trim_end_matches('_');
        let number = numbers.entry(first.to_ascii_uppercase()).or_insert(1);
        let identifier = loop {
            *number += 1;
            let mut identifier = format!("{first}_{number}");
            if is_reserved(&identifier) {
                identifier.push('_');
            }
            if taken.insert(identifier.to_ascii_uppercase()) {
                break identifier;
            }
        };
        identifiers.push(identifier);
    }
    identifiers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&str]) -> Vec<String> {
        distinct(names.iter().copied(), "tensor")
    }

    #[test]
    fn any_name_gives_an_identifier() {
        assert_eq!(prefix("resnet50-v1.5"), "resnet50_v1_5");
        assert_eq!(prefix("3d net"), "model_3d_net");
        assert_eq!(prefix(""), "model");
        assert_eq!(prefix("日本語"), "model");
        assert_eq!(prefix("graven"), "model_graven");
        assert_eq!(prefix("__a//b__"), "a_b");
        assert_eq!(prefix(&"x".repeat(1000)).len(), LENGTH);
        assert_eq!(
            all(&["a.b/c:0", " x ", "größe", "3d", "..."]),
            ["a_b_c_0", "x", "gr_e", "tensor_3d", "tensor"]
        );
    }

    #[test]
    fn names_stay_apart() {
        let names = ["x", "X", "x.1", "x_1", "x", "", "*/", "x_2"];
        let expected = ["x", "X_3", "x_1_2", "x_1", "x_4", "tensor", "tensor_2", "x_2"];
        assert_eq!(all(&names), expected);
        let long = "x".repeat(1000);
        assert_eq!(all(&[&long, &long])[1], format!("{}_2", &long[..LENGTH]));
        let many = all(&["x"; 20_000]);
        assert_eq!(many[19_999], "x_20000");
        assert_eq!(many.iter().collect::<HashSet<_>>().len(), 20_000);
    }

    #[test]
    fn words_of_the_languages_are_avoided() {
        assert_eq!(all(&["int", "class", "int", "int_2"]), ["int_", "class_", "int_3", "int_2"]);
        assert_eq!(
            all(&["int32_t", "SIZE_MAX", "NULL", "I", "linux"]),
            ["int32_t_", "SIZE_MAX_", "NULL_", "I_", "linux_"]
        );
        assert_eq!(all(&["M_PI", "M_PI", "FP_NAN"]), ["M_PI_", "M_PI_2_", "FP_NAN_"]);
        assert_eq!(prefix("int"), "int");
    }
}
