//! Builds this crate as the object file that executables link: the pool, the files and the main function, without the
//! standard library.
//!
//! Shared, as a module with a `path` attribute, by whoever needs that object: the compiler's build script and the
//! tests. It is what one would get by
//!
//! ```text
//! CARGO_PROFILE_RELEASE_PANIC=abort CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat \
//! CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_DEBUG=false \
//! cargo rustc --release --lib --crate-type staticlib --manifest-path runtime/Cargo.toml -- \
//!     --cfg graven_standalone --emit obj=graven_runtime.o
//! ```
//!
//! - A `cfg` and a crate type on the command line instead of a feature and a crate type in the manifest, because
//!   `cargo test --workspace --all-features` would use those, and there would be a second panic handler and allocator
//!   beside those of the standard library.
//! - Link-time optimisation leaves one object with what is used of `core` and `alloc`, and no reference to unwinding.
//!   It needs the C library, libpthread where that is apart, and on some CPUs libgcc, all of which `cc` links.
//! - Link it with [`LINK_ARGUMENTS`], so that the linker drops what an executable doesn't use.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cc` needs after the objects when it links an executable for a system with ELF files.
#[allow(dead_code, reason = "not every user of this file links")]
pub const LINK_ARGUMENTS: [&str; 3] = ["-Wl,--gc-sections", "-s", "-lpthread"];

const PROFILE: [(&str, &str); 5] =
    [("PANIC", "abort"), ("OPT_LEVEL", "z"), ("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("DEBUG", "false")];

/// Builds the object from the crate in the folder `runtime` for a target triple, or else for the host, and returns
/// its path in `target_dir`, which must be absolute.
///
/// # Errors
/// What cargo printed, if it fails, or why a file could not be read or written.
pub fn build(runtime: &Path, target_dir: &Path, target: Option<&str>) -> Result<PathBuf, String> {
    let folder = target.map_or_else(|| target_dir.to_path_buf(), |target| target_dir.join(target));
    let (compiled, object) = (folder.join("compiled.o"), folder.join("graven_runtime.o"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["rustc", "--release", "--lib", "--crate-type", "staticlib"]);
    command.arg("--manifest-path").arg(runtime.join("Cargo.toml"));
    command.arg("--target-dir").arg(target_dir);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    command.args(["--", "--cfg", "graven_standalone", "--emit"]);
    command.arg(format!("obj={}", compiled.display()));
    for (setting, value) in PROFILE {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    // Flags meant for the compiler (a CPU, coverage) must not reach the object; empty overrides configuration files.
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    // Under clippy this would check instead of build.
    command.env_remove("RUSTC_WORKSPACE_WRAPPER");
    // Intermediate files too: a folder that the configuration names may be locked by the cargo that waits for this one.
    command.env("CARGO_BUILD_BUILD_DIR", target_dir);
    // Link-time optimisation refuses to be incremental.
    command.env("CARGO_INCREMENTAL", "0");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let output = command.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut bytes = std::fs::read(&compiled).map_err(|error| format!("{}: {error}", compiled.display()))?;
    exclude_unwind_tables(&mut bytes);
    std::fs::write(&object, bytes).map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(object)
}

/// Marks the unwind tables of a little-endian ELF64 object as not to be linked; leaves other files alone.
///
/// They would be a sixth of a small executable. Nothing unwinds through this code, but the precompiled `core` asks for
/// them whatever the flags say. Format: the System V ABI, chapter 4 (file header, section header, `SHF_EXCLUDE`).
fn exclude_unwind_tables(object: &mut [u8]) {
    const SHF_EXCLUDE: u64 = 0x8000_0000;
    const SECTION_HEADER: usize = 64;
    if !object.starts_with(b"\x7fELF\x02\x01") {
        return;
    }
    let number = |object: &[u8], at: usize, bytes: usize| {
        let bytes = object.get(at..at + bytes).unwrap_or(&[]);
        bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, count) = (number(object, 0x28, 8), number(object, 0x3c, 2));
    let names = number(object, table + SECTION_HEADER * number(object, 0x3e, 2) + 0x18, 8);
    for header in (0..count).map(|index| table + SECTION_HEADER * index) {
        let name = names + number(object, header, 4);
        if object.get(name..).is_some_and(|name| name.starts_with(b".eh_frame\0")) {
            let flags = number(object, header + 8, 8) as u64 | SHF_EXCLUDE;
            object[header + 8..header + 16].copy_from_slice(&flags.to_le_bytes());
        }
    }
}
