//! Arguments that several commands have.

use super::failure::Failure;
use super::limits::Limits;
use super::observer::Printer;
use crate::api::{Accuracy, Backend, Observer, Options};
use crate::import::DimBinding;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What makes the code.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum BackendName {
    /// The fastest one that the target has: wide on x86-64 with AVX2 and FMA, else cranelift
    #[default]
    Auto,
    /// Vectors of 256 bits (AVX2) or 512 bits (AVX-512)
    Wide,
    /// Vectors of 128 bits, on every target
    Cranelift,
    /// No code: the reference interpreter, which is slow
    Interp,
}

/// Which rewrites of floating-point arithmetic are allowed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum AccuracyName {
    /// Only those within the error bound of plain summation
    Strict,
    /// Those with a documented bound too
    #[default]
    Default,
    /// Everything that networks tolerate
    Fast,
}

/// The model and how to compile it.
#[derive(Args, Debug)]
pub(super) struct ModelArguments {
    /// Model: an ONNX file, or a module as text (.gir) or JSON (.json)
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// Value or range of a named extent: N=8 or N=1..=32
    #[arg(long = "dim", value_name = "NAME=V", value_parser = parse_dim)]
    dims: Vec<(String, DimBinding)>,
    /// Threads; by default as many as there are CPUs to use
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// CPU: native, or a name such as x86-64-v3 or cortex-a72; an unknown name lists the known ones
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Which rewrites of floating-point arithmetic are allowed
    #[arg(long, value_enum, default_value_t, hide_possible_values = false)]
    accuracy: AccuracyName,
    /// The most memory that compiling and the model may take, in bytes or with a unit: 2GB, 512MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_memory: Option<u64>,
    /// How long compiling may take, in seconds
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    max_seconds: Option<Duration>,
    /// Print what the optimiser did and missed, and why
    #[arg(long)]
    pub(super) remarks: bool,
    /// Print how long each stage took
    #[arg(long)]
    pub(super) timing: bool,
    /// Print the graph after every pass
    #[arg(long)]
    pub(super) print_after_all: bool,
}

impl ModelArguments {
    /// Which rewrites of arithmetic are allowed.
    pub(super) fn accuracy(&self) -> Accuracy {
        match self.accuracy {
            AccuracyName::Strict => Accuracy::Strict,
            AccuracyName::Default => Accuracy::Default,
            AccuracyName::Fast => Accuracy::Fast,
        }
    }

    /// Starts watching time and memory.
    pub(super) fn limits(&self) -> Limits {
        Limits::set(self.max_memory, self.max_seconds)
    }

    /// The options for this machine.
    pub(super) fn options(&self, backend: BackendName) -> Result<Options, Failure> {
        let mut dims = std::collections::BTreeMap::new();
        for (name, binding) in &self.dims {
            if dims.insert(name.clone(), *binding).is_some() {
                return Err(Failure::usage(format!("`--dim {name}=…` is given twice")));
            }
        }
        let options = Options {
            dims,
            threads: self.threads,
            cpu: self.cpu.clone(),
            backend: match backend {
                BackendName::Auto => Backend::Auto,
                BackendName::Wide => Backend::Wide,
                BackendName::Cranelift => Backend::Cranelift,
                BackendName::Interp => Backend::Interp,
            },
            accuracy: self.accuracy(),
            max_memory: self.max_memory,
            max_time: self.max_seconds,
            observer: (self.timing || self.print_after_all || self.remarks).then(|| {
                let (timing, graphs, remarks) = (self.timing, self.print_after_all, self.remarks);
                Arc::new(Printer { timing, graphs, remarks }) as Arc<dyn Observer>
            }),
            ..Options::default()
        };
        options.threads()?;
        Ok(options)
    }
}

/// `N=8` or `N=1..=32`.
fn parse_dim(text: &str) -> Result<(String, DimBinding), String> {
    let form = || "expected NAME=VALUE or NAME=LOW..=HIGH".to_string();
    // The name of an extent may contain an equals sign; its value doesn't.
    let (name, value) = text.rsplit_once('=').ok_or_else(form)?;
    let number =
        |digits: &str| digits.trim().parse::<i64>().ok().filter(|value| *value >= 0).ok_or_else(form);
    match name.strip_suffix("..") {
        Some(range) => {
            let (name, low) = range.rsplit_once('=').ok_or_else(form)?;
            let (low, high) = (number(low)?, number(value)?);
            match low <= high {
                true => Ok((name.to_string(), DimBinding::Range(low, high))),
                false => Err(format!("the range {low}..={high} is empty")),
            }
        }
        None => Ok((name.to_string(), DimBinding::Fixed(number(value)?))),
    }
    .and_then(|(name, binding)| if name.is_empty() { Err(form()) } else { Ok((name, binding)) })
}

/// A number of bytes, with the units of SI (`kB`, `MB`, `GB`) and IEC (`KiB`, `MiB`, `GiB`).
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err("expected a number of bytes such as 2000000, 512MiB or 2GB".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "expected a number of bytes such as 2000000, 512MiB or 2GB")?;
    number.checked_mul(factor).ok_or_else(|| "the number is too large".into())
}

/// A positive number of seconds.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    match seconds > 0.0 {
        true => Duration::try_from_secs_f64(seconds).map_err(|_| "the time is too long".into()),
        false => Err("the time must be positive".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims() {
        let dim = |text| parse_dim(text).ok();
        assert_eq!(dim("N=8"), Some(("N".into(), DimBinding::Fixed(8))));
        assert_eq!(dim("batch size=1..=32"), Some(("batch size".into(), DimBinding::Range(1, 32))));
        assert_eq!(dim("a=b=3"), Some(("a=b".into(), DimBinding::Fixed(3))));
        for text in ["N", "N=", "=3", "N=-1", "N=4..=2", "N=1..3", "N=..=3", "N=x", "=1..=2"] {
            assert!(parse_dim(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("17"), Ok(17));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_bytes("1 MiB"), Ok(1 << 20));
        for text in ["", "GB", "2XB", "-1", "1.5GB", "99999999999999999999", "18446744073709551615k"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "five", "1e300"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
