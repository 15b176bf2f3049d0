//! What the compiler hands to C compilers and linkers: headers, libraries and executables.

mod header;
mod link;

use std::path::Path;
use std::process::Command;

/// Runs `cc` in a folder; the arguments are separated by spaces.
fn cc(folder: &Path, arguments: &str) {
    run(Command::new("cc").args(arguments.split(' ')).current_dir(folder));
}

/// Runs a command that must succeed and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}
