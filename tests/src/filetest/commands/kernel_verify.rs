//! `test kernel-verify`: parses and verifies kernels; the errors are those that are annotated.
//!
//! | argument | the target |
//! |---|---|
//! | `vector_bytes=16` | has no wider vectors |
//! | `no-fma` | has no fused multiply-add |
//! | `no-rounding` | has no rounding to integers |

use super::Outcome;
use crate::filetest::file::TestFile;
use crate::filetest::notes::FoundError;
use graven::kernel::text::parse_with_spans;
use graven::kernel::{VerifyLimits, verify};

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    let limits = limits(arguments)?;
    let parsed = match parse_with_spans(&file.text) {
        Ok(kernels) => kernels,
        Err(errors) => {
            let found = |error: &graven_ir::text::ParseError| FoundError {
                span: error.span,
                message: error.kind.to_string(),
            };
            return Ok(Outcome::Errors(errors.0.iter().map(found).collect()));
        }
    };
    let mut errors = Vec::new();
    for kernel in &parsed {
        let violations = verify(&kernel.kernel, &limits).err().unwrap_or_default();
        errors.extend(
            violations
                .iter()
                .map(|error| FoundError { span: kernel.error_span(error), message: error.kind.to_string() }),
        );
    }
    Ok(Outcome::Errors(errors))
}

fn limits(arguments: &[String]) -> Result<VerifyLimits, String> {
    let mut limits = VerifyLimits::NONE;
    for argument in arguments {
        match (argument.as_str(), argument.strip_prefix("vector_bytes=")) {
            ("no-fma", _) => limits.features.fma = false,
            ("no-rounding", _) => limits.features.rounding = false,
            (_, Some(bytes)) => {
                limits.vector_bytes =
                    bytes.parse().map_err(|_| format!("`{bytes}` is no number of bytes"))?;
            }
            _ => return Err(format!("there is no argument `{argument}`")),
        }
    }
    Ok(limits)
}
