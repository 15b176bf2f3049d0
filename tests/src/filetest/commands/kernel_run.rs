//! `test kernel-run`: interprets kernels and runs them compiled; both must leave the same bits, and those of the `run:` lines.
//!
//! ```text
//! // run: name(N = 3, %x = [1.0, 2.0, 3.0]) == %y = [2.0, 4.0, 6.0]     the same elements; all NaNs count as the same
//! // run: name(%x = [1.0]) ~= %y = [2.0]                                floats up to 2e-6 of the largest element
//! // run: name(%x = [1]) == %y = [0], status = 7                        a check has failed
//! // run: name(N = 4) fails: text                                       the interpreter stops with an error that contains the text
//! ```
//! Arguments that a run does not give are zero; results that it does not name are not looked at.

use super::{Outcome, cat, no_arguments};
use crate::filetest::commands::eval::complete;
use crate::filetest::file::TestFile;
use crate::kernel::{Results, argument_sizes, run_everywhere, same_element};
use graven::kernel::text::{Parsed, parse_with_spans};
use graven::kernel::{Buffer, Kernel};
use graven_ir::element;
use graven_ir::text::cursor::{Cursor, Parse};
use graven_ir::text::lexer::Token;
use graven_ir::text::{ParseErrorKind, parse_literal};

/// Bytes that a literal may take.
const MAX_BYTES: usize = 1 << 20;

/// Distance of close floats, relative to the largest expected element of the buffer: a few dozen roundings of f32.
const CLOSE: f64 = 2e-6;

pub fn run(file: &TestFile, arguments: &[String]) -> Result<Outcome, String> {
    no_arguments(arguments)?;
    let kernels = parse_with_spans(&file.text).map_err(|errors| cat::located(file, &file.text, &errors))?;
    if file.runs.is_empty() {
        return Err("no `// run:` line".into());
    }
    let run = |(line, text): &(usize, String)| {
        run_line(&kernels, text).err().map(|message| format!("{}: {message}", file.at(*line)))
    };
    let failures: Vec<String> = file.runs.iter().filter_map(run).collect();
    if failures.is_empty() { Ok(Outcome::Done) } else { Err(failures.join("\n")) }
}

fn run_line(kernels: &[Parsed], text: &str) -> Result<(), String> {
    let split =
        |separator: &'static str| text.split_once(separator).map(|(call, rest)| (call, separator, rest));
    let (call, separator, expected) = [" == ", " ~= ", " fails: "]
        .into_iter()
        .find_map(split)
        .ok_or("a run is `call == results`, `call ~= results` or `call fails: text`")?;
    let (kernel, extents, buffers) = complete(call, |cursor| parse_call(kernels, cursor))?;
    let results = match argument_buffers(kernel, &extents, buffers) {
        Ok(buffers) => run_everywhere(kernel, &buffers, &extents),
        Err(message) => Err(message),
    };
    match (separator, results) {
        (" fails: ", Err(message)) if message.contains(expected.trim()) => Ok(()),
        (" fails: ", Err(message)) => Err(format!("the error lacks `{}`: {message}", expected.trim())),
        (" fails: ", Ok(_)) => Err("no error".into()),
        (_, Err(message)) => Err(message),
        (separator, Ok(results)) => {
            let wanted = complete(expected, |cursor| parse_results(kernel, cursor))?;
            let status = wanted.status.unwrap_or(0);
            if status != results.status {
                return Err(format!("the status is {} instead of {status}", results.status));
            }
            let mut wanted = wanted.buffers.into_iter();
            wanted
                .try_for_each(|(place, bytes)| compare(kernel, place, &bytes, &results, separator == " ~= "))
        }
    }
}

/// The given argument buffers, zeros for the others.
fn argument_buffers(
    kernel: &Kernel,
    extents: &[i64],
    given: Vec<Option<Vec<u8>>>,
) -> Result<Vec<Vec<u8>>, String> {
    let sizes = argument_sizes(kernel, extents)?;
    Ok(given.into_iter().zip(sizes).map(|(bytes, size)| bytes.unwrap_or_else(|| vec![0; size])).collect())
}

type Call<'k> = (&'k Kernel, Vec<i64>, Vec<Option<Vec<u8>>>);

