//! What users are told when nothing can be linked or written.

use crate::{cc, run, write};
use graven::codegen::cranelift::CraneliftCompiler;
use graven::emit::executable::write_executable;
use graven::emit::library::{BuildError, write_shared_library, write_static_library};
use graven::emit::linker::{LinkError, link};
use graven::emit::object::{ObjectFacts, ObjectOptions};
use graven::program::Program;
use graven::target::Target;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The files of a folder, hidden ones included.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

type WriteOutput = fn(
    &Program,
    &Target,
    &dyn graven::codegen::KernelCompiler,
    ObjectOptions,
    &Path,
) -> Result<ObjectFacts, BuildError>;

/// Makes a model that does nothing.
fn make(write: WriteOutput, target: &Target, output: &Path) -> Result<ObjectFacts, BuildError> {
    let program = Program { name: "nothing".into(), ..Program::default() };
    let compiler = CraneliftCompiler::new(target).expect("a compiler");
    write(&program, target, &compiler, ObjectOptions::default(), output)
}

fn host() -> Target {
    Target::host().expect("a host")
}

#[test]
fn what_was_there_is_replaced_and_can_be_run() {
    let place = folder();
    write(place.path(), "my model, 1", "what was there before");
    let output = place.path().join("my model, 1");
    make(write_executable, &host(), &output).expect("an executable");
    run(&mut Command::new(&output));
    assert_eq!(files(place.path()), ["my model, 1"]);
}

#[test]
fn shared_libraries_are_found_by_their_name() {
    let place = folder();
    fs::create_dir(place.path().join("lib")).expect("a folder");
    make(write_shared_library, &host(), &place.path().join("lib/libnothing.so")).expect("a library");
    let main = "#include \"lib/libnothing.h\"\nint main(void) { return nothing_run(0, 0, 0, 0, 0); }\n";
    write(place.path(), "main.c", main);
    cc(place.path(), "-Wall -Werror main.c lib/libnothing.so -o main");
    // From anywhere.
    run(Command::new(place.path().join("main"))
        .env("LD_LIBRARY_PATH", place.path().join("lib"))
        .current_dir("/"));
}

#[test]
fn what_the_linker_says_is_told() {
    let place = folder();
    write(
        place.path(),
        "part.c",
        "int missing_function(void); int main(void) { return missing_function(); }",
    );
    cc(place.path(), "-c part.c -o part.o");
    let output = place.path().join("out");
    let error = link(&[place.path().join("part.o").into()], &output).expect_err("an undefined symbol");
    assert!(matches!(error, LinkError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("missing_function"), "{error}");
    assert_eq!(files(place.path()), ["part.c", "part.o"]);
}

#[test]
fn other_c_libraries_are_refused() {
    let place = folder();
    let target = host();
    let environment = if target.triple.to_string().ends_with("-musl") { "gnu" } else { "musl" };
    let triple = format!("{}-unknown-linux-{environment}", target.arch.name());
    let target = Target::new(&triple, None).expect("a target");
    let error = make(write_executable, &target, &place.path().join("out")).expect_err("another C library");
    assert!(matches!(error, BuildError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains(&triple), "{error}");
    assert!(files(place.path()).is_empty());
}

#[test]
fn outputs_that_cannot_be_written_are_errors() {
    let place = folder();
    write(place.path(), "file", "");
    let writers: [WriteOutput; 3] = [write_executable, write_static_library, write_shared_library];
    for writer in writers {
        let message = |output: &Path| make(writer, &host(), output).expect_err("no output").to_string();
        assert_eq!(message(&place.path().join("missing/out")), "its folder does not exist");
        assert!(message(&place.path().join("file/out")).starts_with("its folder can't be written to"));
        assert!(message(Path::new("/proc/out")).starts_with("its folder "));
        let taken = message(place.path());
        assert!(taken.to_lowercase().contains("directory"), "{taken}");
    }
    assert_eq!(files(place.path()), ["file"]);
}

/// A test that needs another environment runs itself in one.
#[test]
fn a_missing_linker_is_named() {
    const OUTPUT: &str = "GRAVEN_TEST_OUTPUT";
    if let Some(output) = std::env::var_os(OUTPUT) {
        let error = make(write_executable, &host(), Path::new(&output)).expect_err("no linker");
        assert!(matches!(error, BuildError::Link(LinkError::Missing { .. })), "{error:?}");
        let message = error.to_string();
        for part in ["a C compiler", "`/nonexistent/cc` was not found", "apt install gcc", "CC", "--emit obj"]
        {
            assert!(message.contains(part), "{message}");
        }
        return;
    }
    let place = folder();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "link::a_missing_linker_is_named"]).env("CC", "/nonexistent/cc -m64");
    run(command.env(OUTPUT, place.path().join("out")));
    assert!(files(place.path()).is_empty());
}
