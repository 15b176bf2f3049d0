//! Compares errors with the annotations in the text.

use super::bless;
use super::file::{ErrorNote, TestFile};
use graven_ir::text::{LineColumn, Span};

/// An error that a command found in the text.
#[derive(Clone, Debug)]
pub struct FoundError {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}

/// An error by line and column.
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
    pub length: usize,
}

/// Checks that each error is annotated and each annotation has its error.
pub fn check_errors(file: &mut TestFile, errors: &[FoundError]) -> Result<(), String> {
    let placed: Vec<(Place, &FoundError)> =
        errors.iter().map(|error| (place(file, error.span), error)).collect();
    if bless::enabled() && file.notes.is_empty() && !errors.is_empty() {
        return bless::write_notes(file, &placed);
    }
    let mut open: Vec<&ErrorNote> = file.notes.iter().collect();
    let mut failures = Vec::new();
    for (place, error) in &placed {
        match open.iter().position(|note| fits(note, place, &error.message)) {
            Some(index) => drop(open.remove(index)),
            None => {
                let at = file.at(place.line);
                let (column, length) = (place.column, place.length);
                failures.push(format!(
                    "{at}:{column}: error over {length} characters without annotation: {}",
                    error.message
                ));
            }
        }
    }
    failures.extend(open.iter().map(|note| {
        format!("{}: line {} has no such error: {}", file.at(note.line), note.target, note.message)
    }));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn fits(note: &ErrorNote, place: &Place, message: &str) -> bool {
    let columns = note.columns.is_none_or(|columns| columns == (place.column, place.length));
    note.target == place.line && columns && message.contains(&note.message)
}

/// The place of an error. The end of the text counts as the end of its last line of code; of a range over several lines the first one counts.
fn place(file: &TestFile, span: Span) -> Place {
    let mut start = span.start as usize;
    if span.is_empty() {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        if let Some(line) = file.text.lines().rfind(is_code) {
            let line_start = line.as_ptr() as usize - file.text.as_ptr() as usize;
            start = start.min(line_start + line.trim_end().len());
        }
    }
    let LineColumn { line, column } = LineColumn::of(&file.text, start);
    let text = file.text.get(start..span.end as usize).unwrap_or_default();
    let length = text.lines().next().unwrap_or_default().chars().count();
    Place { line, column, length: length.max(1) }
}
