//! `test verify`: parse, and verify what could be parsed.

use super::{Outcome, no_arguments};
use crate::filetest::file::TestFile;
use crate::filetest::notes::FoundError;
use graven_ir::text::{ParseOptions, parse_with};

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let errors = match parse_with(&file.text, &ParseOptions::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .0
            .iter()
            .map(|error| FoundError { span: error.span, message: error.kind.to_string() })
            .collect(),
    };
    Ok(Outcome::Errors(errors))
}
