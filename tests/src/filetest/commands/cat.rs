//! `test cat`: parse, print, parse again.

use super::{Outcome, no_arguments};
use crate::filetest::file::TestFile;
use graven_ir::Module;
use graven_ir::text::{ParseErrors, parse};

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let module = parse(&file.text).map_err(|errors| located(file, &file.text, &errors))?;
    round_trip(file, &module).map(Outcome::Canonical)
}

/// The text of a module, once it is known that the text gives the same module and the module the same text again.
pub fn round_trip(file: &TestFile, module: &Module) -> Result<String, String> {
    let text = module.to_string();
    let mut again = parse(&text).map_err(|errors| {
        format!("the printed text does not parse\n{}\n{text}", located(file, &text, &errors))
    })?;
    let second = again.to_string();
    if second != text {
        return Err(format!(
            "the second round trip differs\n{}",
            crate::filetest::check::diff(&text, &second)
        ));
    }
    let mut module = module.clone();
    module.compact();
    again.compact();
    match module == again {
        true => Ok(text),
        false => Err(format!("the printed text gives another module\n{text}\n{module:#?}\n{again:#?}")),
    }
}

/// The errors with file, line and column.
pub fn located(file: &TestFile, text: &str, errors: &ParseErrors) -> String {
    let lines = errors.0.iter().map(|error| format!("{}:{}", file.name, error.located(text)));
    lines.collect::<Vec<_>>().join("\n")
}
