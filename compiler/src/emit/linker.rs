//! The system's C compiler as a linker: it knows where the system keeps its libraries.

use super::file::WorkingFolder;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, Output};

/// Why nothing was linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The machine lacks a C compiler or a part of it.
    #[error("linking needs {what}: {reason}; {remedy}, or use --emit obj")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// How it showed.
        reason: String,
        /// What to install.
        remedy: &'static str,
    },
    /// The C compiler failed.
    #[error("`{program}` failed to link ({status}):\n{output}")]
    Failed {
        /// What was run.
        program: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// The file can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const COMPILER: &str = "install one (Debian, Ubuntu: `apt install gcc libc6-dev`; Fedora: `dnf install gcc`; Alpine: `apk add gcc musl-dev`; \
                        macOS: `xcode-select --install`), name one by the variable CC";
const C_LIBRARY: &str = "install its development files (Debian, Ubuntu: `apt install libc6-dev`; Fedora: `dnf install glibc-devel`; Alpine: \
                         `apk add musl-dev`)";
const BINUTILS: &str = "install binutils (`apt install binutils` or the like)";

/// Parts of messages of gcc, clang and linkers that mean that something is not installed.
const SIGNS: &[(&str, &str, &str)] = &[
    ("cannot find 'ld'", "the program `ld`", BINUTILS),
    ("cannot execute 'ld'", "the program `ld`", BINUTILS),
    ("unable to execute command: Executable \"ld\"", "the program `ld`", BINUTILS),
    ("crt1.o", "the C library's start files", C_LIBRARY),
    ("cannot find -lc", "the C library", C_LIBRARY),
];

/// The words of the command: `CC` may name a program with spaces in its path, or one with arguments.
fn compiler(variable: Option<&OsStr>) -> (OsString, Vec<OsString>) {
    let mut words: Vec<OsString> = match variable {
        Some(value) if !Path::new(value).is_file() => {
            let text = value.to_string_lossy();
            text.split_whitespace().map(OsString::from).collect()
        }
        Some(value) => vec![value.into()],
        None => Vec::new(),
    };
    if words.is_empty() {
        words.push("cc".into());
    }
    (words.remove(0), words)
}

/// Links to a file that is there only if linking succeeds, with the program that the variable `CC` names, or else `cc`.
///
/// # Errors
/// See [`LinkError`].
pub fn link(arguments: &[OsString], output: &Path) -> Result<(), LinkError> {
    // In a folder of its own: a linker that outlives this process finds no place to write to.
    let place = WorkingFolder::beside(output)?;
    let file = place.path().join("linked");
    let (program, first) = compiler(std::env::var_os("CC").as_deref());
    let name = program.to_string_lossy().into_owned();
    let mut command = Command::new(&program);
    command.args(first).args(arguments).arg("-o").arg(&file);
    // What it prints is searched for known messages.
    command.env("LC_ALL", "C");
    let result = command.output().map_err(|error| not_started(&name, &error))?;
    if !result.status.success() {
        return Err(failed(name, &result));
    }
    std::fs::rename(&file, output)?;
    Ok(())
}

fn not_started(program: &str, error: &io::Error) -> LinkError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => format!("`{program}` was not found"),
        _ => format!("`{program}` can't be started ({error})"),
    };
    LinkError::Missing { what: "a C compiler", reason, remedy: COMPILER }
}

fn failed(program: String, result: &Output) -> LinkError {
    let text = String::from_utf8_lossy(&result.stderr);
    let output = if text.trim().is_empty() { "it gave no reason" } else { text.trim() };
    for &(sign, what, remedy) in SIGNS {
        if let Some(line) = output.lines().find(|line| line.contains(sign)) {
            return LinkError::Missing { what, reason: line.trim().into(), remedy };
        }
    }
    LinkError::Failed { program, status: result.status.to_string(), output: output.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(variable: &str) -> Vec<OsString> {
        let (program, arguments) = compiler(Some(OsStr::new(variable)));
        [vec![program], arguments].concat()
    }

    #[test]
    fn the_variable_may_have_arguments() {
        assert_eq!(compiler(None), ("cc".into(), vec![]));
        assert_eq!(words(""), ["cc"]);
        assert_eq!(words(" "), ["cc"]);
        assert_eq!(words("ccache gcc -m64"), ["ccache", "gcc", "-m64"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my cc");
        std::fs::write(&path, "").unwrap();
        assert_eq!(compiler(Some(path.as_os_str())), (path.into_os_string(), vec![]));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = not_started("gcc-99", &io::ErrorKind::NotFound.into()).to_string();
        assert!(
            error.starts_with("linking needs a C compiler: `gcc-99` was not found; install one"),
            "{error}"
        );
        let error = not_started("/etc", &io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(error.contains("`/etc` can't be started (permission denied)"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn parts_that_are_not_installed_are_named() {
        use std::os::unix::process::ExitStatusExt;
        let error = |text: &str| {
            let status = std::process::ExitStatus::from_raw(256);
            failed("cc".into(), &Output { status, stdout: Vec::new(), stderr: text.into() }).to_string()
        };
        let text = error("collect2: fatal error: cannot find 'ld'\ncompilation terminated.\n");
        assert!(text.starts_with("linking needs the program `ld`: collect2: fatal error"), "{text}");
        let text = error("/usr/bin/ld: cannot find crt1.o: No such file or directory\n");
        assert!(text.contains("libc6-dev"), "{text}");
        let text = error("ld: undefined reference to `x'\n");
        assert_eq!(text, "`cc` failed to link (exit status: 1):\nld: undefined reference to `x'");
        assert!(error("\n").ends_with("it gave no reason"));
    }
}
