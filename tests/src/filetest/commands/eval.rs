//! `test eval`: the interpreter on the file's functions.
//!
//! ```text
//! // run: main([1.0, 2.0], 3) == [4.0, 5.0]          the same elements; all NaNs count as the same
//! // run: main([1.0, 2.0], 3) ~= [4.0, 5.0]          floats up to a few units in the last place
//! // run: main([] : f32[0, 2], 3) == [] : f32[0, 2]  a type where the literal alone does not tell it
//! // run: main([1.0, 2.0], 3) fails: text            an error whose message contains the text
//! ```
//! Inputs and outputs include the states, after the others. Comment lines with a deeper indentation continue a run. Custom calls named
//! `twice` are known: they double their operand.

use super::{Outcome, cat, no_arguments};
use crate::filetest::file::TestFile;
use graven_ir::interp::{CustomCalls, Interpreter};
use graven_ir::text::cursor::{Cursor, Parse};
use graven_ir::text::lexer::Token;
use graven_ir::text::{ParseError, ParseErrorKind, display_literal, parse, parse_literal};
use graven_ir::{DType, Function, Module, Tensor, TensorType};

/// Bytes that a literal may take.
const MAX_BYTES: usize = 1 << 20;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let module = parse(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    run_all(file, &module, 1.0)?;
    Ok(Outcome::Done)
}

/// Checks the `run:` lines of a file, of which there must be some, on a module; `~=` takes `slack` times the usual tolerance.
pub fn run_all(file: &TestFile, module: &Module, slack: f64) -> Result<(), String> {
    if file.runs.is_empty() {
        return Err("no `// run:` line".into());
    }
    let run = |(line, text): &(usize, String)| {
        run_line(module, text, slack).err().map(|message| format!("{}: {message}", file.at(*line)))
    };
    let failures: Vec<String> = file.runs.iter().filter_map(run).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// What a run is expected to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The same elements.
    Equal,
    /// Nearly the same floats.
    Close,
    /// An error.
    Failure,
}

const SEPARATORS: [(&str, Expected); 3] =
    [(" == ", Expected::Equal), (" ~= ", Expected::Close), (" fails: ", Expected::Failure)];

/// A `run:` line.
pub struct Run<'m> {
    /// What is called.
    pub function: &'m Function,
    /// Its inputs, then its states.
    pub inputs: Vec<Tensor>,
    /// What it gives.
    pub expected: Expected,
    /// The results or the message.
    text: &'m str,
}

impl<'m> Run<'m> {
    /// Reads a line.
    pub fn parse(module: &'m Module, text: &'m str) -> Result<Run<'m>, String> {
        let split = |(separator, expected): &(&str, Expected)| {
            text.split_once(*separator).map(|(call, results)| (call, *expected, results.trim()))
        };
        let found = SEPARATORS.iter().find_map(split);
        let (call, expected, text) =
            found.ok_or("a run is `call == results`, `call ~= results` or `call fails: text`")?;
        let (function, inputs) = parse_call(module, call)?;
        Ok(Run { function, inputs, expected, text })
    }

    /// Compares results with the expected ones; where these need only be close, they may differ by `slack` times the usual tolerance.
    pub fn compare(&self, results: &[Tensor], slack: f64) -> Result<(), String> {
        compare(self.function, self.text, results, Some(slack).filter(|_| self.expected == Expected::Close))
    }
}

fn run_line(module: &Module, text: &str, slack: f64) -> Result<(), String> {
    let run = Run::parse(module, text)?;
    let interpreter = Interpreter::new(&module.constants).with_custom_calls(custom_calls());
    match (run.expected, interpreter.function(run.function, &run.inputs)) {
        (Expected::Failure, Err(error)) if error.to_string().contains(run.text) => Ok(()),
        (Expected::Failure, Err(error)) => Err(format!("the error lacks `{}`: {error}", run.text)),
        (Expected::Failure, Ok(results)) => Err(format!("no error but {}", show(&results))),
        (_, Err(error)) => Err(error.to_string()),
        (_, Ok(results)) => run.compare(&results, slack),
    }
}

fn custom_calls() -> CustomCalls<'static> {
    let mut calls = CustomCalls::new();
    calls.register("twice", |operands, types| {
        let (Some(x), Some(ty)) = (operands.first(), types.first()) else { return Err("one operand".into()) };
        let doubled =
            x.to_f64s().into_iter().flat_map(|x| graven_ir::element::encode_float(ty.dtype, 2.0 * x));
        let tensor = Tensor::new(ty.dtype, x.shape().to_vec(), doubled.collect::<Vec<u8>>());
        Ok(vec![tensor.map_err(|error| error.to_string())?])
    });
    calls
}

