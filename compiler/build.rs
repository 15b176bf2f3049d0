//! Builds the runtime's object for the system that the compiler runs on; executables link it (`src/emit/runtime_object.rs`).
//!
//! Cargo shares what a build script made between `cargo check` and `cargo build`, so it can't be left out where nothing will run. It is built
//! once, beside the dependencies, and again only when the runtime changes. The cargo inside has a target directory of its own, since the outer one
//! holds the lock of the other.

use std::path::{Path, PathBuf};
use std::process::exit;

#[path = "../runtime/standalone_object.rs"]
mod standalone_object; // a part of Graven's repository: build from a complete copy of it

fn main() {
    if let Err(error) = build() {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let repository = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    let runtime = repository.join("runtime");
    if !runtime.join("Cargo.toml").is_file() {
        return Err(format!(
            "the runtime that executables link is missing: there is no {}; build from a complete copy of Graven's repository",
            runtime.join("Cargo.toml").display()
        ));
    }
    rerun_if_changed(&repository, &runtime);
    let target = variable("TARGET")?;
    let target_dir = Path::new(&variable("OUT_DIR")?).join("runtime");
    let object = standalone_object::build(&runtime, &target_dir, Some(&target))
        .map_err(|error| format!("the runtime that executables link can't be built:\n{error}"))?;
    println!("cargo::rustc-env=GRAVEN_RUNTIME_OBJECT={}", object.display());
    println!("cargo::rustc-env=GRAVEN_RUNTIME_TARGET={target}");
    println!("cargo::rustc-env=GRAVEN_LINK_ARGUMENTS={}", standalone_object::LINK_ARGUMENTS.join(" "));
    Ok(())
}

/// What the object is made of. The lock file stands for the dependencies; what doesn't exist must not be named, or the script would run each time.
fn rerun_if_changed(repository: &Path, runtime: &Path) {
    println!("cargo::rerun-if-changed=build.rs");
    let files = ["src", "include", "Cargo.toml", "standalone_object.rs"].map(|name| runtime.join(name));
    for file in files.into_iter().chain([repository.join("Cargo.lock")]) {
        if file.exists() {
            println!("cargo::rerun-if-changed={}", file.display());
        }
    }
}
