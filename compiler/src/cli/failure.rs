//! Errors of the command line and their exit codes.

use crate::api::{ReadTextError, TextError};
use crate::error::{Error, Place};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// How a command ends.
pub(super) type Outcome = Result<(), Failure>;

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A comparison failed, which the command has reported: exit code 1.
    Mismatch,
    /// The compiler's errors.
    Compiler(Error),
    /// A text that is no module or kernel.
    Text(Box<TextError>),
}

impl Failure {
    /// Wrong arguments or files: exit code 2.
    pub(super) fn usage(reason: impl Into<String>) -> Failure {
        Failure::Compiler(Error::bad_input(Place::new("command line"), reason))
    }

    /// A file that is wrong, or can't be read or written: exit code 2.
    pub(super) fn file(path: &Path, reason: impl fmt::Display) -> Failure {
        Failure::Compiler(Error::bad_input(Place::new(format!("`{}`", path.display())), reason.to_string()))
    }

    /// What the runtime says about a file that it could not write: exit code 2.
    pub(super) fn output(error: &graven_runtime::Error) -> Failure {
        Failure::Compiler(Error::bad_input(Place::new("output"), error.message()))
    }

    /// Tells the user, and gives the exit code.
    pub(super) fn report(self) -> u8 {
        match self {
            Failure::Mismatch => 1,
            Failure::Compiler(error) => {
                complain(&error.to_string());
                error.exit_code()
            }
            Failure::Text(error) => {
                show_places(&error);
                2
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Compiler(error)
    }
}

impl From<ReadTextError> for Failure {
    fn from(error: ReadTextError) -> Failure {
        match error {
            ReadTextError::File(error) => Failure::Compiler(error),
            ReadTextError::Text(error) => Failure::Text(error),
        }
    }
}

/// `error: …` on standard error, with colour on a terminal.
pub(super) fn complain(message: &str) {
    let (on, off) = if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{on}error{off}: {message}");
}

/// Panics are our bugs; the user is told where, in a sentence that can be reported.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message =
            message.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic");
        let place = panic.location().map_or_else(String::new, |location| format!(" at {location}"));
        complain(&format!("internal error{place}: {message}; please report it"));
    }));
}

/// Errors beyond this number are only counted: they are mostly consequences of the first ones.
const SHOWN: usize = 10;

fn show_places(error: &TextError) {
    let theme = match std::io::stderr().is_terminal() {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme);
    let source = NamedSource::new(error.path.display().to_string(), error.text.clone());
    for item in error.errors.0.iter().take(SHOWN) {
        let labelled = Labelled {
            message: item.kind.to_string(),
            start: item.span.start as usize,
            length: item.span.len(),
            source: &source,
        };
        let mut text = String::new();
        // Writing to a `String` does not fail; a span outside of the text would.
        if handler.render_report(&mut text, &labelled).is_err() {
            text = format!("{}\n", item.located(&error.text));
        }
        let _ = write!(std::io::stderr(), "{text}");
    }
    let count = error.errors.0.len();
    let rest = if count > SHOWN { format!(", of which {SHOWN} are shown") } else { String::new() };
    let plural = if count == 1 { "error" } else { "errors" };
    complain(&format!("`{}` is no valid text: {count} {plural}{rest}", error.path.display()));
}

/// An error at a place in a text.
#[derive(Debug)]
struct Labelled<'s> {
    message: String,
    start: usize,
    length: usize,
    source: &'s NamedSource<String>,
}

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Labelled<'_> {}

impl Diagnostic for Labelled<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new(Some("here".into()), self.start, self.length);
        Some(Box::new(std::iter::once(label)))
    }
}
