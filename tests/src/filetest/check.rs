//! Compares a command's output with the directives.

use super::bless;
use super::file::{Check, CheckKind, TestFile};
use similar::TextDiff;

/// Compares an output with the exact expectation and the targeted checks, of which there must be some.
pub fn check_text(file: &mut TestFile, output: &str) -> Result<(), String> {
    if file.exact.is_none() && file.checks.is_empty() {
        return match bless::enabled() {
            true => bless::write_exact(file, output),
            false => Err(format!(
                "nothing is expected of this output; add checks or run with GRAVEN_BLESS=1\n{output}"
            )),
        };
    }
    check_lines(file, output)?;
    let Some(exact) = &file.exact else { return Ok(()) };
    let expected = join(&exact.lines);
    if expected == join(&output.lines().collect::<Vec<_>>()) {
        return Ok(());
    }
    match bless::enabled() {
        true => bless::write_exact(file, output),
        false => Err(format!("{}: the output differs\n{}", file.at(exact.line), diff(&expected, output))),
    }
}

/// Compares the canonical form of a file's code with the code itself, or with the expectations if there are some.
pub fn check_canonical(file: &mut TestFile, canonical: &str) -> Result<(), String> {
    if file.exact.is_some() || !file.checks.is_empty() {
        return check_text(file, canonical);
    }
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let code = join(&file.text.lines().filter(is_code).collect::<Vec<_>>());
    let expected = join(&canonical.lines().filter(is_code).collect::<Vec<_>>());
    if code == expected {
        return Ok(());
    }
    match bless::enabled() {
        true => bless::write_code(file, canonical),
        false => Err(format!("the text is not in the canonical form\n{}", diff(&code, &expected))),
    }
}

fn join<T: AsRef<str>>(lines: &[T]) -> String {
    lines.iter().flat_map(|line| [line.as_ref(), "\n"]).collect()
}

/// Lines that were expected with `-`, those that came instead with `+`.
pub fn diff(expected: &str, output: &str) -> String {
    let diff = TextDiff::from_lines(expected, output);
    diff.unified_diff().context_radius(3).header("expected", "output").to_string()
}

/// Whether a line contains a pattern.
fn matches(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split("{{}}").all(|piece| match rest.find(piece) {
        Some(place) => {
            rest = &rest[place + piece.len()..];
            true
        }
        None => false,
    })
}

fn check_lines(file: &TestFile, output: &str) -> Result<(), String> {
    let lines: Vec<&str> = output.lines().collect();
    // The first line that is not matched yet, and the patterns that no line may hold before the next match.
    let mut next = 0;
    let mut forbidden: Vec<&Check> = Vec::new();
    for check in &file.checks {
        let found = match check.kind {
            CheckKind::Not => {
                forbidden.push(check);
                continue;
            }
            CheckKind::Check => (next..lines.len()).find(|index| matches(lines[*index], &check.pattern)),
            CheckKind::NextLine => {
                Some(next).filter(|index| lines.get(*index).is_some_and(|line| matches(line, &check.pattern)))
            }
        };
        let Some(found) = found else { return Err(missing(file, check, &lines, next)) };
        check_forbidden(file, &mut forbidden, &lines, next..found)?;
        next = found + 1;
    }
    check_forbidden(file, &mut forbidden, &lines, next..lines.len())
}

fn check_forbidden(
    file: &TestFile,
    forbidden: &mut Vec<&Check>,
    lines: &[&str],
    range: std::ops::Range<usize>,
) -> Result<(), String> {
    for check in forbidden.drain(..) {
        if let Some(index) = range.clone().find(|index| matches(lines[*index], &check.pattern)) {
            let place = file.at(check.line);
            return Err(format!(
                "{place}: the output holds `{}`\n{}",
                check.pattern,
                excerpt(lines, index..index + 1)
            ));
        }
    }
    Ok(())
}

fn missing(file: &TestFile, check: &Check, lines: &[&str], next: usize) -> String {
    let place = file.at(check.line);
    let what = match check.kind {
        CheckKind::NextLine => "the next line lacks",
        _ => "no further line has",
    };
    format!("{place}: {what} `{}`\n{}", check.pattern, excerpt(lines, next..lines.len()))
}

/// The output with line numbers and a mark at those in `range`.
fn excerpt(lines: &[&str], range: std::ops::Range<usize>) -> String {
    let line = |(index, line): (usize, &&str)| {
        format!("{} {:4} | {line}\n", if range.contains(&index) { ">" } else { " " }, index + 1)
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn result(directives: &str, output: &str) -> Result<(), String> {
        let text = format!("// test none\ncode\n{directives}");
        check_lines(&TestFile::parse(Path::new("t.gir"), text).unwrap(), output)
    }

    #[test]
    fn checks_are_ordered() {
        assert_eq!(result("// check: b\n// check: d", "a\nb\nc\nd"), Ok(()));
        assert!(result("// check: d\n// check: b", "a\nb\nc\nd").is_err());
        assert!(result("// check: b\n// check: b", "a\nb\nc\nd").is_err());
        assert_eq!(result("// check: b\n// nextln: c", "a\nb\nc"), Ok(()));
        assert!(result("// check: a\n// nextln: c", "a\nb\nc").is_err());
        assert_eq!(result("// check: x {{}} : f32", "y = x %1 : f32[2]"), Ok(()));
        assert!(result("// check: x {{}} : f32", "y : f32 x ").is_err());
    }

    #[test]
    fn forbidden_lines_lie_between_matches() {
        assert_eq!(result("// check: a\n// not: b\n// check: c", "b\na\nc\nb"), Ok(()));
        assert!(result("// check: a\n// not: b\n// check: c", "a\nb\nc").is_err());
        assert!(result("// not: b", "a\nb").is_err());
    }
}
