//! A test file: its commands and directives.

use std::path::{Path, PathBuf};

/// What a line of the output must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Some later line.
    Check,
    /// The line after the last match.
    NextLine,
    /// No line up to the next match.
    Not,
}

/// A `check:`, `nextln:` or `not:`.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its line, from 1.
    pub line: usize,
    /// What it demands.
    pub kind: CheckKind,
    /// The text, with `{{}}` for any characters.
    pub pattern: String,
}

/// An `expect-exact:` block.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The line of the directive, from 1; the block follows it.
    pub line: usize,
    /// The expected lines.
    pub lines: Vec<String>,
}

/// An annotation of an error.
#[derive(Clone, Debug)]
pub struct ErrorNote {
    /// The line of the text that has the error, from 1.
    pub target: usize,
    /// The line of the annotation.
    pub line: usize,
    /// First column and length in characters, where carets state them.
    pub columns: Option<(usize, usize)>,
    /// What the message contains.
    pub message: String,
}

/// A test file.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name for messages.
    pub name: String,
    /// All of it.
    pub text: String,
    /// The commands with their arguments.
    pub commands: Vec<Vec<String>>,
    /// The targeted checks, in order.
    pub checks: Vec<Check>,
    /// The exact expectation.
    pub exact: Option<Exact>,
    /// `run:` lines with their line numbers; lines that continue them are appended.
    pub runs: Vec<(usize, String)>,
    /// The annotated errors.
    pub notes: Vec<ErrorNote>,
}

impl TestFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<TestFile, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        TestFile::parse(path, text)
    }

    /// A file from its text.
    pub fn parse(path: &Path, text: String) -> Result<TestFile, String> {
        let mut file = TestFile {
            path: path.into(),
            name: path.display().to_string(),
            text: String::new(),
            commands: Vec::new(),
            checks: Vec::new(),
            exact: None,
            runs: Vec::new(),
            notes: Vec::new(),
        };
        let mut code_line = None;
        let mut continues = Continues::Nothing;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            match line.trim_start().strip_prefix("//") {
                None if line.trim().is_empty() => continues = Continues::Nothing,
                None => {
                    continues = Continues::Nothing;
                    code_line = Some(number);
                    file.trailing_note(number, line);
                }
                Some(comment) => continues = file.comment(number, line, comment, code_line, continues)?,
            }
        }
        if file.commands.is_empty() {
            return Err(format!("{}: no line `// test <command>` before the text", file.name));
        }
        file.text = text;
        Ok(file)
    }

    /// `path:line`.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    /// `… // error: text` at the end of a line of code.
    fn trailing_note(&mut self, number: usize, line: &str) {
        if let Some((_, message)) = line.split_once("// error: ") {
            let message = message.trim().to_owned();
            self.notes.push(ErrorNote { target: number, line: number, columns: None, message });
        }
    }

    /// A line that is a comment; what the next line continues.
    fn comment(
        &mut self,
        number: usize,
        line: &str,
        comment: &str,
        code_line: Option<usize>,
        continues: Continues,
    ) -> Result<Continues, String> {
        match (continues, comment.strip_prefix("  ")) {
            (Continues::Exact, Some(rest)) if rest.starts_with('|') => {
                let text = rest[1..].strip_prefix(' ').unwrap_or(&rest[1..]).to_owned();
                self.exact.iter_mut().for_each(|exact| exact.lines.push(text.clone()));
                return Ok(Continues::Exact);
            }
            (Continues::Run, Some(rest)) => {
                if let Some((_, run)) = self.runs.last_mut() {
                    run.push(' ');
                    run.push_str(rest.trim());
                }
                return Ok(Continues::Run);
            }
            _ => {}
        }
        let trimmed = comment.trim();
        let Some(target) = code_line else {
            if let Some(command) = trimmed.strip_prefix("test ") {
                self.commands.push(command.split_whitespace().map(str::to_owned).collect());
            }
            return Ok(Continues::Nothing);
        };
        if trimmed.starts_with('^') {
            let length = trimmed.bytes().take_while(|byte| *byte == b'^').count();
            let start = line.chars().take_while(|c| *c != '^').count() + 1;
            let message = trimmed[length..].trim().to_owned();
            self.notes.push(ErrorNote { target, line: number, columns: Some((start, length)), message });
            return Ok(Continues::Nothing);
        }
        self.directive(number, trimmed, target)
    }

    fn directive(&mut self, number: usize, comment: &str, target: usize) -> Result<Continues, String> {
        let Some((word, rest)) = comment.split_once(':') else { return Ok(Continues::Nothing) };
        let pattern = rest.trim().to_owned();
        let check = |kind| Check { line: number, kind, pattern: pattern.clone() };
        match word {
            "check" => self.checks.push(check(CheckKind::Check)),
            "nextln" => self.checks.push(check(CheckKind::NextLine)),
            "not" => self.checks.push(check(CheckKind::Not)),
            "error" => {
                self.notes.push(ErrorNote { target, line: number, columns: None, message: pattern });
            }
            "run" => {
                self.runs.push((number, pattern));
                return Ok(Continues::Run);
            }
            "expect-exact" if self.exact.is_none() => {
                self.exact = Some(Exact { line: number, lines: Vec::new() });
                return Ok(Continues::Exact);
            }
            // A misspelt directive would pass unseen.
            word if !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') =>
            {
                return Err(format!("{}: unknown directive `{word}:`", self.at(number)));
            }
            _ => {}
        }
        Ok(Continues::Nothing)
    }
}

/// What a comment line with an indented text continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Continues {
    Nothing,
    Run,
    Exact,
}
