//! The command line of a training.

use core::ffi::CStr;

use super::super::arguments::{self, set, split};
use crate::error::Error;
use crate::text::{parse, text};

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Epochs(u64),
    Steps(u64),
}

/// What the user asked for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments<'a> {
    pub(super) train_x: Option<&'a CStr>,
    pub(super) train_y: Option<&'a CStr>,
    pub(super) output: Option<&'a CStr>,
    pub(super) weights: Option<&'a CStr>,
    pub(super) x_scale: Option<f64>,
    pub(super) length: Option<Length>,
    pub(super) seed: u64,
    pub(super) threads: Option<usize>,
    pub(super) help: bool,
    pub(super) version: bool,
}

impl<'a> Arguments<'a> {
    /// Parses the words after the program's name; a value may follow its flag as `--flag value` or `--flag=value`.
    pub(super) fn parse(words: &[&'a CStr]) -> Result<Arguments<'a>, Error> {
        let mut arguments = Arguments::default();
        let mut seed = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, attached) = split(word);
            let mut value = || {
                let value = attached.or_else(|| words.next().copied());
                value.ok_or_else(|| Error::bad_input(text!("a value must follow %", flag)))
            };
            match flag {
                "--train-x" => set(&mut arguments.train_x, value()?, flag)?,
                "--train-y" => set(&mut arguments.train_y, value()?, flag)?,
                "--output" | "-o" => set(&mut arguments.output, value()?, flag)?,
                "--weights" => set(&mut arguments.weights, value()?, flag)?,
                "--x-scale" => set(&mut arguments.x_scale, scale(value()?)?, flag)?,
                "--epochs" => set(&mut arguments.length, Length::Epochs(count(value()?, flag)?), flag)?,
                "--steps" => set(&mut arguments.length, Length::Steps(count(value()?, flag)?), flag)?,
                "--seed" => set(&mut seed, count(value()?, flag)?, flag)?,
                "--threads" => set(&mut arguments.threads, arguments::threads(value()?)?, flag)?,
                "--help" | "-h" if attached.is_none() => arguments.help = true,
                "--version" | "-V" if attached.is_none() => arguments.version = true,
                _ => {
                    let word = word.to_str().unwrap_or("(not UTF-8)");
                    return Err(Error::bad_input(text!("unknown argument '%', see --help", word)));
                }
            }
        }
        arguments.seed = seed.unwrap_or(0);
        Ok(arguments)
    }
}

fn count(value: &CStr, flag: &str) -> Result<u64, Error> {
    parse(value.to_bytes()).ok_or_else(|| Error::bad_input(text!("% must be a whole number", flag)))
}

fn scale(value: &CStr) -> Result<f64, Error> {
    let number =
        value.to_str().ok().and_then(|text| text.parse().ok()).filter(|scale: &f64| scale.is_finite());
    number.ok_or_else(|| Error::bad_input(text!("--x-scale must be a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let words = [c"--train-x", c"x", c"--train-y=y", c"-o", c"out", c"--epochs=3", c"--x-scale", c"0.5"];
        let expected = Arguments {
            train_x: Some(c"x"),
            train_y: Some(c"y"),
            output: Some(c"out"),
            length: Some(Length::Epochs(3)),
            x_scale: Some(0.5),
            ..Arguments::default()
        };
        assert_eq!(Arguments::parse(&words), Ok(expected));
    }

    #[test]
    fn errors() {
        let message =
            |words: &[&CStr]| std::string::String::from(Arguments::parse(words).unwrap_err().message());
        assert_eq!(message(&[c"--epochs", c"x"]), "--epochs must be a whole number");
        assert_eq!(message(&[c"--epochs=1", c"--steps=1"]), "--steps is given twice");
        assert_eq!(message(&[c"--x-scale=nan"]), "--x-scale must be a number");
        assert_eq!(message(&[c"--batch=5"]), "unknown argument '--batch=5', see --help");
        assert_eq!(message(&[c"--seed"]), "a value must follow --seed");
    }
}
