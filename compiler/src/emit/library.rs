//! Static and shared libraries, each with a header beside it. They need nothing: no runtime, no C library.

use super::archive::write_archive;
use super::file::{WorkingFolder, write_atomically};
use super::header::header;
use super::linker::{LinkError, link};
use super::object::{ObjectError, ObjectFacts, ObjectOptions, write_object};
use crate::codegen::KernelCompiler;
use crate::codegen::cranelift::entry::extents::ComputedExtents;
use crate::program::Program;
use crate::target::Target;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use target_lexicon::{BinaryFormat, Triple};

/// Why there is no library or executable.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Not linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Linking for another system than this one: unsupported.
    #[error(
        "{what} can only be linked for this machine, not for `{triple}`; use --emit obj and that system's linker"
    )]
    Foreign {
        /// What was wanted.
        what: &'static str,
        /// The target.
        triple: String,
    },
    /// The file can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes an object and its header, whose name is that of the object with `.h`.
///
/// # Errors
/// See [`BuildError`].
pub fn write_object_and_header(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    options: ObjectOptions,
    path: &Path,
) -> Result<ObjectFacts, BuildError> {
    let facts = write_object(program, target, compiler, options, path)?;
    write_header(program, target, &facts, path)?;
    Ok(facts)
}

fn write_header(
    program: &Program,
    target: &Target,
    facts: &ObjectFacts,
    path: &Path,
) -> Result<(), BuildError> {
    let text = header(program, target, facts);
    write_atomically(&path.with_extension("h"), |writer| writer.write_all(text.as_bytes()))?;
    Ok(())
}

/// Writes a static library and its header.
///
/// # Errors
/// See [`BuildError`].
pub fn write_static_library(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    options: ObjectOptions,
    path: &Path,
) -> Result<ObjectFacts, BuildError> {
    let place = WorkingFolder::beside(path)?;
    let object = place.path().join("model.o");
    let options = ObjectOptions { main: false, ..options };
    let facts = write_object(program, target, compiler, options, &object)?;
    let format = target.triple.binary_format;
    let symbols = exported(program, &facts.prefix, format);
    let mut file = std::fs::File::open(&object)?;
    let size = file.metadata()?.len();
    write_atomically(path, |writer| write_archive(writer, format, "model.o", (&mut file, size), &symbols))?;
    write_header(program, target, &facts, path)?;
    Ok(facts)
}

/// Names of the symbols that an object has for others, as the object's format spells them.
fn exported(program: &Program, prefix: &str, format: BinaryFormat) -> Vec<String> {
    let underscore = if format == BinaryFormat::Macho { "_" } else { "" };
    let extents = !ComputedExtents::of(program).dims.is_empty();
    let initial = program.training.is_some().then_some("initial_states");
    let names = ["run", "check_cpu", "model"].into_iter().chain(extents.then_some("extents")).chain(initial);
    names.map(|name| format!("{underscore}{prefix}_{name}")).collect()
}

/// Writes a shared library of this machine's system and its header.
///
/// # Errors
/// See [`BuildError`].
pub fn write_shared_library(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    options: ObjectOptions,
    path: &Path,
) -> Result<ObjectFacts, BuildError> {
    require_host("a shared library", target)?;
    let place = WorkingFolder::beside(path)?;
    let object = place.path().join("model.o");
    let options = ObjectOptions { main: false, ..options };
    let facts = write_object(program, target, compiler, options, &object)?;
    let mut arguments: Vec<OsString> = vec!["-shared".into(), "-nostdlib".into(), object.into()];
    if target.triple.binary_format == BinaryFormat::Elf {
        arguments.extend(["-Wl,--gc-sections", "-Wl,-z,text", "-s"].map(OsString::from));
        // Programs look for the library by this name, wherever it was linked.
        arguments.extend(["-Xlinker", "-soname", "-Xlinker"].map(OsString::from));
        arguments.push(path.file_name().unwrap_or_default().into());
    }
    link(&arguments, path)?;
    write_header(program, target, &facts, path)?;
    Ok(facts)
}

/// Refuses to link for another system than this one.
pub(super) fn require_host(what: &'static str, target: &Target) -> Result<(), BuildError> {
    let host = Triple::host();
    let same = target.triple.architecture == host.architecture
        && target.triple.operating_system == host.operating_system
        && target.triple.binary_format == host.binary_format;
    match same {
        true => Ok(()),
        false => Err(BuildError::Foreign { what, triple: target.triple.to_string() }),
    }
}
