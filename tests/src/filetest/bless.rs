//! Rewrites expectations in place.

use super::file::TestFile;
use super::notes::{FoundError, Place};
use std::collections::BTreeMap;

/// Whether `GRAVEN_BLESS` asks for it.
pub fn enabled() -> bool {
    std::env::var_os("GRAVEN_BLESS").is_some_and(|value| value == "1")
}

fn write(file: &mut TestFile, lines: &[String]) -> Result<(), String> {
    let text: String = lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect();
    std::fs::write(&file.path, &text).map_err(|error| error.to_string())?;
    *file = TestFile::parse(&file.path, text)?;
    Ok(())
}

/// Makes `output` the exact expectation.
pub fn write_exact(file: &mut TestFile, output: &str) -> Result<(), String> {
    let mut lines: Vec<String> = file.text.lines().map(str::to_owned).collect();
    let block = output.lines().map(|line| format!("//  | {line}"));
    match &file.exact {
        Some(exact) => drop(lines.splice(exact.line..exact.line + exact.lines.len(), block)),
        None => {
            lines.push("// expect-exact:".into());
            lines.extend(block);
        }
    }
    write(file, &lines)
}

/// Replaces the code of the file, which must hold no comments.
pub fn write_code(file: &mut TestFile, code: &str) -> Result<(), String> {
    let mut lines: Vec<String> = file.text.lines().map(str::to_owned).collect();
    let is_comment = |line: &String| line.trim_start().starts_with("//");
    let is_code = |line: &String| !line.trim().is_empty() && !is_comment(line);
    let (Some(first), Some(last)) = (lines.iter().position(is_code), lines.iter().rposition(is_code)) else {
        return Err("there is no code".into());
    };
    if lines[first..=last].iter().any(|line| line.contains("//")) {
        return Err("can't bless: comments in the code would be lost".into());
    }
    lines.splice(first..=last, code.lines().map(str::to_owned));
    write(file, &lines)
}

/// Annotates errors.
pub(super) fn write_notes(file: &mut TestFile, errors: &[(Place, &FoundError)]) -> Result<(), String> {
    let mut by_line: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (place, error) in errors {
        let message = error.message.lines().next().unwrap_or_default();
        // Carets can't stand under the slashes.
        let note = match place.column {
            0..3 => format!("// error: {message}"),
            column => format!("//{:1$}{2} {message}", "", column - 3, "^".repeat(place.length)),
        };
        by_line.entry(place.line).or_default().push(note);
    }
    let mut lines = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        lines.push(line.to_owned());
        lines.extend(by_line.remove(&(index + 1)).unwrap_or_default());
    }
    write(file, &lines)
}
