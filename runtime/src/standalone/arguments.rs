//! The command line.

use core::ffi::CStr;

use crate::error::Error;
use crate::pool::MAX_WORKERS;
use crate::text::{parse, text};

/// What the user asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments<'a> {
    pub(super) inputs: Option<&'a CStr>,
    pub(super) outputs: Option<&'a CStr>,
    pub(super) weights: Option<&'a CStr>,
    pub(super) threads: Option<usize>,
    pub(super) bench: bool,
    pub(super) help: bool,
    pub(super) version: bool,
}

impl<'a> Arguments<'a> {
    /// Parses the words after the program's name; a value may follow its flag as `--flag value` or `--flag=value`.
    pub(super) fn parse(words: &[&'a CStr]) -> Result<Arguments<'a>, Error> {
        let mut arguments = Arguments::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, attached) = split(word);
            let mut value = || {
                let value = attached.or_else(|| words.next().copied());
                value.ok_or_else(|| Error::bad_input(text!("a value must follow %", flag)))
            };
            match flag {
                "--inputs" => set(&mut arguments.inputs, value()?, flag)?,
                "--outputs" => set(&mut arguments.outputs, value()?, flag)?,
                "--weights" => set(&mut arguments.weights, value()?, flag)?,
                "--threads" => set(&mut arguments.threads, threads(value()?)?, flag)?,
                "--bench" if attached.is_none() => arguments.bench = true,
                "--help" | "-h" if attached.is_none() => arguments.help = true,
                "--version" | "-V" if attached.is_none() => arguments.version = true,
                _ => {
                    let word = word.to_str().unwrap_or("(not UTF-8)");
                    return Err(Error::bad_input(text!("unknown argument '%', see --help", word)));
                }
            }
        }
        Ok(arguments)
    }
}

/// A word as a flag and the value behind its equals sign.
pub(super) fn split(word: &CStr) -> (&str, Option<&CStr>) {
    let bytes = word.to_bytes_with_nul();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(equals) if bytes.starts_with(b"--") => {
            let flag = core::str::from_utf8(&bytes[..equals]).unwrap_or("");
            (flag, CStr::from_bytes_with_nul(&bytes[equals + 1..]).ok())
        }
        _ => (word.to_str().unwrap_or(""), None),
    }
}

pub(super) fn set<T>(slot: &mut Option<T>, value: T, flag: &str) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::bad_input(text!("% is given twice", flag))),
    }
}

pub(super) fn threads(value: &CStr) -> Result<usize, Error> {
    parse(value.to_bytes())
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (1..=MAX_WORKERS).contains(number))
        .ok_or_else(|| Error::bad_input(text!("--threads must be a number in 1..=%", MAX_WORKERS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(words: &[&CStr]) -> std::string::String {
        Arguments::parse(words).unwrap_err().message().into()
    }

    #[test]
    fn both_spellings() {
        let arguments =
            Arguments::parse(&[c"--inputs", c"a=b", c"--outputs=c=d", c"--bench", c"--threads=3"]);
        let expected = Arguments {
            inputs: Some(c"a=b"),
            outputs: Some(c"c=d"),
            threads: Some(3),
            bench: true,
            ..Arguments::default()
        };
        assert_eq!(arguments, Ok(expected));
        assert_eq!(Arguments::parse(&[c"-h", c"-V"]).map(|a| (a.help, a.version)), Ok((true, true)));
    }

    #[test]
    fn errors() {
        assert_eq!(message(&[c"--inputs"]), "a value must follow --inputs");
        assert_eq!(message(&[c"--input", c"a"]), "unknown argument '--input', see --help");
        assert_eq!(message(&[c"a.npz"]), "unknown argument 'a.npz', see --help");
        assert_eq!(message(&[c"--bench=1"]), "unknown argument '--bench=1', see --help");
        assert_eq!(message(&[c"--outputs=a", c"--outputs=b"]), "--outputs is given twice");
        for number in [c"0", c"1025", c"-1", c"x", c"", c"99999999999999999999"] {
            assert_eq!(message(&[c"--threads", number]), "--threads must be a number in 1..=1024");
        }
        assert_eq!(message(&[c"\xff"]), "unknown argument '(not UTF-8)', see --help");
    }
}
