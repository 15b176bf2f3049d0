//! The input file: which arrays there are and whether they are what the model takes.

use alloc::vec::Vec;
use core::ffi::CStr;

use crate::abi::DType;
use crate::arena::Arena;
use crate::error::Error;
use crate::model::{Model, Tensor};
use crate::npy::{self, Array};
use crate::npz::Archive;
use crate::sys::file::{self, quoted};
use crate::text::text;

/// Arrays from a file, in the order of the model's inputs, and the initial states that the file has.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) shapes: Vec<Vec<i64>>,
    pub(super) buffers: Vec<Arena>,
    pub(super) states: Vec<Option<(Arena, Vec<i64>)>>,
}

/// Reads the inputs of a model; without a file there are none.
///
/// # Errors
/// `Kind::BadInput` if an array is missing or of another element type; shapes are left to [`Model::bind`].
/// Further what reading the file gives.
pub(super) fn read(model: &Model<'_>, path: Option<&CStr>) -> Result<Inputs, Error> {
    let none = || Inputs { shapes: Vec::new(), buffers: Vec::new(), states: Vec::new() };
    let Some(path) = path else {
        let mut inputs = none();
        if !model.inputs.is_empty() {
            return Err(Error::bad_input(text!("--inputs FILE is missing, see --help")));
        }
        inputs.states.resize_with(model.states.len(), || None);
        return Ok(inputs);
    };
    let contents = file::read(path)?;
    let in_file = |error: Error| error.at(&quoted(path));
    let source = Source::open(&contents, model).map_err(in_file)?;
    let mut inputs = none();
    for input in &model.inputs {
        let array = source.get(input.name).ok_or_else(|| missing(model, input)).flatten().map_err(in_file)?;
        inputs.buffers.push(buffer("input", input, &array)?);
        inputs.shapes.push(array.shape);
    }
    for state in &model.states {
        let array = source.get(state.name).transpose().map_err(in_file)?;
        inputs.states.push(match array {
            Some(array) => Some((buffer("state", state, &array)?, array.shape)),
            None => None,
        });
    }
    Ok(inputs)
}

fn missing(model: &Model<'_>, input: &Tensor<'_>) -> Error {
    Error::bad_input(text!(
        "there is no array '%' for the input of that name (% %)",
        input.name,
        input.dtype.name(),
        model.shape_text(input)
    ))
}

/// Where arrays come from.
enum Source<'a> {
    Archive(Archive<'a>),
    /// The array of the only input, under its name.
    Single(&'a str, &'a [u8]),
}

impl<'a> Source<'a> {
    fn open(contents: &'a [u8], model: &Model<'a>) -> Result<Source<'a>, Error> {
        if !npy::is_npy(contents) {
            return Archive::open(contents).map(Source::Archive);
        }
        match &model.inputs[..] {
            [input] => Ok(Source::Single(input.name, contents)),
            _ => Err(Error::bad_input(text!(
                "an npy file does for a model with one input only, this needs an npz file"
            ))),
        }
    }

    fn get(&self, name: &str) -> Option<Result<Array<'a>, Error>> {
        match self {
            Source::Archive(archive) => archive.get(name),
            Source::Single(only, contents) => (*only == name).then(|| npy::read(contents)),
        }
    }
}

/// An array in the form that the model reads, aligned.
fn buffer(what: &str, tensor: &Tensor<'_>, array: &Array<'_>) -> Result<Arena, Error> {
    let in_file = match tensor.dtype {
        DType::I4 => DType::I8,
        DType::U4 => DType::U8,
        dtype => dtype,
    };
    if array.dtype != in_file {
        let (found, wanted) = (array.dtype.name(), in_file.name());
        return Err(Error::bad_input(text!(
            "% '%' has element type % instead of %",
            what,
            tensor.name,
            found,
            wanted
        )));
    }
    let range = match tensor.dtype {
        DType::I4 => Some((-8i8, 7i8)),
        DType::U4 => Some((0, 15)),
        _ => None,
    };
    if let Some((low, high)) = range
        && !array.data.iter().all(|byte| (low..=high).contains(&(*byte as i8)))
    {
        let message =
            text!("% '%' has an element outside %..=%", what, tensor.name, i64::from(low), i64::from(high));
        return Err(Error::bad_input(message));
    }
    let mut buffer = Arena::new(array.data.len())?;
    buffer.copy_from_slice(&array.data);
    if tensor.dtype == DType::Bool {
        // Raw bytes viewed as booleans may hold anything.
        buffer.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
    }
    Ok(buffer)
}
