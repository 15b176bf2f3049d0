//! Builds the runtime's object, which the compiler puts into executables.

use std::path::PathBuf;

#[path = "../runtime/standalone_object.rs"]
mod standalone_object;

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let runtime = manifest.join("../runtime");
    let output = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    for source in ["src", "include", "Cargo.toml", "standalone_object.rs"] {
        println!("cargo::rerun-if-changed={}", runtime.join(source).display());
    }
    // The executables are for the system that the compiler runs on, which need not be the one that it is built on.
    let (host, target) = (std::env::var("HOST"), std::env::var("TARGET"));
    let foreign = (host != target).then_some(target.unwrap_or_default());
    match standalone_object::build(&runtime, &output.join("runtime"), foreign.as_deref()) {
        Ok(object) => {
            println!("cargo::rustc-env=GRAVEN_RUNTIME_OBJECT={}", object.display());
            let arguments = standalone_object::LINK_ARGUMENTS.join(" ");
            println!("cargo::rustc-env=GRAVEN_LINK_ARGUMENTS={arguments}");
        }
        Err(error) => println!("cargo::error={}", error.replace('\n', " | ")),
    }
}
