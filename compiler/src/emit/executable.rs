//! Stand-alone executables: a model's object with a main function, and the runtime.

use super::file::WorkingFolder;
use super::library::{BuildError, require_host};
use super::linker::link;
use super::object::{ObjectFacts, ObjectOptions, write_object};
use crate::codegen::KernelCompiler;
use crate::program::Program;
use crate::target::Target;
use std::ffi::OsString;
use std::path::Path;
use target_lexicon::Triple;

/// The runtime's object for this machine's system, built when the compiler was.
static RUNTIME: &[u8] = include_bytes!(env!("GRAVEN_RUNTIME_OBJECT"));

/// Compiles a program into an executable of this machine's system.
///
/// # Errors
/// See [`BuildError`]; the file is written completely or not at all.
pub fn write_executable(
    program: &Program,
    target: &Target,
    compiler: &dyn KernelCompiler,
    options: ObjectOptions,
    path: &Path,
) -> Result<ObjectFacts, BuildError> {
    require_host("an executable", target)?;
    require_runtime(target)?;
    let place = WorkingFolder::beside(path)?;
    let (object, runtime) = (place.path().join("model.o"), place.path().join("runtime.o"));
    let facts = write_object(program, target, compiler, ObjectOptions { main: true, ..options }, &object)?;
    std::fs::write(&runtime, RUNTIME)?;
    let mut arguments: Vec<OsString> = vec![object.into(), runtime.into()];
    let elf = target.triple.binary_format == target_lexicon::BinaryFormat::Elf;
    let last = if elf { ELF_ARGUMENTS } else { OTHER_ARGUMENTS };
    arguments.extend(last.split(' ').map(OsString::from));
    link(&arguments, path)?;
    Ok(facts)
}

/// Refuses to link with another C library than the runtime's.
fn require_runtime(target: &Target) -> Result<(), BuildError> {
    let runtime = env!("GRAVEN_RUNTIME_TARGET").parse::<Triple>();
    match runtime.is_ok_and(|runtime| runtime.environment == target.triple.environment) {
        true => Ok(()),
        false => Err(BuildError::Foreign { what: "an executable", triple: target.triple.to_string() }),
    }
}

/// What the runtime's object needs to be linked with on a system with ELF files.
const ELF_ARGUMENTS: &str = env!("GRAVEN_LINK_ARGUMENTS");
const OTHER_ARGUMENTS: &str = "-Wl,-dead_strip -Wl,-x";