/// Compares results with their literals.
fn compare(function: &Function, text: &str, results: &[Tensor], slack: Option<f64>) -> Result<(), String> {
    let expected = complete(text, |cursor| {
        let mut expected = Vec::new();
        for (place, result) in results.iter().enumerate() {
            if place > 0 {
                cursor.expect(",")?;
            }
            // A literal without a type has that of the signature, where that is known when compiling.
            let stated = function.graph.results().get(place).map(|value| function.graph.ty(*value));
            let shape = stated.and_then(TensorType::const_shape);
            expected.push(typed_literal(cursor, result.dtype(), shape.as_deref())?);
        }
        Ok(expected)
    })?;
    let equal = |(expected, result): (&Tensor, &Tensor)| match slack {
        _ if expected.ty() != result.ty() => false,
        Some(slack) => nearly_equal(expected, result, slack),
        None => same(expected, result),
    };
    match expected.iter().zip(results).all(equal) {
        true => Ok(()),
        false => Err(format!("expected {}\n    found {}", show(&expected), show(results))),
    }
}

/// Equal bits, where all NaNs are the same.
fn same(a: &Tensor, b: &Tensor) -> bool {
    let bytes = a.dtype().bytes();
    let elements = a.data().chunks_exact(bytes).zip(b.data().chunks_exact(bytes));
    elements
        .zip(a.to_f64s().iter().zip(b.to_f64s()))
        .all(|((x, y), (a, b))| x == y || a.is_nan() && b.is_nan())
}

/// Equal up to `slack` times the rounding of decimal literals and of one operation of the interpreter. Where there is slack, sums may cancel, too: by one
/// rounding of the largest element.
fn nearly_equal(expected: &Tensor, result: &Tensor, slack: f64) -> bool {
    let tolerance = match expected.dtype() {
        DType::F64 => 1e-13,
        DType::F32 => 2.4e-7,
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 0.0,
    } * slack;
    let expected = expected.to_f64s();
    let largest = expected.iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
    let cancelled = if slack > 1.0 { tolerance / slack * largest } else { 0.0 };
    let near = |(a, b): (&f64, f64)| {
        *a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * a.abs() + cancelled
    };
    expected.iter().zip(result.to_f64s()).all(near)
}

fn show(tensors: &[Tensor]) -> String {
    let texts = tensors.iter().map(|tensor| format!("{} : {}", display_literal(tensor), tensor.ty()));
    texts.collect::<Vec<_>>().join(", ")
}

/// `main([1.0], 2)`.
fn parse_call<'m>(module: &'m Module, text: &str) -> Result<(&'m Function, Vec<Tensor>), String> {
    complete(text, |cursor| {
        let span = cursor.span();
        let name = cursor.name("the name of a function")?;
        let Some(function) = module.functions.iter().find(|function| function.name == name) else {
            return Err(cursor.error(span, ParseErrorKind::Other(format!("there is no function `{name}`"))));
        };
        cursor.expect("(")?;
        let mut inputs = Vec::new();
        while cursor.item_follows(")", inputs.len())? {
            let Some(param) = function.graph.params().get(inputs.len()) else {
                return Err(cursor.unexpected("`)`"));
            };
            let ty = function.graph.ty(*param);
            inputs.push(typed_literal(cursor, ty.dtype, ty.const_shape().as_deref())?);
        }
        Ok((function, inputs))
    })
}

/// A literal with its type after it, or of the given type without one.
fn typed_literal(cursor: &mut Cursor<'_>, dtype: DType, shape: Option<&[usize]>) -> Parse<Tensor> {
    let start = cursor.checkpoint();
    cursor.skip_to(|cursor| cursor.at(",") || cursor.at(":"));
    if !cursor.eat(":") {
        cursor.rewind(start);
        return parse_literal(cursor, dtype, shape, MAX_BYTES);
    }
    let span = cursor.span();
    let ty = graven_ir::text::parse_type(cursor, &|_| None)?;
    let after = cursor.checkpoint();
    let Some(shape) = ty.const_shape() else {
        return Err(cursor.error(span, ParseErrorKind::Other("the extents must be numbers".into())));
    };
    cursor.rewind(start);
    let tensor = parse_literal(cursor, ty.dtype, Some(&shape), MAX_BYTES)?;
    cursor.rewind(after);
    Ok(tensor)
}

/// Parses all of a text.
pub fn complete<T>(text: &str, parse: impl FnOnce(&mut Cursor<'_>) -> Parse<T>) -> Result<T, String> {
    let mut cursor = Cursor::new(text);
    let result = parse(&mut cursor);
    if result.is_ok() && cursor.token() != Token::End {
        cursor.unexpected_start("the end");
    }
    let errors =
        cursor.errors().iter().map(|error: &ParseError| format!("in `{text}` at {}", error.located(text)));
    match (result, cursor.errors()) {
        (Ok(value), []) => Ok(value),
        _ => Err(errors.collect::<Vec<_>>().join("\n")),
    }
}
