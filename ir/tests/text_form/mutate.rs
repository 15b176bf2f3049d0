//! Damaged texts: the test files with pieces removed, repeated, moved and replaced.

use proptest::prelude::*;
use proptest::sample::Index;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The texts of all test files.
fn texts() -> &'static [String] {
    static TEXTS: OnceLock<Vec<String>> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let mut texts = Vec::new();
        let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/files")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the test files are there").flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => texts.extend(std::fs::read_to_string(path)),
                }
            }
        }
        assert!(texts.len() > 10);
        texts.sort();
        texts
    })
}

/// What the grammar knows, and what it does not.
const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "+",
    "-",
    "*",
    "->",
    "..=",
    "...",
    "%",
    "@",
    "%x",
    "@w",
    "%0",
    "#1",
    "0",
    "-1",
    "9223372036854775808",
    "0x",
    "0xff",
    "1.5",
    "1e999",
    "nan",
    "inf",
    "true",
    "\"",
    "\"text\"",
    "\\",
    "//",
    "\n",
    " ",
    "\u{0}",
    "é",
    "N",
    "dim ",
    "constant ",
    "func ",
    "module ",
    "state",
    "return",
    "yield",
    "loc(",
    "splat(",
    "file ",
    "body ",
    "then ",
    "f32",
    "f32[",
    "i64[]",
    "floordiv(",
    "min(",
    " as ",
    "neg",
    "fuse",
    "{kind = pointwise}",
];

#[derive(Clone, Debug)]
enum Damage {
    Remove(Index, usize),
    Repeat(Index, usize),
    Insert(Index, &'static str),
    Move(Index, usize, Index),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 1usize..20).prop_map(|(at, length)| Damage::Remove(at, length)),
        (place(), 1usize..60).prop_map(|(at, length)| Damage::Repeat(at, length)),
        (place(), proptest::sample::select(PIECES)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (place(), 1usize..40, any::<Index>()).prop_map(|(at, length, to)| Damage::Move(at, length, to)),
        place().prop_map(Damage::Truncate),
    ]
}

fn apply(text: &mut Vec<char>, damage: &Damage) {
    let place = |at: &Index, text: &[char]| at.index(text.len() + 1);
    let end = |start: usize, length: usize, text: &[char]| (start + length).min(text.len());
    match damage {
        Damage::Remove(at, length) => {
            let start = place(at, text);
            text.drain(start..end(start, *length, text));
        }
        Damage::Repeat(at, length) => {
            let start = place(at, text);
            let piece = text[start..end(start, *length, text)].to_vec();
            text.splice(start..start, piece);
        }
        Damage::Insert(at, piece) => {
            let start = place(at, text);
            text.splice(start..start, piece.chars());
        }
        Damage::Move(at, length, to) => {
            let start = place(at, text);
            let piece: Vec<char> = text.drain(start..end(start, *length, text)).collect();
            let start = place(to, text);
            text.splice(start..start, piece);
        }
        Damage::Truncate(at) => {
            let length = place(at, text);
            text.truncate(length);
        }
    }
}

/// A test file with one to a few pieces of damage.
pub fn damaged_text() -> impl Strategy<Value = String> {
    (any::<Index>(), proptest::collection::vec(damage(), 1..5)).prop_map(|(text, damages)| {
        let mut text: Vec<char> = text.get(texts()).chars().collect();
        damages.iter().for_each(|damage| apply(&mut text, damage));
        text.into_iter().collect()
    })
}
