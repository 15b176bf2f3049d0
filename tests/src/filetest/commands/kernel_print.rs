//! `test kernel-print`: parse, print, parse again; the kernels of the file are in the canonical form.

use super::{Outcome, cat, no_arguments};
use crate::filetest::check::diff;
use crate::filetest::file::TestFile;
use graven::kernel::text::{Parsed, parse_with_spans};

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let kernels = parse_with_spans(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    round_trip(file, &kernels).map(Outcome::Canonical)
}

/// The canonical text of kernels, once it is known that each text gives the same kernel and each kernel the same text again.
pub fn round_trip(file: &TestFile, kernels: &[Parsed]) -> Result<String, String> {
    let mut text = String::new();
    for parsed in kernels {
        let printed = parsed.kernel.to_string();
        let again = parse_with_spans(&printed).map_err(|errors| {
            format!("the printed text does not parse\n{}\n{printed}", cat::located(file, &printed, &errors))
        })?;
        match again.as_slice() {
            [again] if again.kernel == parsed.kernel => {}
            _ => return Err(format!("the printed text gives another kernel\n{printed}")),
        }
        let second = again[0].kernel.to_string();
        if second != printed {
            return Err(format!("the second round trip differs\n{}", diff(&printed, &second)));
        }
        text += &printed;
    }
    Ok(text)
}
