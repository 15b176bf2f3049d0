//! Models as they come: files, bytes, modules.

use super::{CompiledModel, Options};
use crate::error::{Error, Place};
use crate::import::onnx::{self, ModelInfo};
use crate::import::{BatchNorm, ImportOptions, ImportReport, Imported, MemoryBudget};
use crate::program::Training;
use bytes::Bytes;
use graven_ir::{Module, Tensor, json, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Compiles models.
///
/// ```no_run
/// use graven::api::{Compiler, Options};
/// # fn main() -> Result<(), graven::error::Error> {
/// let model = Compiler::new(Options::default()).load("model.onnx")?.jit()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    options: Options,
}

impl Compiler {
    /// A compiler with these options.
    pub fn new(options: Options) -> Compiler {
        Compiler { options }
    }

    /// A model in a file: text if its name ends with `.gir`, JSON with `.json`, otherwise ONNX. The file must not change as long as the result is used.
    ///
    /// # Errors
    /// Bad input for files that can't be read and texts that are no modules. An ONNX file is looked at when it is compiled.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<LoadedModel, Error> {
        let path = path.as_ref();
        if path.extension().is_some_and(|extension| extension == "gir") {
            let module = read_text(path).map_err(|error| error.summary())?;
            return Ok(self.module(module));
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            return Ok(self.module(read_json(path)?));
        }
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(Error::bad_input(file(path), "is a folder")),
            Ok(_) => Ok(self.loaded(Source::OnnxFile(path.into()))),
            Err(error) => Err(Error::bad_input(file(path), format!("cannot be read: {error}"))),
        }
    }

    /// An ONNX model in memory.
    pub fn load_bytes(&self, bytes: impl Into<Bytes>) -> LoadedModel {
        self.loaded(Source::OnnxBytes(bytes.into()))
    }

    /// A module.
    pub fn module(&self, module: Module) -> LoadedModel {
        self.loaded(Source::Module(Arc::new(module)))
    }

    fn loaded(&self, source: Source) -> LoadedModel {
        LoadedModel {
            options: Arc::new(self.options.clone()),
            source,
            shapes: BTreeMap::new(),
            batch_norm: BatchNorm::AsWritten,
            training: None,
        }
    }
}

#[derive(Clone, Debug)]
enum Source {
    OnnxFile(PathBuf),
    OnnxBytes(Bytes),
    Module(Arc<Module>),
}

/// A model that is ready to be compiled.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    pub(super) options: Arc<Options>,
    source: Source,
    /// Shapes of inputs that the user states beforehand.
    shapes: BTreeMap<String, Vec<usize>>,
    /// Statistics of batch normalisation in ONNX models.
    batch_norm: BatchNorm,
    /// What a train step has beside its code.
    pub(super) training: Option<Training>,
}

impl LoadedModel {
    /// The same model for inputs of these shapes only.
    pub fn with_input_shapes(self, shapes: BTreeMap<String, Vec<usize>>) -> LoadedModel {
        LoadedModel { shapes, ..self }
    }

    /// The same model with other statistics in its batch normalisations. Only ONNX models know them as such; modules stay as they are.
    pub fn with_batch_norm(self, batch_norm: BatchNorm) -> LoadedModel {
        LoadedModel { batch_norm, ..self }
    }

    /// The same model as a train step whose states begin so: see [`train_step_model`](super::train_step_model).
    pub(super) fn with_training(self, training: Training) -> LoadedModel {
        LoadedModel { training: Some(training), ..self }
    }

    /// The module, with extents bound as far as the options say.
    ///
    /// # Errors
    /// Those of the importer; a named extent that has neither value nor range is bad input.
    pub fn module(&self) -> Result<Imported, Error> {
        self.import(&self.shapes)
    }

