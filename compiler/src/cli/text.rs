//! Modules as text.

use super::failure::{Failure, Outcome};
use super::output;
use graven_ir::text::{LargeConstants, PrintOptions, print_with};
use graven_ir::weights::write_weights;
use graven_ir::{Module, Tensor};
use std::path::Path;

/// Elements of constants up to which a text on standard output holds all of them.
const INLINE_ELEMENTS: usize = 1 << 10;

/// The text of a module, with `...` for constants if they are many.
pub(super) fn for_reading(module: &Module) -> String {
    let elements: usize = module.constants.values().map(|constant| constant.tensor.len()).sum();
    let large = if elements <= INLINE_ELEMENTS { LargeConstants::Inline } else { LargeConstants::Omit };
    print_with(module, &PrintOptions { large, ..PrintOptions::default() }).text
}

/// Writes the text of a module to a file, and large constants to a safetensors file of the same name next to it.
pub(super) fn write(module: &Module, path: &Path) -> Outcome {
    let weights = path.with_extension("safetensors");
    let name = weights.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::file(path, "is no file name in UTF-8"))?;
    let options = PrintOptions { large: LargeConstants::File(name), ..PrintOptions::default() };
    let printed = print_with(module, &options);
    if !printed.external.is_empty() {
        let tensors: Vec<(&str, &Tensor)> = printed
            .external
            .iter()
            .filter_map(|(key, id)| Some((key.as_str(), &module.constants.get(*id)?.tensor)))
            .collect();
        write_weights(&weights, &tensors).map_err(|error| Failure::file(&weights, error))?;
    }
    output::write(path, printed.text.as_bytes())
}