/// `name(N = 3, %x = [1.0])`.
fn parse_call<'k>(kernels: &'k [Parsed], cursor: &mut Cursor<'_>) -> Parse<Call<'k>> {
    let span = cursor.span();
    let name = cursor.name("the name of a kernel")?;
    let Some(found) = kernels.iter().find(|parsed| parsed.kernel.name == name) else {
        return Err(cursor.error(span, ParseErrorKind::Other(format!("there is no kernel `{name}`"))));
    };
    let kernel = &found.kernel;
    let mut extents = vec![None; kernel.extents.len()];
    let mut buffers = vec![None; kernel.arguments().count()];
    cursor.expect("(")?;
    let mut items = 0;
    while cursor.item_follows(")", items)? {
        items += 1;
        let span = cursor.span();
        if matches!(cursor.token(), Token::Value(_)) {
            let (place, bytes) = parse_buffer(kernel, cursor)?;
            buffers[place] = Some(bytes);
            continue;
        }
        let name = cursor.name("an extent or a buffer")?;
        let place = kernel.extents.iter().position(|(symbol, _)| symbol.name() == name);
        let Some(place) = place else {
            return Err(cursor.error(span, ParseErrorKind::Other(format!("there is no extent `{name}`"))));
        };
        cursor.expect("=")?;
        extents[place] = Some(integer(cursor)?);
    }
    match extents.into_iter().collect::<Option<Vec<i64>>>() {
        Some(extents) => Ok((kernel, extents, buffers)),
        None => Err(cursor.error(span, ParseErrorKind::Other("an extent is missing".into()))),
    }
}

/// What is expected of a run.
struct Wanted {
    buffers: Vec<(usize, Vec<u8>)>,
    status: Option<i32>,
}

/// `%y = [1.0], status = 3`.
fn parse_results(kernel: &Kernel, cursor: &mut Cursor<'_>) -> Parse<Wanted> {
    let mut wanted = Wanted { buffers: Vec::new(), status: None };
    loop {
        if cursor.eat_word("status") {
            cursor.expect("=")?;
            wanted.status = Some(integer(cursor)? as i32);
        } else {
            wanted.buffers.push(parse_buffer(kernel, cursor)?);
        }
        if !cursor.eat(",") {
            return Ok(wanted);
        }
    }
}

/// `%x = [1.0, 2.0]`: which argument, and its bytes.
fn parse_buffer(kernel: &Kernel, cursor: &mut Cursor<'_>) -> Parse<(usize, Vec<u8>)> {
    let span = cursor.span();
    let name = cursor.value_name("`%` and a buffer's name")?;
    let place = kernel.arguments().position(|(_, buffer)| buffer.name == name);
    let Some(place) = place else {
        return Err(cursor.error(span, ParseErrorKind::Other(format!("there is no argument `%{name}`"))));
    };
    cursor.expect("=")?;
    let tensor = parse_literal(cursor, argument(kernel, place).dtype, None, MAX_BYTES)?;
    Ok((place, tensor.data().to_vec()))
}

fn argument(kernel: &Kernel, place: usize) -> &Buffer {
    kernel.arguments().nth(place).map(|(_, buffer)| buffer).expect("the place of an argument")
}

fn integer(cursor: &mut Cursor<'_>) -> Parse<i64> {
    let span = cursor.span();
    let tensor = parse_literal(cursor, graven_ir::DType::I64, Some(&[]), MAX_BYTES)?;
    match tensor.to_i64s().as_deref() {
        Some([value]) => Ok(*value),
        _ => Err(cursor.error(span, ParseErrorKind::Other("expected an integer".into()))),
    }
}

fn compare(
    kernel: &Kernel,
    place: usize,
    expected: &[u8],
    results: &Results,
    close: bool,
) -> Result<(), String> {
    let buffer = argument(kernel, place);
    let (dtype, found) = (buffer.dtype, &results.buffers[place]);
    if expected.len() != found.len() {
        let (expected, found) = (expected.len() / dtype.bytes(), found.len() / dtype.bytes());
        return Err(format!("`{}` has {found} elements, expected are {expected}", buffer.name));
    }
    let value = |bytes: &[u8]| element::decode_float(dtype, bytes);
    let values = |bytes: &[u8]| bytes.chunks(dtype.bytes()).map(value).collect::<Vec<f64>>();
    let largest =
        values(expected).iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
    let pairs = expected.chunks(dtype.bytes()).zip(found.chunks(dtype.bytes()));
    for (element, (expected, found)) in pairs.enumerate() {
        let near = close && (value(expected) - value(found)).abs() <= CLOSE * largest;
        if !near && !same_element(dtype, expected, found) {
            let all = values(&results.buffers[place]);
            return Err(format!(
                "element {element} of `{}` is {} instead of {}; all: {all:?}",
                buffer.name,
                value(found),
                value(expected)
            ));
        }
    }
    Ok(())
}