    /// The module for inputs of these shapes.
    ///
    /// # Errors
    /// Those of the importer.
    pub fn module_for(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Imported, Error> {
        self.import(shapes)
    }

    fn import(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Imported, Error> {
        let options = self.import_options(shapes);
        match &self.source {
            Source::OnnxFile(path) => onnx::import_file(path, &options),
            Source::OnnxBytes(bytes) => onnx::import_bytes(bytes.clone(), &options),
            Source::Module(module) => {
                let module = super::bind::bind(module, &self.options.dims, shapes)?;
                Ok(Imported { module, report: ImportReport::default() })
            }
        }
    }

    fn import_options(&self, shapes: &BTreeMap<String, Vec<usize>>) -> ImportOptions {
        ImportOptions {
            dims: self.options.dims.clone(),
            input_shapes: shapes.clone(),
            batch_norm: self.batch_norm,
            memory: self.options.max_memory.map_or_else(MemoryBudget::unlimited, MemoryBudget::new),
            ..ImportOptions::default()
        }
    }

    /// Names of extents of the inputs that need a value and have none.
    ///
    /// # Errors
    /// Those of the importer.
    pub fn open_extents(&self) -> Result<Vec<String>, Error> {
        let Some(info) = self.describe()? else { return Ok(Vec::new()) };
        let mut open = Vec::new();
        for input in &info.inputs {
            let Some(shape) = &input.shape else {
                open.push(input.name.clone());
                continue;
            };
            for extent in shape {
                let known = extent.parse::<u64>().is_ok() || self.options.dims.contains_key(extent);
                if !known && !open.contains(extent) {
                    open.push(extent.clone());
                }
            }
        }
        Ok(open)
    }

    /// Names of the inputs, in order.
    ///
    /// # Errors
    /// Those of the importer.
    pub fn input_names(&self) -> Result<Vec<String>, Error> {
        match self.describe()? {
            Some(info) => Ok(info.inputs.into_iter().map(|input| input.name).collect()),
            None => {
                let module = self.module()?.module;
                let function = module.functions.into_iter().next();
                Ok(function.map_or_else(Vec::new, |f| f.inputs.iter().map(|name| name.to_string()).collect()))
            }
        }
    }

    /// What an ONNX model says about itself; `None` for a module.
    ///
    /// # Errors
    /// Bad input for files that are no valid models.
    pub fn describe(&self) -> Result<Option<ModelInfo>, Error> {
        let options = self.import_options(&BTreeMap::new());
        match &self.source {
            Source::OnnxFile(path) => onnx::describe_file(path, &options).map(Some),
            Source::OnnxBytes(bytes) => onnx::describe_bytes(bytes.clone(), &options).map(Some),
            Source::Module(_) => Ok(None),
        }
    }

    /// Writes an ONNX model to a file, with these values for the initialisers of their names. Everything else stays as it is, byte for byte.
    ///
    /// # Errors
    /// Unsupported for a module, and for names that no initialiser has; bad input for files that can't be read or written and values that don't fit.
    pub fn write_onnx(&self, values: &[(Arc<str>, Tensor)], path: &Path) -> Result<(), Error> {
        let values: Vec<(&str, &Tensor)> = values.iter().map(|(name, value)| (&**name, value)).collect();
        match &self.source {
            Source::OnnxFile(model) => onnx::write_updated_file(model, &values, path),
            Source::OnnxBytes(bytes) => onnx::write_updated_bytes(bytes, &values, path),
            Source::Module(_) => {
                let reason = "comes from no ONNX file, so there is none to write new values to";
                Err(Error::unsupported(Place::new("the model"), reason))
            }
        }
    }

    /// Whether the model comes from ONNX.
    pub fn is_onnx(&self) -> bool {
        !matches!(self.source, Source::Module(_))
    }

    /// Compiles the model for this process. A model with extents that the options leave open is compiled when inputs of new shapes come.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn jit(&self) -> Result<CompiledModel, Error> {
        CompiledModel::new(self.clone())
    }
}

fn file(path: &Path) -> Place {
    Place::new(format!("`{}`", path.display()))
}

/// A text that is no module, with what is needed to show where.
#[derive(Debug)]
pub struct TextError {
    /// The file.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
    /// What is wrong, with places.
    pub errors: text::ParseErrors,
}

/// Why a text could not be read.
#[derive(Debug)]
pub enum ReadTextError {
    /// The file can't be read.
    File(Error),
    /// It holds no module.
    Text(Box<TextError>),
}

impl ReadTextError {
    /// One sentence about the first error.
    pub fn summary(&self) -> Error {
        match self {
            ReadTextError::File(error) => error.clone(),
            ReadTextError::Text(error) => {
                let reason = error
                    .errors
                    .0
                    .first()
                    .map_or_else(String::new, |first| first.located(&error.text).to_string());
                Error::bad_input(file(&error.path), reason)
            }
        }
    }
}

/// The module of a `.gir` file; constants may stand in safetensors files in its folder.
///
/// # Errors
/// See [`ReadTextError`].
pub fn read_text(path: &Path) -> Result<Module, ReadTextError> {
    let text = read_utf8(path).map_err(ReadTextError::File)?;
    let weights = weights_beside(path);
    let reader = |name: &str, key: &str| weights.read(name, key);
    let options = text::ParseOptions { weights: Some(&reader), ..text::ParseOptions::default() };
    match text::parse_with(&text, &options) {
        Ok(parsed) => Ok(parsed.module),
        Err(errors) => Err(ReadTextError::Text(Box::new(TextError { path: path.into(), text, errors }))),
    }
}

/// The module of a JSON file; constants may stand in safetensors files in its folder.
///
/// # Errors
/// Bad input for a file that can't be read or holds no valid module.
pub fn read_json(path: &Path) -> Result<Module, Error> {
    let text = read_utf8(path)?;
    let weights = weights_beside(path);
    let reader = |name: &str, key: &str| weights.read(name, key);
    let options = json::ReadOptions { weights: Some(&reader), ..json::ReadOptions::default() };
    json::from_str(&text, &options).map_err(|error| Error::bad_input(file(path), error.to_string()))
}

fn read_utf8(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path)
        .map_err(|error| Error::bad_input(file(path), format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Error::bad_input(file(path), "is no text in UTF-8"))
}

fn weights_beside(path: &Path) -> super::weights::Reader {
    super::weights::Reader::new(path.parent().unwrap_or(Path::new("")).to_path_buf())
}
