//! `test verify`: parse, and verify what could be parsed.

use super::{Outcome, no_arguments};
use crate::filetest::file::TestFile;
use crate::filetest::notes::FoundError;
use graven_ir::text::{ParseOptions, parse_with};
use graven_ir::verify::verify;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let errors = match parse_with(&file.text, &ParseOptions::default()) {
        Ok(parsed) => {
            let violations = verify(&parsed.module).err().unwrap_or_default();
            let found = |error| {
                let span = parsed.source_map.violation(&error);
                FoundError { span, message: error.violation.to_string() }
            };
            violations.into_iter().map(found).collect()
        }
        Err(errors) => errors
            .0
            .iter()
            .map(|error| FoundError { span: error.span, message: error.kind.to_string() })
            .collect(),
    };
    Ok(Outcome::Errors(errors))
}
