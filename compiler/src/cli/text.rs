//! Modules as text and JSON.

use super::failure::{Failure, Outcome};
use super::output;
use crate::emit::file::TemporaryFile;
use crate::error::{Error, Place};
use graven_ir::text::{LargeConstants, PrintOptions, print_with};
use graven_ir::weights::write_weights;
use graven_ir::{Module, Tensor, json};
use std::path::Path;

/// Elements of constants up to which a text on standard output holds all of them.
const INLINE_ELEMENTS: usize = 1 << 10;

/// The text of a module, with `...` for constants if they are many.
pub(super) fn for_reading(module: &Module) -> String {
    let elements: usize = module.constants.values().map(|constant| constant.tensor.len()).sum();
    let large = if elements <= INLINE_ELEMENTS { LargeConstants::Inline } else { LargeConstants::Omit };
    print_with(module, &PrintOptions { large, ..PrintOptions::default() }).text
}

/// Writes a module to a file, as JSON if its name ends with `.json`, and large constants to a safetensors file of the same name next to it. On standard
/// output the constants stand in the text.
pub(super) fn write(module: &Module, path: &Path) -> Outcome {
    if path == Path::new("-") {
        return output::write(path, module.to_string().as_bytes());
    }
    let weights = path.with_extension("safetensors");
    let name = weights.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::file(path, "is no file name in UTF-8"))?;
    let (text, external) = match path.extension().is_some_and(|extension| extension == "json") {
        true => {
            let options = json::WriteOptions { file: Some(name), ..json::WriteOptions::default() };
            let place = || Place::new("the model");
            let written = json::to_string(module, &options)
                .map_err(|error| Failure::Compiler(Error::unsupported(place(), error.to_string())))?;
            (written.json, written.external)
        }
        false => {
            let options = PrintOptions { large: LargeConstants::File(name), ..PrintOptions::default() };
            let printed = print_with(module, &options);
            (printed.text, printed.external)
        }
    };
    if !external.is_empty() {
        let tensors: Vec<(&str, &Tensor)> = external
            .iter()
            .filter_map(|(key, id)| Some((key.as_str(), &module.constants.get(*id)?.tensor)))
            .collect();
        let temporary = TemporaryFile::beside(&weights).map_err(|error| Failure::file(&weights, error))?;
        write_weights(temporary.path(), &tensors).map_err(|error| Failure::file(&weights, error))?;
        temporary.persist(&weights).map_err(|error| Failure::file(&weights, error))?;
    }
    output::write(path, text.as_bytes())
}
