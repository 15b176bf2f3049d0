//! Models as files of machine code.

use super::lower::lower;
use super::{Backend, LoadedModel, WeightsMode};
use crate::codegen::program::CompileThreads;
use crate::codegen::{self, CodegenError};
use crate::emit::executable::write_executable;
use crate::emit::library::{BuildError, write_object_and_header, write_shared_library, write_static_library};
use crate::emit::listing;
use crate::emit::object::{ObjectError, ObjectOptions, WeightsPlacement, write_weights};
use crate::error::{Error, Place};
use crate::program::Program;
use crate::target::Target;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What kind of file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// A program that reads and writes npz files.
    Executable,
    /// An object without undefined symbols, and a C header next to it.
    Object,
    /// A static library, and a C header next to it.
    StaticLibrary,
    /// A shared library, and a C header next to it.
    SharedLibrary,
}

/// Which text is made of a model's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// The kernels in the text form of the kernel IR.
    Kernels,
    /// The entry functions and kernels in Cranelift's intermediate representation.
    Clif,
    /// The entry functions and kernels as instructions.
    Assembly,
}

impl LoadedModel {
    /// Compiles the model to a file, whose name without folder and suffix is the prefix of its symbols. With [`WeightsMode::File`] the weights
    /// are in a second file, `PATH.weights`.
    ///
    /// # Errors
    /// See [`Error`]; existing files are replaced only by complete ones.
    pub fn write(&self, product: Product, path: &Path) -> Result<(), Error> {
        let target = self.options.target()?;
        let mut program = self.program(&target)?;
        program.training = self.training.clone();
        if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
            program.name = stem.to_string();
        }
        let start = Instant::now();
        let compiler = codegen::compiler(&target).map_err(codegen_error)?;
        let in_file = self.options.weights == WeightsMode::File && program.weights_bytes > 0;
        let options = ObjectOptions {
            main: product == Product::Executable,
            weights: if in_file { WeightsPlacement::File } else { WeightsPlacement::Embed },
            threads: if self.options.threads()? == 1 { CompileThreads::One } else { CompileThreads::All },
        };
        if in_file {
            write_weights(&program, &target, &weights_path(path)).map_err(|error| file_error(path, error))?;
        }
        let write = match product {
            Product::Executable => write_executable,
            Product::Object => write_object_and_header,
            Product::StaticLibrary => write_static_library,
            Product::SharedLibrary => write_shared_library,
        };
        write(&program, &target, &*compiler, options, path).map_err(|error| build_error(path, error))?;
        self.options.stage("write", start.elapsed());
        Ok(())
    }

    /// The model's code as text, for people.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn listing(&self, listing: Listing) -> Result<String, Error> {
        let target = self.options.target()?;
        let program = self.program(&target)?;
        let text = match listing {
            Listing::Kernels => Ok(listing::kernels(&program)),
            Listing::Clif => listing::clif(&program, &target),
            Listing::Assembly => {
                let compiler = codegen::compiler(&target).map_err(codegen_error)?;
                listing::assembly(&program, &target, &*compiler)
            }
        };
        text.map_err(|error| build_error(Path::new(""), error.into()))
    }

    /// The lowered program for a target.
    fn program(&self, target: &Target) -> Result<Program, Error> {
        if self.options.backend == Backend::Interp {
            return Err(Error::unsupported(Place::new("backend"), "`interp` makes no code"));
        }
        let start = Instant::now();
        let module = self.module()?.module;
        self.options.stage("import", start.elapsed());
        lower(&module, target, &self.options)
    }
}

/// `PATH.weights`.
fn weights_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".weights");
    name.into()
}

fn file_error(path: &Path, error: impl ToString) -> Error {
    Error::bad_input(Place::new(format!("`{}`", path.display())), error.to_string())
}

fn codegen_error(error: CodegenError) -> Error {
    let place = Place::new("code generation");
    let reason = error.to_string();
    match error {
        CodegenError::Unsupported { .. } => Error::unsupported(place, reason),
        CodegenError::Bug { .. } => Error::internal(place, reason),
    }
}

fn build_error(path: &Path, error: BuildError) -> Error {
    let reason = error.to_string();
    match error {
        BuildError::Object(ObjectError::Codegen(error)) => codegen_error(error),
        BuildError::Object(ObjectError::TooLarge { .. }) => {
            Error::unsupported(Place::new("the model"), reason)
        }
        BuildError::Object(ObjectError::Io(_)) | BuildError::Io(_) | BuildError::Link(_) => {
            file_error(path, reason)
        }
        BuildError::Foreign { .. } => Error::unsupported(Place::new("target"), reason),
        BuildError::Object(_) => Error::internal(Place::new("writing an object"), reason),
    }
}
